/* SPDX-License-Identifier: MIT */
/*
 * The tree as it is on disk at one moment: its segments, and the value files that they name, stay
 * there until it is released, whatever is merged or deleted meanwhile. What is in memtables only is
 * not in it. Threads: any; nobody is held up.
 */
#pragma once

#include "node/lsm.h"

struct lsm_snapshot {
	struct view *view;
	uint64_t flushed; /* apply position up to which it holds everything */
};

void lsm_snapshot_take(struct lsm *lsm, struct lsm_snapshot *ret_snapshot);
void lsm_snapshot_release(struct lsm_snapshot *snapshot);
/* Makes it a tree of its own in @dir, which exists and is empty: hard links, and a manifest. On
 * stable storage when it returns 0, but for the names in @dir and @dir/value. -EBADMSG: a segment
 * is damaged. */
int lsm_snapshot_link(struct lsm *lsm, const struct lsm_snapshot *snapshot, const char *dir);
