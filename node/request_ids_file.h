/* SPDX-License-Identifier: MIT */
/*
 * The request ids that a copy of a store takes along (docs/FORMAT.md, "Request ids"): its log does
 * not reach back to the writes that they stand for. Threads: any for saving; the caller serialises
 * loading.
 */
#pragma once

#include "lib/buf.h"
#include "node/request_ids.h"
#include "node/vfs.h"

#define REQUEST_IDS_NAME "REQUEST-IDS"

/* Durable: those whose version has a sequence up to @last_sequence, all that the copy holds. */
int request_ids_save(struct request_ids *ids, struct vfs *vfs, const char *dir,
		     uint64_t last_sequence);
/* Adds those of the file, if there is one; *ret_newest_ns: the latest time of any, INT64_MAX if
 * there is no file. -EBADMSG: damaged; -EPROTONOSUPPORT: a later format. */
int request_ids_load(struct request_ids *ids, struct vfs *vfs, const char *dir,
		     int64_t *ret_newest_ns);
/* Removes the file if it has grown too old to matter. */
void request_ids_tidy(struct vfs *vfs, const char *dir, int64_t newest_ns, int64_t now_ns);

/* The bytes of the file. */
int request_ids_encode(struct request_ids *ids, uint64_t last_sequence, struct buf *out);
/* *ret_newest_ns: the latest time of any. */
int request_ids_decode(struct request_ids *ids, const void *data, size_t len,
		       int64_t *ret_newest_ns);
