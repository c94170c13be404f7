/* SPDX-License-Identifier: MIT */
/*
 * A record as JSON: what PUT / says and what both requests of the JSON door answer
 * (docs/PROTOCOL.md). Threads: functions touch nothing but their arguments.
 */
#pragma once

#include "lib/buf.h"
#include "lib/record.h"

#include <jansson.h>

/*
 * {"key": "..", "content_type": "..", "encoding": "..", "value": ".." [, "value_base64": true]}
 * Ownership: value points into what the struct owns.
 */
struct json_record {
	struct key key;
	struct label content_type;
	struct label encoding;
	const char *value;
	size_t value_len;

	json_t *json; /* may hold a value that was sent as text */
	struct buf copy; /* holds any other */
};

#define JSON_WHY_MAX 160

/* 0; -ENOMEM; -EINVAL with a sentence in @ret_why that says what to mend. */
int json_record_parse(const char *text, size_t len, struct json_record *ret_record,
		      char ret_why[JSON_WHY_MAX]);
void json_record_deinit(struct json_record *record);

/*
 * Appends {"<hex>":{"content_type":..,"encoding":..,"value":..}} and a newline. A value that is not
 * valid UTF-8 becomes base64 with "value_base64":true beside it. 0; -ENOMEM; -EMSGSIZE if it would
 * be longer than @max; -EINVAL if a label is not UTF-8.
 */
int json_record_print(const struct key *key, const char *content_type, const char *encoding,
		      const void *value, size_t value_len, size_t max, struct buf *out);
