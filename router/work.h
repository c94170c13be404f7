/* SPDX-License-Identifier: MIT */
/*
 * A piece of computing that would hold the loop for milliseconds if it is large: done in place when
 * small, in the worker's pool otherwise.
 *
 * Ownership: embedded in its user, who must stay in place until done() even if its request is over
 * by then.
 */
#pragma once

#include "router/service.h"

struct work {
	void (*run)(struct work *); /* in any thread: touches nothing but its user's own data */
	void (*done)(struct work *); /* in the loop */
	struct service *service;
	struct pool_job job;
	bool under_way;
};

/* @bytes is how much there is to go through. done() may be called from inside. */
void work_start(struct work *work, struct service *service, size_t bytes);
