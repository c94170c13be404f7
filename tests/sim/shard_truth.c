/* SPDX-License-Identifier: MIT */
#include "tests/sim/shard_truth.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define EPOCHS_ON_A_PATH_MAX 4096

static const struct version nothing;

static void *grow(void *items, size_t *cap, size_t count, size_t size)
{
	if (count < *cap)
		return items;
	*cap = *cap ? *cap * 2 : 16;
	items = realloc(items, *cap * size);
	if (!items)
		abort();
	return items;
}

static bool is_nothing(struct version version)
{
	return version.epoch == 0;
}

struct truth_epoch *truth_epoch(struct truth *truth, uint64_t epoch)
{
	for (size_t i = truth->epoch_count; i > 0; i--)
		if (truth->epochs[i - 1].epoch == epoch)
			return &truth->epochs[i - 1];
	return NULL;
}

bool truth_begin(struct truth *truth, const struct truth_epoch *epoch)
{
	if (truth_epoch(truth, epoch->epoch))
		return false;
	truth->epochs =
		grow(truth->epochs, &truth->epoch_cap, truth->epoch_count, sizeof(*truth->epochs));
	truth->epochs[truth->epoch_count++] = *epoch;
	return true;
}

enum truth_learnt truth_learn(struct truth *truth, struct version version,
			      const struct truth_entry *entry)
{
	struct truth_epoch *epoch = truth_epoch(truth, version.epoch);
	struct truth_entry *known;
	size_t at;

	if (!epoch || version.sequence <= epoch->parent.sequence)
		return TRUTH_NOWHERE;
	at = version.sequence - epoch->parent.sequence - 1;
	while (epoch->count <= at) {
		epoch->entries =
			grow(epoch->entries, &epoch->cap, epoch->count, sizeof(*epoch->entries));
		epoch->entries[epoch->count++] = (struct truth_entry){ 0 };
	}
	known = &epoch->entries[at];
	if (known->known)
		return known->key == entry->key && known->value == entry->value &&
				       known->patch == entry->patch &&
				       (known->write == entry->write || entry->write == 0)
			       ? TRUTH_SAME
			       : TRUTH_OTHER;
	if (entry->write == 0)
		return TRUTH_SAME; /* only half of it */
	*known = *entry;
	known->known = true;
	return TRUTH_NEW;
}

static const struct truth_entry *find(const struct truth_epoch *epoch, uint64_t sequence)
{
	size_t at;

	if (sequence <= epoch->parent.sequence)
		return NULL;
	at = sequence - epoch->parent.sequence - 1;
	return at < epoch->count && epoch->entries[at].known ? &epoch->entries[at] : NULL;
}

const struct truth_entry *truth_entry(struct truth *truth, struct version version)
{
	const struct truth_epoch *epoch = truth_epoch(truth, version.epoch);

	return epoch ? find(epoch, version.sequence) : NULL;
}

bool truth_contains(struct truth *truth, struct version end, struct version version)
{
	if (is_nothing(version))
		return true;
	while (!is_nothing(end)) {
		const struct truth_epoch *epoch = truth_epoch(truth, end.epoch);

		if (!epoch)
			return false;
		if (end.epoch == version.epoch)
			return version.sequence <= end.sequence &&
			       version.sequence > epoch->parent.sequence;
		end = epoch->parent;
	}
	return false;
}

/* A later epoch on a path has the greater number. */
struct version truth_common(struct truth *truth, struct version a, struct version b)
{
	while (a.epoch != b.epoch) {
		struct version *later = a.epoch > b.epoch ? &a : &b;
		const struct truth_epoch *epoch = truth_epoch(truth, later->epoch);

		if (!epoch)
			return nothing;
		*later = epoch->parent;
	}
	return a.sequence < b.sequence ? a : b;
}

/* The stretch of one epoch on a path. */
struct stretch {
	const struct truth_epoch *epoch;
	uint64_t to;
};

