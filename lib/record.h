/* SPDX-License-Identifier: MIT */
/* What a record is, whatever stores or carries it: its limits, its version, its metadata. */
#pragma once

#include "lib/hash.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define KEY_BYTES_MAX        127
#define KEY_HEX_MAX          (2 * KEY_BYTES_MAX)
#define LABEL_BYTES_MAX      255 /* content_type and encoding */
#define CONTENT_TYPE_DEFAULT "application/octet-stream"
#define ENCODING_DEFAULT     "binary"
/* Values up to this size travel as frames and, by default, are stored inline. */
#define VALUE_SMALL_MAX (64 * 1024)

struct key {
	uint8_t len; /* 1..KEY_BYTES_MAX */
	uint8_t bytes[KEY_BYTES_MAX];
};

/* From hex of either case. 0, or -EINVAL: not hex, odd, empty or too long. */
int key_from_hex(const char *hex, size_t len, struct key *ret_key);
/* -EINVAL if empty or too long. */
int key_from_bytes(const void *data, size_t len, struct key *ret_key);
/* @ret_hex has room for KEY_HEX_MAX + 1. */
void key_to_hex(const struct key *key, char *ret_hex);

/* memcmp order, the shorter first when one is a prefix. */
int key_compare(const struct key *a, const struct key *b);

/* An epoch names the node that leads in it, so that no two nodes ever share one (node/epoch.h). */
struct version {
	uint64_t epoch;
	uint64_t sequence;
};

int version_compare(struct version a, struct version b);
#define ETAG_BYTES_MAX 40
/* The strong entity tag, with its quotes: "epoch-sequence", both in lower-case hex without leading
 * zeros. */
void version_to_etag(struct version version, char ret_etag[ETAG_BYTES_MAX]);
/* Exactly what version_to_etag() writes; -EINVAL otherwise. */
int version_from_etag(const char *etag, size_t len, struct version *ret_version);

struct label {
	uint8_t len; /* 1..LABEL_BYTES_MAX */
	char text[LABEL_BYTES_MAX + 1]; /* NUL-terminated */
};

/* 1 to 255 bytes, valid UTF-8, no control bytes (C0, DEL, C1), no outer spaces. 0 or -EINVAL. */
int label_set(struct label *label, const char *text, size_t len);

struct record_meta {
	struct label content_type;
	struct label encoding;
	struct version version;
	int64_t mtime_ns;
	uint64_t size_bytes;
	struct hash128 hash; /* XXH3-128 of the value */
	bool utf8; /* the value is valid UTF-8 */
};
