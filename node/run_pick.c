/* SPDX-License-Identifier: MIT */
#include "node/run_pick.h"

/* The newer ones' bytes by the oldest's. */
#define NEWER_BY_OLDEST 0.7
/* The newer ones' tombstones by the oldest's entries. */
#define TOMBSTONES_BY_OLDEST 0.5
/* After a merge in vain: the newer ones' bytes by the oldest's. */
#define NEWER_PART 16
/* What a merge frees by what it writes: less is in vain. More than those bytes alone can free, or
 * else every other merge would count as useful. */
#define FREED_PART 8

static bool pick_all(const struct run_size *runs, size_t count, struct run_pick *ret_pick)
{
	uint64_t newer = 0, tombstones = 0;
	bool large, hiding;

	if (count < 2)
		return false;
	for (size_t i = 0; i < count; i++) {
		if (runs[i].damaged)
			return false;
		if (i + 1 == count)
			continue;
		newer += runs[i].bytes;
		tombstones += runs[i].tombstones;
	}
	large = count > 2 && (double)newer >= NEWER_BY_OLDEST * (double)runs[count - 1].bytes;
	hiding = tombstones > 0 &&
		 (double)tombstones >= TOMBSTONES_BY_OLDEST * (double)runs[count - 1].entries;
	/* Of keys that come and go beside few large entries there are always enough. */
	if (runs[count - 1].in_vain && newer < runs[count - 1].bytes / NEWER_PART)
		hiding = false;
	if (!large && !hiding)
		return false;
	*ret_pick = (struct run_pick){ .count = count, .hiding = hiding };
	return true;
}

/* The cheapest that begin with @first. Cost 0: none that are sound. */
static double pick_from(const struct run_size *runs, size_t count, size_t first,
			struct run_pick *ret_pick)
{
	uint64_t bytes = runs[first].bytes;
	double best = 0;

	for (size_t i = first + 1; i < count && !runs[first].damaged && !runs[i].damaged; i++) {
		double fewer = (double)(i - first), cost;

		bytes += runs[i].bytes;
		cost = (double)bytes / (fewer * fewer * fewer);
		if (best > 0 && cost > best)
			continue;
		best = cost;
		*ret_pick = (struct run_pick){ .first = first, .count = i - first + 1 };
	}
	return best;
}

bool run_pick(const struct run_size *runs, size_t count, bool with_oldest, size_t runs_max,
	      struct run_pick *ret_pick)
{
	double best = 0;

	if (with_oldest && pick_all(runs, count, ret_pick))
		return true;
	if (count <= runs_max)
		return false;
	for (size_t first = 0; first < count; first++) {
		struct run_pick pick;
		double cost = pick_from(runs, count, first, &pick);

		if (cost == 0 || (best > 0 && cost >= best))
			continue;
		best = cost;
		*ret_pick = pick;
	}
	return best > 0;
}

bool run_was_in_vain(uint64_t read, uint64_t written)
{
	return read < written + written / FREED_PART;
}
