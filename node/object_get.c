/* SPDX-License-Identifier: MIT */
/* GET and HEAD. The record is held from the moment it is found until the last byte is out, so that
 * an answer stays on its version whatever happens to the key. A request that shows a pin's token is
 * about the version that it names; where that is not the current one it takes the current one's
 * place before anything is judged. */
#include "node/object_door.h"
#include "node/record_read.h"
#include "node/value_stream.h"

#include "lib/cleanup.h"
#include "lib/log.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* What a request wants besides its range, which is judged with the answer. */
struct wanted {
	struct precondition pre;
	uint32_t pin_s;
	bool has_pinned;
	struct version pinned;
};

static struct wanted wanted_of(const struct object_request *request)
{
	return (struct wanted){ .pre = request->pre,
				.pin_s = request->pin_s,
				.has_pinned = request->has_pinned,
				.pinned = request->pinned };
}

static void refuse_failure(const struct request *request, const struct key *key, int error)
{
	char hex[KEY_HEX_MAX + 1];

	key_to_hex(key, hex);
	log_error("record not readable", "key=%s error=\"%s\"", hex, strerror(-error));
	request_problem(request, outcome_from_error(error),
			error == -EBADMSG ? "the stored record is damaged; restore it from a copy"
					  : "the record could not be read; see the node's log");
}

/* No pin is no failure: the answer then says nothing of one. */
static int pin(const struct request *request, const struct wanted *wanted,
	       const struct store_record *record, struct fields *fields)
{
	_cleanup_(freep) char *token = NULL;
	int r;

	if (wanted->pin_s == 0)
		return 0;
	r = store_pin(request_service(request)->store, record, wanted->pin_s, &token);
	if (r < 0)
		return r == -ENOENT ? 0 : r;
	r = fields_setf(fields, FIELD_PIN, "%" PRIu32, wanted->pin_s);
	return r < 0 ? r : fields_set(fields, FIELD_PIN_TOKEN, token, strlen(token));
}

/* The conditional headers' answers. RFC 9110 15.4.5: a 304 repeats what lets a cache be updated. */
static int not_modified(const struct store_record *record, struct answer *answer)
{
	int r;

	answer->status = outcome_info(OUTCOME_NOT_MODIFIED)->status;
	r = object_fields_set(&answer->fields, &record->meta);
	if (r < 0)
		return r;
	fields_unset(&answer->fields, FIELD_CONTENT_TYPE);
	fields_unset(&answer->fields, FIELD_ACCEPT_RANGES);
	return 0;
}

static int value_head(const struct store_record *record, enum outcome outcome,
		      const struct byte_range *range, struct answer *answer)
{
	int r;

	answer->status = outcome_info(outcome)->status;
	answer->stream_bytes = range->len;
	r = object_fields_set(&answer->fields, &record->meta);
	/* Whoever keeps a copy asks whether it is still the version. */
	if (r >= 0)
		r = fields_set(&answer->fields, FIELD_CACHE_CONTROL, "no-cache", 8);
	if (r >= 0 && outcome == OUTCOME_PARTIAL)
		r = fields_setf(&answer->fields, FIELD_CONTENT_RANGE,
				"bytes %" PRIu64 "-%" PRIu64 "/%" PRIu64, range->offset,
				range->offset + range->len - 1, record->meta.size_bytes);
	return r;
}

static int inline_body(const struct store_record *record, const struct byte_range *range,
		       struct answer *answer)
{
	answer->stream_bytes = 0;
	if (range->len == 0)
		return 0;
	return buf_append(&answer->bytes, store_record_inline(record) + range->offset, range->len);
}

static void refuse_range(const struct request *request, const struct store_record *record)
{
	char total[32];

	snprintf(total, sizeof(total), "bytes */%" PRIu64, record->meta.size_bytes);
	request_problem_with(request, OUTCOME_RANGE_NOT_SATISFIABLE, FIELD_CONTENT_RANGE, total,
			     "the value has %" PRIu64 " bytes and none in that range",
			     record->meta.size_bytes);
}

/* Answers with the value; takes the record. */
static void answer_value(const struct request *request, const struct wanted *wanted,
			 struct store_record *record)
{
	struct byte_range range = { .len = record->meta.size_bytes };
	bool is_head = request->ex->method == METHOD_HEAD;
	enum outcome outcome = OUTCOME_OK;
	struct answer answer = { 0 };
	int r;

