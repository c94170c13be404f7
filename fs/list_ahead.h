/* SPDX-License-Identifier: MIT */
/*
 * The next page of a listing, fetched while the one before it is read. Ownership: dropped by its
 * user, at any time; the fetch itself ends by its own deadline. Threads: one user.
 */
#pragma once

#include "fs/listed_page.h"
#include "fs/prefetch.h"

struct list_ahead;

/* NULL if memory is out. */
struct list_ahead *list_ahead_start(struct prefetch *prefetch, struct remote *remote,
				    const char *from);
/* The cursor that it was started with. */
const char *list_ahead_from(const struct list_ahead *ahead);
/* Waits. 0 and the page; -EAGAIN: nobody has begun with it, and nobody will; -EINTR; or why it
 * could not be fetched. Once only, unless it said -EINTR. */
int list_ahead_take(struct list_ahead *ahead, const struct interrupt *interrupt,
		    struct listed_page **ret_page);
struct list_ahead *list_ahead_drop(struct list_ahead *ahead);
