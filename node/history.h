/* SPDX-License-Identifier: MIT */
/*
 * The epochs of a store: each with the sequence of its first entry, ascending (docs/FORMAT.md,
 * "History"). A new one is durable before anything is done in its name, so no version ever names
 * two values. Threads: the caller serialises.
 */
#pragma once

#include "node/vfs.h"

struct history_epoch {
	uint64_t epoch;
	uint64_t first_sequence;
};

struct history {
	struct history_epoch *epochs;
	size_t count;
};

/* A missing file is an empty history. -EBADMSG: damaged; -EPROTONOSUPPORT: a later format. */
int history_read(struct vfs *vfs, const char *dir, const uint8_t store_id[16],
		 struct history *ret_history);
/* Adds an epoch and makes it durable; on failure the history in memory is as before. Epochs in
 * which nothing was written leave no trace. */
int history_begin(struct history *history, struct vfs *vfs, const char *dir,
		  const uint8_t store_id[16], uint64_t epoch, uint64_t first_sequence);
/* 0 if there is none. */
uint64_t history_last_epoch(const struct history *history);
void history_deinit(struct history *history);
