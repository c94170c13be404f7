/* SPDX-License-Identifier: MIT */
/* What the two kinds of checkpoints share. */
#pragma once

#include "node/checkpoint.h"
#include "node/store_private.h"

#define CHECKPOINTS_NAME    "checkpoints"
#define CHECKPOINT_FLUSH_MS 60000

/* @dir/@name, to be freed; NULL if memory is out. */
char *checkpoint_path(const char *dir, const char *name);

/* Where the log stands at @position, which is on stable storage. -EAGAIN: records behind it repair
 * what is before it, so the entries up to there are no state that counts; *ret_flush_helps: they
 * will be once all that is logged now is in segments. */
int checkpoint_find_point(struct store *store, uint64_t position, struct wal_mark *ret_mark,
			  bool *ret_flush_helps);

struct checkpoint_content {
	struct version point;
	struct wal_pin *pin; /* of the log behind it */
	struct checkpoint_file *files;
	size_t count;
	uint64_t bytes;
};

/* Fills the new directory @dir with what is flushed. Contents are on stable storage when it returns
 * 0, names are not. On failure @dir holds something. */
int checkpoint_make(struct store *store, const char *dir, struct checkpoint_content *ret_content);
void checkpoint_content_deinit(struct store *store, struct checkpoint_content *content);
/* checkpoints/ in the data directory, durable. */
int checkpoint_make_parent(struct store *store, char **ret_path);
