/* SPDX-License-Identifier: MIT */
/*
 * What segments, manifests and value files share (docs/FORMAT.md, "Files"): checksums that are
 * bound to a file and a place in it, so that bytes of another file or another place never pass, and
 * the header of 64 bytes.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#define FILE_HEADER_BYTES 64

/* XXH3-64 of @data, seeded by file and place (an offset, a chunk index). */
uint64_t checksum(uint64_t file_id, uint64_t place, const void *data, size_t len);

struct file_kind {
	const char *name; /* "segment" */
	char magic[9]; /* 8 bytes */
	uint32_t version;
	uint32_t features; /* required-feature bits that this program knows */
};

void file_header_encode(const struct file_kind *kind, uint64_t file_id,
			uint8_t ret_header[FILE_HEADER_BYTES]);
/* 0; -EBADMSG damaged or another file's; -ENOTSUP written by a newer program. Logs a sentence that
 * names @path. */
int file_header_check(const struct file_kind *kind, uint64_t file_id, const uint8_t *header,
		      size_t len, const char *path);