static size_t path_of(struct truth *truth, struct version end, struct stretch *stretches)
{
	size_t count = 0;

	while (!is_nothing(end)) {
		const struct truth_epoch *epoch = truth_epoch(truth, end.epoch);

		assert(epoch && count < EPOCHS_ON_A_PATH_MAX);
		stretches[count++] = (struct stretch){ epoch, end.sequence };
		end = epoch->parent;
	}
	return count;
}

int truth_walk(struct truth *truth, struct version from, struct version end,
	       int (*visit)(struct version, const struct truth_entry *, void *), void *state)
{
	static struct stretch stretches[EPOCHS_ON_A_PATH_MAX];
	size_t count = path_of(truth, end, stretches);

	while (count > 0) {
		const struct stretch *stretch = &stretches[--count];
		uint64_t sequence = stretch->epoch->parent.sequence;

		if (stretch->epoch->renewed)
			sequence++;
		if (sequence < from.sequence)
			sequence = from.sequence;
		while (++sequence <= stretch->to) {
			struct version version = { stretch->epoch->epoch, sequence };
			const struct truth_entry *entry = find(stretch->epoch, sequence);
			int r = entry ? visit(version, entry, state) : -ENOENT;

			if (r != 0)
				return r;
		}
	}
	return 0;
}

static int apply(struct version version, const struct truth_entry *entry, void *state)
{
	struct truth_state *on = state;

	on->cells[entry->key] = (struct truth_cell){ entry->value, entry->patch, version };
	return 0;
}

/* The cached state that is nearest before @end, and the one to replace. */
static struct truth_cache *nearest(struct truth *truth, struct version end,
				   struct truth_cache **ret_oldest)
{
	struct truth_cache *best = NULL, *oldest = &truth->cache[0];

	for (size_t i = 0; i < sizeof(truth->cache) / sizeof(truth->cache[0]); i++) {
		struct truth_cache *cache = &truth->cache[i];

		if (cache->used < oldest->used)
			oldest = cache;
		if (cache->used == 0 || !truth_contains(truth, end, cache->state.end))
			continue;
		if (!best || cache->state.end.sequence > best->state.end.sequence)
			best = cache;
	}
	*ret_oldest = oldest;
	return best;
}

/* The last one on the path to @end that began with a log of its own. */
static const struct truth_epoch *last_renewed(struct truth *truth, struct version end)
{
	const struct truth_epoch *epoch = NULL;

	for (; !is_nothing(end); end = epoch->parent) {
		epoch = truth_epoch(truth, end.epoch);
		if (!epoch || epoch->renewed)
			break;
	}
	return is_nothing(end) ? NULL : epoch;
}

bool truth_is_renewed(struct truth *truth, struct version end)
{
	return last_renewed(truth, end);
}

/* What lies before it does not matter. */
static struct version begin_renewed(const struct truth_epoch *epoch, struct truth_state *state)
{
	memcpy(state->cells, epoch->renewed, sizeof(state->cells));
	return (struct version){ epoch->epoch, epoch->parent.sequence + 1 };
}

const struct truth_state *truth_state(struct truth *truth, struct version end)
{
	struct truth_cache *oldest, *from = nearest(truth, end, &oldest);
	const struct truth_epoch *renewed = last_renewed(truth, end);
	struct version behind = nothing;

	if (from && renewed && from->state.end.sequence <= renewed->parent.sequence)
		from = NULL;
	if (from && version_compare(from->state.end, end) == 0) {
		from->used = ++truth->uses;
		return &from->state;
	}
	if (from) {
		behind = from->state.end;
		if (from != oldest)
			oldest->state = from->state;
	} else {
		memset(&oldest->state, 0, sizeof(oldest->state));
	}
	oldest->used = 0;
	if (!from && renewed)
		behind = begin_renewed(renewed, &oldest->state);
	if (truth_walk(truth, behind, end, apply, &oldest->state) != 0)
		return NULL;
	oldest->state.end = end;
	oldest->used = ++truth->uses;
	return &oldest->state;
}

void truth_deinit(struct truth *truth)
{
	for (size_t i = 0; i < truth->epoch_count; i++) {
		free(truth->epochs[i].entries);
		free(truth->epochs[i].renewed);
	}
	free(truth->epochs);
	*truth = (struct truth){ 0 };
}
