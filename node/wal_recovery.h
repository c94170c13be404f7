/* SPDX-License-Identifier: MIT */
/*
 * Reads a log as a crash or a shutdown left it and decides what it holds. Changes nothing on disk.
 */
#pragma once

#include "node/wal_files.h"

struct wal_recovery {
	struct wal_file_info *files; /* the chain of predecessors, oldest first */
	size_t file_count;
	uint64_t *strays; /* ids of files that are not in it: trimmed, or never completed */
	size_t stray_count;
	uint64_t last_id; /* highest id ever used here */
	/* Of the last file: */
	uint64_t synced; /* promised up to here */
	uint64_t end; /* whole records up to here */
	struct wal_mark end_mark;
};

/* As wal_verify(). @replay may be NULL. */
int wal_recover(const struct wal_options *options, wal_replay_fn replay, void *state,
		struct wal_recovery *ret_recovery, char **ret_why);
void wal_recovery_deinit(struct wal_recovery *recovery);
/* 0 or -ENOMEM; a sentence for @ret_why. */
int wal_say(char **ret_why, const char *format, ...) __attribute__((format(printf, 2, 3)));
