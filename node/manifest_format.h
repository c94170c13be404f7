/* SPDX-License-Identifier: MIT */
/* Bytes of the manifest and of CURRENT (docs/FORMAT.md, "Manifest"). Private to node/manifest*.c
 * and their tests. */
#pragma once

#include "node/checksum.h"
#include "node/manifest.h"

/* Before each payload: u64 checksum of what follows it, u32 payload length, u32 kind. */
#define MANIFEST_RECORD_HEADER_BYTES 16

enum manifest_record_kind {
	MANIFEST_EDIT = 1,
	/* Everything before it is on stable storage. */
	MANIFEST_SEAL = 2,
};

/* "hexkv-current 1 0123456789abcdef checksum\n" */
#define MANIFEST_CURRENT_BYTES 50

extern const struct file_kind manifest_kind;

int manifest_edit_encode(const struct manifest_edit *edit, struct buf *out);
/* Applies the edit to @state. -EBADMSG, -ENOMEM. */
int manifest_edit_replay(struct manifest_state *state, const void *data, size_t len);
int manifest_record_encode(uint64_t file_id, uint64_t offset, enum manifest_record_kind kind,
			   const void *payload, size_t len, struct buf *out);
/* Replays the whole content of manifest file @file_id. @path is for the log. */
int manifest_replay(struct manifest_state *state, uint64_t file_id, const void *data, size_t len,
		    const char *path);
void manifest_current_encode(uint64_t file_id, char ret_text[MANIFEST_CURRENT_BYTES + 1]);
int manifest_current_decode(const char *text, size_t len, uint64_t *ret_file_id);
