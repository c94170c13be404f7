/* SPDX-License-Identifier: MIT */
/*
 * Takes in a value that arrives in pieces: in memory while it is small, beyond that a pool thread
 * writes it to a value file, while the next pieces are collected. When both buffers are full the
 * sender waits.
 *
 * Errors: the first failure to write ends the upload (complete() with a negative errno) and leaves
 * no file. Threads: the worker's.
 */
#pragma once

#include "node/service.h"

struct value_upload;

struct value_upload_events {
	/* value_upload_take() would take more now. */
	void (*room)(void *state);
	/* Exactly once, unless the upload is freed before: 0 after value_upload_end(), or a
	 * negative errno at any time. Never from inside a call. */
	void (*complete)(void *state, int error);
};

/* What arrived. */
struct value_upload_result {
	const void *value; /* inline: borrowed from the upload */
	size_t value_len;
	struct value_file *file; /* or in a file: the caller takes the reference */
	uint64_t file_size;
	struct hash128 file_hash;
	bool file_utf8;
};

/* @expected: the length that was announced, -1 if none was. -EBUSY: the worker has no more
 * memory for uploads (SERVICE_UPLOAD_BYTES_MAX). */
int value_upload_new(struct service_worker *worker, int64_t expected,
		     const struct value_upload_events *events, void *state,
		     struct value_upload **ret_upload);
/* At any time; deletes what was written unless the result was taken. */
struct value_upload *value_upload_free(struct value_upload *upload);

/* Returns how many bytes it took; fewer than @len: room() follows, or complete(). */
size_t value_upload_take(struct value_upload *upload, const void *data, size_t len);
/* That was all. True: it is in memory, complete already and without complete(). */
bool value_upload_end(struct value_upload *upload);
/* After completion, once. */
struct value_upload_result value_upload_result(struct value_upload *upload);
