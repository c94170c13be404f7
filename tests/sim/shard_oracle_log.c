/* SPDX-License-Identifier: MIT */
/*
 * What is written. Each record that a log is given is noted; once the node's log ends behind it, it
 * is the truth, or is compared with it. A record whose append failed may be there or not, and its
 * versions may be given anew.
 */
#include "tests/sim/shard_oracle_private.h"

#include "node/log_read.h"
#include "tests/sim/shard_record.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define READ_BYTES (4 * 1024 * 1024)

static const struct version nothing;

static void note_applied(struct shard_oracle *oracle, uint32_t write, struct version version)
{
	struct oracle_versions *applied = &oracle->applied[write];

	applied->all = realloc(applied->all, (applied->count + 1) * sizeof(*applied->all));
	if (!applied->all)
		abort();
	applied->all[applied->count++] = version;
}

bool oracle_learn(struct shard *shard, struct version version, const struct entry *entry,
		  bool is_first, const char *where)
{
	struct shard_oracle *oracle = shard->oracle;
	const struct truth_entry *known;
	struct truth_entry numbers;

	if (!shard_entry_read(entry, &numbers) || numbers.write > shard->clients->op_count) {
		shard_break(shard, "%s: version %" PRIx64 "-%" PRIu64 " is an entry nobody wrote",
			    where, version.epoch, version.sequence);
		return false;
	}
	numbers.is_first = is_first;
	shard_note(shard, "%s: %" PRIx64 "-%" PRIu64 " key %u value %u patch %u write %u%s", where,
		   version.epoch, version.sequence, numbers.key, numbers.value, numbers.patch,
		   numbers.write, is_first ? "" : " also");
	switch (truth_learn(&oracle->truth, version, &numbers)) {
	case TRUTH_NEW:
		if (is_first)
			note_applied(oracle, numbers.write, version);
		return true;
	case TRUTH_SAME:
		return true;
	case TRUTH_OTHER:
		known = truth_entry(&oracle->truth, version);
		shard_break(shard,
			    "%s: version %" PRIx64 "-%" PRIu64 " names two things: key %u value %u "
			    "patch %u write %u, and key %u value %u patch %u write %u",
			    where, version.epoch, version.sequence, known->key, known->value,
			    known->patch, known->write, numbers.key, numbers.value, numbers.patch,
			    numbers.write);
		return false;
	case TRUTH_NOWHERE:
		break;
	}
	shard_break(shard, "%s: version %" PRIx64 "-%" PRIu64 " is of an epoch nobody began", where,
		    version.epoch, version.sequence);
	return false;
}

bool oracle_learn_payload(struct shard *shard, const uint8_t *payload, size_t len,
			  const char *where)
{
	struct bytes_reader reader = bytes_reader(payload, len);
	struct request_id last = { 0 };

	while (bytes_left(&reader) > 0) {
		struct entry entry;
		bool is_first;

		if (entry_decode(&reader, &entry) < 0) {
			shard_break(shard, "%s: an entry can't be decoded", where);
			return false;
		}
		is_first = memcmp(&last, &entry.request_id, sizeof(last)) != 0;
		last = entry.request_id;
		if (!oracle_learn(shard, entry.version, &entry, is_first, where))
			return false;
	}
	return true;
}

struct version oracle_version_of(struct shard_oracle *oracle, const struct shard_op *op,
				 struct version end)
{
	const struct oracle_versions *applied = &oracle->applied[op->number];

	for (size_t i = 0; i < applied->count; i++)
		if (truth_contains(&oracle->truth, end, applied->all[i]))
			return applied->all[i];
	return nothing;
}

/* ---- appends ---- */

static void drop_append(struct oracle_node *seen, size_t at)
{
	buf_deinit(&seen->appends[at].payload);
	memmove(&seen->appends[at], &seen->appends[at + 1],
		(--seen->append_count - at) * sizeof(*seen->appends));
}

void oracle_drop_appends(struct oracle_node *seen)
{
	while (seen->append_count > 0)
		drop_append(seen, seen->append_count - 1);
	free(seen->appends);
	seen->appends = NULL;
	seen->append_cap = 0;
}

void shard_oracle_appended(struct shard_node *node, const struct wal_record *record)
{
	struct oracle_node *seen = &node->shard->oracle->nodes[node->place];
	struct oracle_append append = {
		.first = { record->epoch, record->first_sequence },
		.last = { record->epoch, record->first_sequence + record->count - 1 },
	};

	if (record->flags != 0)
		return;
	for (size_t i = seen->append_count; i > 0; i--)
		if (seen->appends[i - 1].first.epoch == append.first.epoch &&
		    seen->appends[i - 1].last.sequence >= append.first.sequence)
			drop_append(seen, i - 1);
	if (seen->append_count == seen->append_cap) {
		seen->append_cap = seen->append_cap ? seen->append_cap * 2 : 16;
		seen->appends = realloc(seen->appends, seen->append_cap * sizeof(*seen->appends));
	}
	if (!seen->appends || buf_append(&append.payload, record->payload, record->payload_len) < 0)
		abort();
	seen->appends[seen->append_count++] = append;
}

void oracle_learn_appends(struct shard_node *node, struct version end)
{
	struct oracle_node *seen = &node->shard->oracle->nodes[node->place];
	size_t i = 0;

	while (i < seen->append_count) {
		struct oracle_append *append = &seen->appends[i];

		if (!truth_contains(&node->shard->oracle->truth, end, append->last)) {
			i++;
			continue;
		}
		if (!oracle_learn_payload(node->shard, append->payload.data, append->payload.len,
					  "append"))
			return;
		drop_append(seen, i);
	}
}

/* ---- logs ---- */

static int learn_record(const struct shipped_record *record, void *state)
{
	struct shard_node *node = state;

	if (!oracle_learn_payload(node->shard, record->payload, record->payload_len, "log"))
		return -EBADMSG;
	(&node->shard->oracle->nodes[node->place])->learnt =
		(struct version){ record->epoch, record->first_sequence + record->count - 1 };
	return 0;
}

/* What its log has on stable storage and was not looked at yet. */
void oracle_read_log(struct shard_node *node)
{
	struct oracle_node *seen = (&node->shard->oracle->nodes[node->place]);
	int r;

	if (!truth_contains(&node->shard->oracle->truth, seen->synced, seen->learnt))
		seen->learnt =
			truth_common(&node->shard->oracle->truth, seen->synced, seen->learnt);
	while (version_compare(seen->learnt, seen->synced) != 0) {
		struct version before = seen->learnt;

		r = store_log_read(node->store, seen->learnt, READ_BYTES, learn_record, node);
		if (shard_is_broken(node->shard))
			return;
		if (r == STORE_LOG_TRIMMED || r == STORE_LOG_FOREIGN) {
			/* A copy, which has no log, or one that is trimmed as it is written. */
			seen->learnt = seen->synced;
			return;
		}
		if (r < 0 || version_compare(before, seen->learnt) == 0)
			return; /* a disk that fails; later */
	}
}
