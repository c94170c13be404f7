/* SPDX-License-Identifier: MIT */
/*
 * Damage that is met while the log of a running store is read. Nothing is lost by it as long as the
 * store runs: what the log held is in memtables or segments. But nobody can be brought on by a log
 * that can't be read, nor could it be opened again.
 *
 * Threads: any.
 */
#pragma once

#include "node/store.h"

struct log_damage {
	uint64_t file_id; /* 0: none */
	uint64_t offset; /* of the record that can't be read */
};

/* What was met last and has not been mended. */
struct log_damage store_log_damage(struct store *store);
/* Readers of the log: what stands there is damaged, or the disk does not give it. */
void store_log_note_damage(struct store *store, uint64_t file_id, uint64_t offset, int error);
/* Flushes everything and gives up the log up to the end of the damaged file: whoever is not there
 * yet finds the log trimmed. If what was damaged can be read by now, nothing is done. Blocks for a
 * flush. -EBUSY: somebody has pinned the log; -ESHUTDOWN; others: the disk does not take it. */
int store_log_mend(struct store *store);
