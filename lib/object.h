/* SPDX-License-Identifier: MIT */
/*
 * The object protocol: the meaning of its header fields (docs/PROTOCOL.md), decoded once for every
 * program. Errors: -EINVAL with a sentence in @ret_why (static, never NULL) when a field is
 * malformed; -ENOMEM.
 */
#pragma once

#include "lib/ack.h"
#include "lib/field.h"
#include "lib/http_date.h"
#include "lib/outcome.h"
#include "lib/precondition.h"
#include "lib/range.h"
#include "lib/record.h"

enum durability { DURABILITY_DISK, DURABILITY_MEMORY };
enum read_from { READ_DEFAULT, READ_LEADER, READ_ANY };

struct request_id {
	uint8_t bytes[16];
};

bool request_id_is_set(const struct request_id *id);
void request_id_generate(struct request_id *ret_id);
void request_id_to_hex(const struct request_id *id, char ret_hex[33]);
/* The id of the PUT at @destination by which a MOVE between shards with @id copies the version that
 * @etag (at most ETAG_BYTES_MAX - 1 bytes) names. */
struct request_id request_id_of_copy(const struct request_id *id, const char *etag,
				     const struct key *destination);

/* Everything an object request says besides method, key and body. */
struct object_request {
	struct precondition pre;
	bool has_content_type, has_encoding, has_mtime;
	struct label content_type;
	struct label encoding;
	int64_t mtime_ns;
	enum durability durability;
	enum ack ack;
	enum read_from read;
	struct request_id request_id; /* all zero if the client sent none */
	bool overwrite; /* MOVE; true unless "F" */
	bool has_destination;
	struct key destination;
	uint32_t pin_s; /* HexKV-Pin; 0: none */
	bool has_pinned; /* HexKV-Pin-Token; what else is in it only its node knows */
	struct version pinned; /* the version that it names */
};

#define PIN_SECONDS_MAX     60
#define PIN_TOKEN_BYTES_MAX 2048

/* Decodes the fields; accepts and checks every one of the protocol. Destination: an absolute URI or
 * path whose path is /kv/{hex}. */
int object_request_parse(const struct fields *fields, struct object_request *ret_request,
			 const char **ret_why);

/* Lays what followed a chunked body over the request's fields: HexKV-Content-Type, HexKV-Encoding,
 * HexKV-Mtime and HexKV-Durability count as if they had come first. -EINVAL if one that Trailer
 * announced is missing: somebody on the way drops trailers. */
int object_trailer_apply(const struct fields *trailer, struct fields *fields, const char **ret_why);

/* Content-Type, HexKV-Encoding, ETag, Last-Modified, HexKV-Mtime, HexKV-Hash, HexKV-Utf8,
 * Accept-Ranges, HexKV-Size. */
int object_fields_set(struct fields *fields, const struct record_meta *meta);
/* The inverse, for clients: what object_fields_set() wrote. -EBADMSG if one is missing or
 * malformed. */
int object_fields_parse(const struct fields *fields, struct record_meta *ret_meta);

/* "/kv/{hex}" -> key. -ENOENT: another path; -EINVAL: /kv/ with something that is not a key. */
int object_path_parse(const char *path, struct key *ret_key);
