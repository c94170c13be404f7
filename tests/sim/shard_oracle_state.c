/* SPDX-License-Identifier: MIT */
/* A node's records beside what its log's end stands for; and all nodes beside each other at last.
 */
#include "tests/sim/shard_oracle_private.h"

#include "node/value_file.h"
#include "tests/sim/shard_record.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define SOME_KEYS 16

static void describe(char *text, size_t size, const struct truth_cell *cell)
{
	if (cell->value == 0)
		snprintf(text, size, "nothing");
	else
		snprintf(text, size, "value %u patch %u (%" PRIx64 "-%" PRIu64 ")", cell->value,
			 cell->patch, cell->version.epoch, cell->version.sequence);
}

static bool is_same(const struct truth_cell *a, const struct truth_cell *b)
{
	if (a->value == 0 || b->value == 0)
		return a->value == b->value;
	return a->value == b->value && a->patch == b->patch &&
	       version_compare(a->version, b->version) == 0;
}

/* False: it can't be read now, or the shard is broken. */
static bool read_key(struct shard_node *node, unsigned number, struct truth_cell *ret_cell)
{
	struct key key = shard_key(number);
	struct store_record record;
	const char *why;
	int r;

	node->shard->counts.reads++;
	r = store_get(node->store, &key, VFS_NOWAIT, &record);
	if (r == -EAGAIN)
		r = store_get(node->store, &key, 0, &record);
	*ret_cell = (struct truth_cell){ 0 };
	if (r == STORE_NOT_FOUND)
		return true;
	if (r < 0) {
		if (!crash_vfs_is_cut(node->crash) && node->disk_troubles == 0)
			shard_break(node->shard, "node %u can't read key %u: %d", node->place,
				    number, r);
		return false;
	}
	why = shard_record_read(&record, node->shard->profile.many_chunks, ret_cell);
	store_record_release(&record);
	if (why && !crash_vfs_is_cut(node->crash) && node->disk_troubles == 0)
		shard_break(node->shard, "node %u, key %u: %s", node->place, number, why);
	return !why;
}

struct truth_cell *oracle_read_records(struct shard_node *node)
{
	struct truth_cell *cells = calloc(TRUTH_KEYS_MAX, sizeof(*cells));

	if (!cells)
		abort();
	for (unsigned i = 0; i < node->shard->profile.keys; i++) {
		if (read_key(node, i, &cells[i]))
			continue;
		free(cells);
		return NULL;
	}
	return cells;
}

static bool check_key(struct shard_node *node, const struct truth_state *state, unsigned number)
{
	char found[96], expected[96];
	struct truth_cell cell;

	if (!read_key(node, number, &cell))
		return false;
	if (is_same(&cell, &state->cells[number]))
		return true;
	describe(found, sizeof(found), &cell);
	describe(expected, sizeof(expected), &state->cells[number]);
	shard_break(node->shard,
		    "node %u, which ends at %" PRIx64 "-%" PRIu64 ", holds %s for key %u, not %s",
		    node->place, state->end.epoch, state->end.sequence, found, number, expected);
	return false;
}

void oracle_check_state(struct shard_node *node, bool all)
{
	struct shard *shard = node->shard;
	struct oracle_node *seen = &shard->oracle->nodes[node->place];
	const struct truth_state *state = truth_state(&shard->oracle->truth, seen->end);
	unsigned keys = shard->profile.keys;

	if (!state)
		return; /* what was written last is not known yet */
	if (all || keys <= SOME_KEYS) {
		for (unsigned i = 0; i < keys; i++)
			if (!check_key(node, state, i))
				return;
		return;
	}
	for (unsigned i = 0; i < SOME_KEYS; i++)
		if (!check_key(node, state, (unsigned)shard_random_below(&shard->random, keys)))
			return;
}

struct last_value {
	unsigned key;
	struct truth_cell cell;
};

static int note_value(struct version version, const struct truth_entry *entry, void *state)
{
	struct last_value *last = state;

	if (entry->key == last->key && entry->value > 0)
		last->cell = (struct truth_cell){ entry->value, entry->patch, version };
	return 0;
}

bool shard_oracle_deleted(struct shard_node *node, unsigned number, struct truth_cell *ret_cell)
{
	struct shard_oracle *oracle = node->shard->oracle;
	struct version end = oracle->nodes[node->place].end;
	const struct truth_state *state = truth_state(&oracle->truth, end);
	struct last_value last = { .key = number };

	if (!state || state->cells[number].value > 0)
		return false;
	truth_walk(&oracle->truth, (struct version){ 0 }, end, note_value, &last);
	*ret_cell = last.cell;
	return last.cell.value > 0;
}

