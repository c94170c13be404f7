/* SPDX-License-Identifier: MIT */
/*
 * What a node gives up must lie in a diverged log before it is gone, with its values, and stay
 * there. One that gives up its whole store for a copy saves records: what they had been replaced by
 * since counts for them.
 */
#include "tests/sim/shard_oracle_private.h"

#include "node/diverged.h"
#include "tests/sim/shard_record.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What the diverged logs of one node hold. */
struct aside {
	struct shard_node *node;
	struct version *all;
	size_t count, cap;
};

static void add(struct aside *aside, struct version version)
{
	if (aside->count == aside->cap) {
		aside->cap = aside->cap ? aside->cap * 2 : 64;
		aside->all = realloc(aside->all, aside->cap * sizeof(*aside->all));
		if (!aside->all)
			abort();
	}
	aside->all[aside->count++] = version;
}

static bool holds(const struct aside *aside, struct version version)
{
	for (size_t i = 0; i < aside->count; i++)
		if (version_compare(aside->all[i], version) == 0)
			return true;
	return false;
}

static bool may_fail(const struct shard_node *node)
{
	return crash_vfs_is_cut(node->crash) || node->disk_troubles > 0;
}

static bool check_value(struct shard_node *node, struct diverged_reader *reader,
			const struct entry *entry)
{
	static uint8_t chunk[VALUE_CHUNK_BYTES];
	struct truth_entry numbers;
	const uint8_t *expect;
	size_t len, at = 0;
	ssize_t n = 1;

	if (!shard_entry_read(entry, &numbers))
		return false;
	if (entry->kind == ENTRY_TOMBSTONE)
		return true;
	expect = shard_value(numbers.value, node->shard->profile.many_chunks, &len);
	if (entry->kind == ENTRY_INLINE)
		return entry->size_bytes == len && memcmp(entry->value, expect, len) == 0;
	while (n > 0) {
		n = diverged_reader_value(reader, chunk);
		if (n > 0 && ((size_t)n > len - at || memcmp(expect + at, chunk, (size_t)n) != 0))
			return false;
		at += n > 0 ? (size_t)n : 0;
	}
	/* What its disk could not read then. */
	if (n == -ENODATA && node->disk_failed)
		return true;
	return n == 0 && at == len;
}

static int read_entries(struct aside *aside, struct diverged_reader *reader, const char *name)
{
	struct shard *shard = aside->node->shard;
	struct request_id last = { 0 };
	struct entry entry;
	int r;

	while ((r = diverged_reader_next(reader, &entry)) == 1) {
		bool is_first = memcmp(&last, &entry.request_id, sizeof(last)) != 0;

		last = entry.request_id;
		if (!oracle_learn(shard, entry.version, &entry, is_first, name))
			return -EBADMSG;
		add(aside, entry.version);
		if (!check_value(aside->node, reader, &entry) && !may_fail(aside->node))
			shard_break(shard, "%s: version %" PRIx64 "-%" PRIu64 " has another value",
				    name, entry.version.epoch, entry.version.sequence);
	}
	return r;
}

static int read_one(const char *name, void *state)
{
	struct aside *aside = state;
	struct shard_node *node = aside->node;
	struct diverged_reader *reader;
	struct diverged_about about;
	size_t len = strlen(name);
	char path[300];
	int r;

	if (strncmp(name, "diverged-", 9) != 0 || len < 4 || strcmp(name + len - 4, ".log") != 0)
		return 0;
	snprintf(path, sizeof(path), SHARD_DIR "/%s", name);
	r = diverged_reader_open(crash_vfs_base(node->crash), path, &about, &reader);
	if (r == 0) {
		r = read_entries(aside, reader, name);
		diverged_reader_close(reader);
	}
	if (r < 0 && !may_fail(node))
		shard_break(node->shard, "node %u: %s: %d", node->place, name, r);
	return 0;
}