	/* RFC 9110 14.2: only GET has ranges. */
	if (!is_head)
		outcome = object_range(&request->ex->request, &record->meta, &range);
	if (outcome == OUTCOME_RANGE_NOT_SATISFIABLE) {
		refuse_range(request, record);
		store_record_release(record);
		return;
	}
	if (outcome == OUTCOME_OK)
		range = (struct byte_range){ .len = record->meta.size_bytes };
	r = value_head(record, outcome, &range, &answer);
	if (r >= 0)
		r = pin(request, wanted, record, &answer.fields);
	if (r >= 0 && !is_head && record->held.entry.kind == ENTRY_FILE) {
		value_stream_respond(request, record, range.offset, &answer);
		return;
	}
	if (r >= 0 && !is_head)
		r = inline_body(record, &range, &answer);
	store_record_release(record);
	if (r >= 0) {
		request_respond(request, &answer);
		return;
	}
	answer_deinit(&answer);
	request_problem(request, outcome_from_error(r), "memory is out; try again");
}

static void answer_not_modified(const struct request *request, const struct wanted *wanted,
				const struct store_record *record)
{
	struct answer answer = { 0 };

	if (not_modified(record, &answer) >= 0 &&
	    pin(request, wanted, record, &answer.fields) >= 0) {
		request_respond(request, &answer);
		return;
	}
	answer_deinit(&answer);
	request_problem(request, OUTCOME_UNAVAILABLE, "memory is out; try again");
}

/* Puts the version that the token names in the place of the current one. */
static int take_pinned(const struct request *request, const struct key *key,
		       const struct wanted *wanted, int result, struct store_record *record)
{
	const char *token = fields_get(&request->ex->request, FIELD_PIN_TOKEN, NULL);

	if (result == 0 && version_compare(record->meta.version, wanted->pinned) == 0)
		return 0;
	if (result == 0)
		store_record_release(record);
	result = store_get_pinned(request_service(request)->store, key, token, record);
	if (result == 0 && version_compare(record->meta.version, wanted->pinned) != 0) {
		store_record_release(record);
		return STORE_NOT_FOUND;
	}
	return result;
}

/* Takes the record if @result is 0. */
static void answer_record(const struct request *request, const struct key *key,
			  const struct wanted *wanted, int result, struct store_record *record)
{
	enum outcome outcome;

	if (result >= 0 && wanted->has_pinned) {
		result = take_pinned(request, key, wanted, result, record);
		if (result == STORE_NOT_FOUND) {
			request_problem(request, OUTCOME_PRECONDITION_FAILED,
					"the version that the token names is not kept any longer; "
					"read the record again");
			return;
		}
	}
	if (result < 0) {
		refuse_failure(request, key, result);
		return;
	}
	outcome = precondition_evaluate(&wanted->pre, result == 0 ? &record->meta : NULL, true);
	if (outcome == OUTCOME_OK && result == STORE_NOT_FOUND)
		outcome = OUTCOME_NOT_FOUND;
	switch (outcome) {
	case OUTCOME_OK:
		answer_value(request, wanted, record);
		return;
	case OUTCOME_NOT_FOUND:
		request_problem(request, outcome, "there is no record with this key");
		break;
	case OUTCOME_NOT_MODIFIED:
		answer_not_modified(request, wanted, record);
		break;
	default:
		request_problem(request, OUTCOME_PRECONDITION_FAILED,
				"the record is not in the state that the request names");
		break;
	}
	if (result == 0)
		store_record_release(record);
}

struct slow_get {
	struct record_read read;
	struct wanted wanted;
};

static void slow_get_done(struct record_read *read)
{
	struct slow_get *get = (struct slow_get *)read;

	answer_record(&read->request, &read->key, &get->wanted, read->result, &read->record);
	free(get);
}

static void get_in_pool(const struct request *request, const struct key *key,
			const struct wanted *wanted)
{
	struct slow_get *get;

	get = calloc(1, sizeof(*get));
	if (!get) {
		request_problem(request, OUTCOME_UNAVAILABLE, "memory is out; try again");
		return;
	}
	get->read.request = *request;
	get->read.key = *key;
	get->read.done = slow_get_done;
	get->wanted = *wanted;
	request->ex->handler = &request_waits;
	record_read_start(&get->read);
}

void object_get_begin(const struct request *request, const struct key *key,
		      const struct object_request *asked)
{
	const struct wanted wanted = wanted_of(asked);
	struct store_record record;
	int r;

	r = store_get(request_service(request)->store, key, VFS_NOWAIT, &record);
	if (r == -EAGAIN)
		get_in_pool(request, key, &wanted);
	else
		answer_record(request, key, &wanted, r, &record);
}