/* ---- the end ---- */

static int count_one(const struct entry *entry, void *state)
{
	(void)entry;
	++*(unsigned *)state;
	return 0;
}

static void check_list(struct shard_node *node, const struct truth_state *state)
{
	struct key last = { 0 };
	unsigned count = 0, expect = 0;
	bool more = true;

	for (unsigned i = 0; i < TRUTH_KEYS_MAX; i++)
		expect += state->cells[i].value > 0;
	while (more) {
		struct key after = last;

		if (store_list(node->store, &after, 50, count_one, &count, &more, &last) != 0) {
			shard_break(node->shard, "node %u can't list", node->place);
			return;
		}
	}
	if (count != expect)
		shard_break(node->shard, "node %u lists %u records, not %u", node->place, count,
			    expect);
}

struct applied_once {
	struct shard *shard;
	uint8_t *seen; /* by write */
};

static int check_once(struct version version, const struct truth_entry *entry, void *state)
{
	struct applied_once *once = state;

	if (!entry->is_first)
		return 0;
	if (once->seen[entry->write]++ == 0)
		return 0;
	shard_break(once->shard, "write %u is there twice, the second time as %" PRIx64 "-%" PRIu64,
		    entry->write, version.epoch, version.sequence);
	return 1;
}

static void check_all_once(struct shard *shard, struct version end)
{
	struct applied_once once = { .shard = shard };

	/* Who leads with a mixture has to forget what was asked. */
	if (truth_is_renewed(&shard->oracle->truth, end))
		return;
	once.seen = calloc(SHARD_OPS_MAX + 1, 1);
	if (!once.seen)
		abort();
	truth_walk(&shard->oracle->truth, (struct version){ 0 }, end, check_once, &once);
	free(once.seen);
}

bool shard_oracle_is_calm(struct shard *shard)
{
	const struct oracle_node *leader = NULL;

	for (unsigned i = 0; i < shard->node_count; i++) {
		if (!shard_node_is_up(&shard->nodes[i]))
			return false;
		if (!shard->oracle->nodes[i].leads)
			continue;
		if (leader)
			return false;
		leader = &shard->oracle->nodes[i];
	}
	if (!leader || shard->oracle->ack_count > 0)
		return false;
	/* Promises and lineages travel with records. */
	if (leader->end.epoch == 0)
		return true;
	for (unsigned i = 0; i < shard->node_count; i++) {
		const struct oracle_node *seen = &shard->oracle->nodes[i];
		struct replica_view view;

		replica_view(shard->nodes[i].replica, &view);
		if (version_compare(seen->synced, leader->synced) != 0 ||
		    version_compare(seen->end, leader->end) != 0 ||
		    seen->promise != leader->epoch || !view.reads ||
		    !lineage_equal(&seen->lineage, &leader->lineage))
			return false;
	}
	return true;
}

static void count_problem(const char *sentence, void *state)
{
	struct shard_node *node = state;

	shard_break(node->shard, "node %u: %s", node->place, sentence);
}

static void check_disk(struct shard_node *node)
{
	int r;

	shard_node_end(node, FATE_STOPPED);
	r = store_check(crash_vfs_base(node->crash), SHARD_DIR, count_problem, node);
	if (r != 0)
		shard_break(node->shard, "node %u: check: %d", node->place, r);
}

void shard_oracle_finish(struct shard *shard)
{
	struct shard_oracle *oracle = shard->oracle;
	struct version end = oracle->nodes[0].end;
	const struct truth_state *state = truth_state(&oracle->truth, end);

	if (!state) {
		shard_break(shard, "what was written last was never seen");
		return;
	}
	for (unsigned i = 0; i < shard->node_count && !shard_is_broken(shard); i++) {
		shard_node_enter(&shard->nodes[i]);
		oracle_check_state(&shard->nodes[i], true);
		check_list(&shard->nodes[i], state);
		oracle_recheck_aside(&shard->nodes[i]);
	}
	if (shard->profile.keeps_ids && shard->counts.full_disks == 0)
		check_all_once(shard, end);
	oracle_check_acked(shard, end);
	for (unsigned i = 0; i < shard->node_count && !shard_is_broken(shard); i++)
		check_disk(&shard->nodes[i]);
}
