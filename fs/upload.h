/* SPDX-License-Identifier: MIT */
/*
 * Uploads that follow their writer: content that is new and is written from its start on in order
 * goes to the router while it is written, read from the staging file; the record appears once the
 * file is flushed, with what is then known about it. Anything else that happens to the content
 * abandons the upload, which leaves no trace; the staging file has everything.
 *
 * Ownership: an inode that is being uploaded holds a reference to its upload, the thread another.
 * Threads: locks themselves, after the inode table's lock.
 */
#pragma once

#include "fs/remote.h"
#include "fs/staging.h"

struct upload;
struct uploads;

struct uploads_options {
	struct remote *remote;
	unsigned threads; /* so many at once; other content is only staged */
	uint64_t begin_bytes; /* from which size on it is worth while */
	uint32_t idle_ms; /* an upload gives up when its writer pauses for longer */
};

int uploads_new(const struct uploads_options *options, struct uploads **ret_uploads);
/* Abandons all and waits for their threads. Accepts NULL. */
struct uploads *uploads_free(struct uploads *uploads);

/* Begins to send @staging as the record @key, if there is enough of it beyond the first @from bytes
 * and a thread is free; else *ret_upload is NULL. 0 or -ENOMEM. @replaces: as in remote_put. */
int upload_begin(struct uploads *uploads, const char *key, const struct version *replaces,
		 struct staging *staging, uint64_t from, struct upload **ret_upload);
/* Accepts NULL. */
struct upload *upload_unref(struct upload *upload);
struct upload *upload_ref(struct upload *upload);

/* Around every change of the staging file, which begins at @offset and is of @len bytes (0 for
 * truncating it there). If bytes that were sent already would change, the upload is abandoned.
 * upload_before_change(): 0, or an error of the upload that further writing can't mend. */
int upload_before_change(struct upload *upload, uint64_t offset);
void upload_after_change(struct upload *upload, uint64_t offset, uint64_t len);

/* Sends the rest, and @last with it; the caller keeps changes away. 0; UPLOAD_NOTHING if there was
 * nothing to end, as it had failed or been abandoned before: the content is then sent as usual; or
 * a negative errno. */
#define UPLOAD_NOTHING 1
int upload_finish(struct upload *upload, const char *key, const struct remote_put_last *last,
		  const struct interrupt *interrupt, struct remote_stored *ret_stored);
/* Nothing of it will be stored, unless upload_finish() has been called. Does not wait. Accepts
 * NULL. */
void upload_abandon(struct upload *upload);
