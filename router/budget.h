/* SPDX-License-Identifier: MIT */
/*
 * A bound on bytes that many requests hold together: taken before memory is, given back after.
 * Threads: all functions from any thread.
 */
#pragma once

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

struct budget {
	size_t limit; /* immutable */
	atomic_size_t used;
};

/* What one request has taken of a budget. */
struct budget_share {
	struct budget *budget;
	size_t taken;
};

/* Makes the share at least @total bytes; false, and nothing changes, if the budget has no room. */
bool budget_share_grow(struct budget_share *share, size_t total);
/* Gives back what is over @total. */
void budget_share_shrink(struct budget_share *share, size_t total);
