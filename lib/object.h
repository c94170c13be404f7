/* SPDX-License-Identifier: MIT */
/*
 * The object protocol: the meaning of its header fields (docs/PROTOCOL.md), decoded once for every
 * program. Errors: -EINVAL with a sentence in @ret_why (static, never NULL) when a field is
 * malformed; -ENOMEM.
 */
#pragma once

#include "lib/field.h"
#include "lib/outcome.h"
#include "lib/record.h"

enum durability { DURABILITY_DISK, DURABILITY_MEMORY };
enum ack { ACK_LEADER, ACK_QUORUM, ACK_ALL };
enum read_from { READ_DEFAULT, READ_LEADER, READ_ANY };

struct request_id {
	uint8_t bytes[16];
};

bool request_id_is_set(const struct request_id *id);
void request_id_generate(struct request_id *ret_id);
void request_id_to_hex(const struct request_id *id, char ret_hex[33]);

#define PRECONDITION_TAGS_MAX 16

/* If-Match, If-None-Match, If-Unmodified-Since, If-Modified-Since, as data that may be evaluated
 * later. */
struct precondition {
	bool if_match, if_match_any; /* present; "*" */
	bool if_none_match, if_none_match_any;
	bool if_unmodified_since, if_modified_since;
	uint8_t match_count, none_match_count;
	struct version match[PRECONDITION_TAGS_MAX];
	struct version none_match[PRECONDITION_TAGS_MAX];
	int64_t unmodified_since_s, modified_since_s;
};

bool precondition_is_empty(const struct precondition *pre);
/* RFC 9110 13.2.2. @current is NULL if there is no record. Returns OUTCOME_OK (go on),
 * OUTCOME_NOT_MODIFIED (@is_read only) or OUTCOME_PRECONDITION_FAILED. */
enum outcome precondition_evaluate(const struct precondition *pre,
				   const struct record_meta *current, bool is_read);

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
};

/* Decodes the fields; accepts and checks every one of the protocol. Destination: an absolute URI or
 * path whose path is /kv/{hex}. */
int object_request_parse(const struct fields *fields, struct object_request *ret_request,
			 const char **ret_why);

/* Content-Type, HexKV-Encoding, ETag, Last-Modified, HexKV-Mtime, HexKV-Hash, HexKV-Utf8,
 * Accept-Ranges, HexKV-Size. */
int object_fields_set(struct fields *fields, const struct record_meta *meta);
/* The inverse, for clients: what object_fields_set() wrote. -EBADMSG if one is missing or
 * malformed. */
int object_fields_parse(const struct fields *fields, struct record_meta *ret_meta);

struct byte_range {
	uint64_t offset;
	uint64_t len;
};

/* Range and If-Range against a record. OUTCOME_OK: send it whole (no range, more than one range,
 * another unit, If-Range did not match); OUTCOME_PARTIAL: *ret_range;
 * OUTCOME_RANGE_NOT_SATISFIABLE. */
enum outcome object_range(const struct fields *fields, const struct record_meta *meta,
			  struct byte_range *ret_range);

/* IMF-fixdate of RFC 9110 5.6.7; @ret_text has room for 30. */
void http_date_format(int64_t seconds, char ret_text[30]);
int http_date_parse(const char *text, int64_t *ret_seconds);

/* "/kv/{hex}" -> key. -ENOENT: another path; -EINVAL: /kv/ with something that is not a key. */
int object_path_parse(const char *path, struct key *ret_key);
