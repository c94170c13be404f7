/* SPDX-License-Identifier: MIT */
/*
 * The header fields that hexkv knows: one table gives each its HTTP name and its tag in frames, so
 * that a request means the same on either transport. Fields that are not in the table are neither
 * read nor forwarded.
 */
#pragma once

#include "lib/buf.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The numbers are tags on the wire (docs/PROTOCOL.md): never renumber. */
enum field {
	FIELD_CONTENT_TYPE = 1,
	FIELD_ENCODING = 2, /* HexKV-Encoding */
	FIELD_ETAG = 3,
	FIELD_LAST_MODIFIED = 4,
	FIELD_MTIME = 5, /* HexKV-Mtime, ns since 1970, decimal */
	FIELD_IF_MATCH = 6,
	FIELD_IF_NONE_MATCH = 7,
	FIELD_IF_MODIFIED_SINCE = 8,
	FIELD_IF_UNMODIFIED_SINCE = 9,
	FIELD_IF_RANGE = 10,
	FIELD_RANGE = 11,
	FIELD_CONTENT_RANGE = 12,
	FIELD_ACCEPT_RANGES = 13,
	FIELD_DESTINATION = 14,
	FIELD_OVERWRITE = 15,
	FIELD_DURABILITY = 16, /* HexKV-Durability: disk | memory */
	FIELD_ACK = 17, /* HexKV-Ack: leader | quorum | all */
	FIELD_READ = 18, /* HexKV-Read: leader | any */
	FIELD_STALE = 19, /* HexKV-Stale: true */
	FIELD_STALENESS_MS = 20, /* HexKV-Staleness-Ms */
	FIELD_REQUEST_ID = 21, /* HexKV-Request-Id: 32 hex digits */
	FIELD_ALLOW = 22,
	FIELD_RETRY_AFTER = 23,
	FIELD_CONTENT_LOCATION = 24,
	FIELD_AUTHORIZATION = 25,
	FIELD_WWW_AUTHENTICATE = 26,
	FIELD_HASH = 27, /* HexKV-Hash: XXH3-128 of the value, 32 hex digits, high half first */
	FIELD_UTF8 = 28, /* HexKV-Utf8: true | false */
	FIELD_CACHE_CONTROL = 29,
	FIELD_LEADER = 30, /* HexKV-Leader: URL of the shard's leader, on 421 */
	FIELD_SIZE = 31, /* HexKV-Size: the value's size, on answers to HEAD and on frames that say
			    "stream it" */
	FIELD_TRAILER = 32, /* Trailer: names of fields that follow a chunked body */
	FIELD_FINAL_TYPE = 33, /* HexKV-Content-Type: Content-Type after the body, where that is not
				  allowed */
	FIELD_PIN = 34, /* HexKV-Pin: seconds */
	FIELD_PIN_TOKEN = 35, /* HexKV-Pin-Token */
	FIELD_REPEATED = 36, /* HexKV-Repeated: true, on answers to writes */
	FIELD_COUNT
};

/* "Content-Type". */
const char *field_name(enum field field);
/* Without regard to case; 0 if unknown. */
enum field field_from_name(const char *name, size_t len);

/*
 * A set of fields, at most one value each.
 * Ownership: copies what it is given; zero-initialise, fields_deinit() frees.
 */
struct fields {
	uint64_t present; /* a bit each */
	uint32_t offset[FIELD_COUNT]; /* into text; 0 = absent, so text starts with a filler byte */
	uint16_t len[FIELD_COUNT];
	struct buf text;
};

#define FIELD_VALUE_MAX 4096

/* Replaces an earlier value. 0, -ENOMEM, -EINVAL (longer than FIELD_VALUE_MAX, or a CR, LF or NUL
 * in it). */
int fields_set(struct fields *fields, enum field field, const char *value, size_t len);
int fields_setf(struct fields *fields, enum field field, const char *format, ...)
	__attribute__((format(printf, 3, 4)));
void fields_unset(struct fields *fields, enum field field);
/* NUL-terminated, borrowed until the next set; NULL if absent. @ret_len may be NULL. */
const char *fields_get(const struct fields *fields, enum field field, size_t *ret_len);
/* The next one that is present, FIELD_COUNT after the last; begins with 0. */
enum field fields_next(const struct fields *fields, enum field after);
int fields_copy(const struct fields *from, struct fields *to);
struct fields fields_take(struct fields *fields);
void fields_deinit(struct fields *fields);