static void read_aside(struct shard_node *node, struct aside *aside)
{
	*aside = (struct aside){ .node = node };
	vfs_list(crash_vfs_base(node->crash), SHARD_DIR, read_one, aside);
}

struct gap_check {
	const struct aside *aside;
	bool whole;
	uint64_t found;
	struct version missing; /* the last one of its key that is not there */
	struct version last_missing[TRUTH_KEYS_MAX];
};

static int check_entry(struct version version, const struct truth_entry *entry, void *state)
{
	struct gap_check *check = state;

	if (holds(check->aside, version)) {
		check->found++;
		if (!check->whole)
			check->last_missing[entry->key] = (struct version){ 0 };
		return 0;
	}
	if (check->whole)
		check->missing = version;
	else if (entry->value > 0 || check->aside->node->shard->counts.wipes == 0)
		check->last_missing[entry->key] = version;
	else /* all may have had the deletion, until one of them lost its disk */
		check->last_missing[entry->key] = (struct version){ 0 };
	return check->whole;
}

/* A record that was ahead of the log is set aside as it was. */
static bool is_replaced(struct shard_node *node, const struct gap_check *check,
			const struct oracle_gap *gap, unsigned key)
{
	struct truth *truth = &node->shard->oracle->truth;
	struct version leaders = { gap->ahead.epoch, UINT64_MAX };

	for (size_t i = 0; i < check->aside->count; i++) {
		struct version version = check->aside->all[i];
		const struct truth_entry *entry = truth_entry(truth, version);

		if (entry && entry->key == key &&
		    version_compare(version, check->last_missing[key]) > 0 &&
		    truth_contains(truth, leaders, version))
			return true;
	}
	return false;
}

/* How many of the gap's entries are there. */
static uint64_t check_gap(struct shard_node *node, const struct aside *aside,
			  const struct oracle_gap *gap)
{
	struct truth *truth = &node->shard->oracle->truth;
	struct gap_check check = { .aside = aside, .whole = gap->whole };
	int r = truth_walk(truth, gap->from, gap->to, check_entry, &check);

	for (unsigned i = 0; i < TRUTH_KEYS_MAX && !gap->whole; i++)
		if (check.last_missing[i].epoch != 0 && !is_replaced(node, &check, gap, i))
			check.missing = check.last_missing[i];
	/* An entry that was never seen is one that was never on stable storage. */
	if (r == -ENOENT)
		return check.found;
	if (check.missing.epoch != 0 && !may_fail(node))
		shard_break(node->shard,
			    "node %u gave %" PRIx64 "-%" PRIu64 " up and has not set it aside",
			    node->place, check.missing.epoch, check.missing.sequence);
	return check.found;
}

void oracle_check_aside(struct shard_node *node, struct version from, struct version to, bool whole)
{
	struct oracle_node *seen = &node->shard->oracle->nodes[node->place];
	struct oracle_gap gap = { .from = from, .to = to, .whole = whole, .ahead = seen->ahead };
	struct aside aside;
	uint64_t found;

	if (version_compare(from, to) == 0)
		return;
	node->shard->counts.set_aside++;
	read_aside(node, &aside);
	found = check_gap(node, &aside, &gap);
	/* A metric does not outlive its process, and a life before may have begun with this. */
	if (seen->alive)
		seen->aside += found;
	free(aside.all);
	seen->gaps = realloc(seen->gaps, (seen->gap_count + 1) * sizeof(*seen->gaps));
	if (!seen->gaps)
		abort();
	seen->gaps[seen->gap_count++] = gap;
}

void oracle_recheck_aside(struct shard_node *node)
{
	struct oracle_node *seen = &node->shard->oracle->nodes[node->place];
	struct aside aside;

	if (seen->gap_count == 0)
		return;
	read_aside(node, &aside);
	for (size_t i = 0; i < seen->gap_count; i++)
		check_gap(node, &aside, &seen->gaps[i]);
	free(aside.all);
}
