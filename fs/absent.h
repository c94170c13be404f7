/* SPDX-License-Identifier: MIT */
/*
 * Look-ups that were told that there is no such name. A program that makes a file only if there is
 * none looks its name up before, and the kernel does once more before it sends CREATE.
 *
 * Threads: the caller serialises.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#define ABSENT_SLOTS 256

struct absent {
	struct {
		pid_t pid; /* the thread that was told; 0: none */
		uint64_t st_ino; /* of the name */
		uint64_t at_ms;
	} slots[ABSENT_SLOTS];
};

/* @pid is about to be told ENOENT. It may lose its slot to another thread, and asks again then. */
void absent_note(struct absent *absent, pid_t pid, uint64_t st_ino);
/* Whether @pid was told so of this name by its last look-up that was told so, less than a second
 * ago. That is forgotten. */
bool absent_take(struct absent *absent, pid_t pid, uint64_t st_ino);
