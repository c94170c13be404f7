/* SPDX-License-Identifier: MIT */
/* Whether the program that waits for an answer has been interrupted. Threads: asked by the thread
 * that waits. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

struct interrupt {
	bool (*raised)(void *state); /* NULL: never */
	void *state;
};

static inline bool interrupt_raised(const struct interrupt *interrupt)
{
	return interrupt && interrupt->raised && interrupt->raised(interrupt->state);
}
