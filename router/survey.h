/* SPDX-License-Identifier: MIT */
/*
 * Asks several nodes the same thing at once and waits, within a bound, for all of them.
 * Ownership: belongs to the exchange from survey_start() until that finishes.
 * Threads: the worker's.
 */
#pragma once

#include "router/gather.h"

struct survey {
	struct service *service;
	struct exchange *ex;
	/* All have answered or failed: answers @ex. A node that was not asked or did not answer has
	 * status 0. */
	void (*done)(struct survey *);
	unsigned waiting;
	struct gather nodes[]; /* by node index - 1 */
};

/* GET @target of every shard's leader, or of every node. */
void survey_start(struct exchange *ex, struct service *service, const char *target,
		  bool leaders_only, void (*done)(struct survey *));
