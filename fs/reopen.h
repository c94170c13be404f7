/* SPDX-License-Identifier: MIT */
/*
 * Opens that were told ESTALE. The kernel then tries once more. If the open is by name it looks
 * that up again before, and opens what it finds: under a stream of changes from elsewhere that
 * would be stale again. What the router said since the first try is as good as an answer of its
 * own, so the second try may have it. If the open is by way of an open file (/proc/self/fd,
 * /dev/fd) there is no name to look up, and the same file is asked for again: so the two are told
 * apart.
 *
 * Threads: the caller serialises.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#define REOPEN_SLOTS 1024

enum reopen_looked { REOPEN_NOT_LOOKED, REOPEN_NOT_FOUND, REOPEN_FOUND };

/* A file as an open sees it. */
struct reopen_file {
	uint64_t st_ino; /* of its name */
	uint64_t birth; /* its own; 0: no file's */
};

struct reopen {
	struct {
		pid_t pid; /* the thread that opens; 0: none */
		struct reopen_file file;
		uint64_t since; /* number of the last question before its first try */
		uint64_t at_ms;
		enum reopen_looked looked; /* what the look-ups of the name since have found */
	} slots[REOPEN_SLOTS];
};

enum reopen_try {
	REOPEN_FIRST,
	REOPEN_BY_NAME, /* the second, after a look-up that found the name */
	REOPEN_PAST_NAME, /* the second, of the same file without a look-up */
};

/* @pid is about to be told ESTALE. It may lose its slot to another thread, and asks again then. */
void reopen_note(struct reopen *reopen, pid_t pid, struct reopen_file file, uint64_t since);
/* Whether @pid may be about to try again: it looks the name up for that, twice if the first look-up
 * did not find it. */
bool reopen_looks(struct reopen *reopen, pid_t pid, uint64_t st_ino, bool found);
/* Which try of @pid's this is. Of a second one *ret_since is from the first, which is forgotten. */
enum reopen_try reopen_take(struct reopen *reopen, pid_t pid, struct reopen_file file,
			    uint64_t *ret_since);
/* @pid does something else: its open is over, however it ended. */
void reopen_forget(struct reopen *reopen, pid_t pid);
