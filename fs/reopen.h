/* SPDX-License-Identifier: MIT */
/*
 * Opens that were told ESTALE. The kernel then looks the name up again and opens what it finds, but
 * only once: under a stream of changes from elsewhere that would be stale again. What the router
 * said since the first try is as good as an answer of its own, so the second try may have it.
 *
 * Threads: the caller serialises.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#define REOPEN_SLOTS 256

struct reopen {
	struct {
		pid_t pid; /* the thread that opens; 0: none */
		uint64_t st_ino; /* of the name */
		uint64_t since; /* number of the last question before its first try */
		uint64_t at_ms;
		bool looked; /* the name was looked up since, and found */
	} slots[REOPEN_SLOTS];
};

/* @pid is about to be told ESTALE. It may lose its slot to another thread, and asks again then. */
void reopen_note(struct reopen *reopen, pid_t pid, uint64_t st_ino, uint64_t since);
/* Whether @pid may be about to try again: it looks the name up for that, twice if the first look-up
 * did not find it. Without one that did, what comes is another open. */
bool reopen_looks(struct reopen *reopen, pid_t pid, uint64_t st_ino, bool found);
/* Whether @pid now tries again: *ret_since is from its first try, which is forgotten. */
bool reopen_take(struct reopen *reopen, pid_t pid, uint64_t st_ino, uint64_t *ret_since);
/* @pid does something else: its open is over, however it ended. */
void reopen_forget(struct reopen *reopen, pid_t pid);
