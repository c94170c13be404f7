/* SPDX-License-Identifier: MIT */
/*
 * A test double for router and nodes: the object protocol over records in memory, one loop, nothing
 * on disk. It lets the mount be tested, and traced, without a cluster:
 *
 *   fake_store --listen 127.0.0.1:8080 [--delay-ms N] [--refuse STATUS]
 *
 * GET /requests tells how many requests there were, by method.
 */
#include "lib/cleanup.h"
#include "lib/clock.h"
#include "lib/log.h"
#include "lib/object.h"
#include "lib/options.h"
#include "lib/reply.h"
#include "lib/server.h"

#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>

#define PAGE_NAMES 100
#define EPOCH      0x10001

struct fake_record {
	struct key key;
	struct record_meta meta;
	struct buf value;
};

struct fake_store {
	struct fake_record **records; /* in the order of keys */
	size_t count, cap;
	uint64_t sequence;
	uint64_t requests[METHOD_POST + 1];
	unsigned delay_ms;
	unsigned refuse;
};

struct fake_exchange {
	struct exchange *ex;
	struct fake_store *store;
	struct key key;
	struct object_request request;
	struct buf body;
	struct loop_timer delay;
};

/* Index of @key, or of where it belongs. */
static size_t position(const struct fake_store *store, const struct key *key, bool *ret_found)
{
	size_t low = 0, high = store->count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (key_compare(&store->records[middle]->key, key) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	*ret_found = low < store->count && key_compare(&store->records[low]->key, key) == 0;
	return low;
}

static struct fake_record *find(struct fake_store *store, const struct key *key)
{
	bool found;
	size_t at = position(store, key, &found);

	return found ? store->records[at] : NULL;
}

static struct fake_record *find_or_add(struct fake_store *store, const struct key *key)
{
	bool found;
	size_t at = position(store, key, &found);

	if (found)
		return store->records[at];
	if (store->count == store->cap) {
		store->cap = store->cap ? 2 * store->cap : 64;
		store->records = realloc(store->records, store->cap * sizeof(*store->records));
	}
	memmove(store->records + at + 1, store->records + at,
		(store->count - at) * sizeof(*store->records));
	store->records[at] = calloc(1, sizeof(**store->records));
	store->records[at]->key = *key;
	store->count++;
	return store->records[at];
}

static void drop(struct fake_store *store, const struct key *key)
{
	bool found;
	size_t at = position(store, key, &found);

	if (!found)
		return;
	buf_deinit(&store->records[at]->value);
	free(store->records[at]);
	store->count--;
	memmove(store->records + at, store->records + at + 1,
		(store->count - at) * sizeof(*store->records));
}

static void new_version(struct fake_store *store, struct fake_record *record)
{
	record->meta.version = (struct version){ .epoch = EPOCH, .sequence = ++store->sequence };
}

static void answer_meta(struct exchange *ex, enum outcome outcome, const struct record_meta *meta)
{
	struct answer answer = { .status = outcome_info(outcome)->status };

	(void)object_fields_set(&answer.fields, meta);
	fields_unset(&answer.fields, FIELD_CONTENT_TYPE);
	exchange_respond(ex, &answer);
}

static void do_get(struct fake_exchange *fake, struct fake_record *record)
{
	struct answer answer = { .status = 200 };
	struct byte_range range = { .len = record->meta.size_bytes };
	enum outcome outcome = object_range(&fake->ex->request, &record->meta, &range);

	if (outcome == OUTCOME_RANGE_NOT_SATISFIABLE) {
		reply_problem(fake->ex, outcome, "no such range");
		return;
	}
	if (outcome != OUTCOME_PARTIAL)
		range = (struct byte_range){ .len = record->meta.size_bytes };
	answer.status = outcome_info(outcome)->status;
	(void)object_fields_set(&answer.fields, &record->meta);
	if (outcome == OUTCOME_PARTIAL)
		(void)fields_setf(&answer.fields, FIELD_CONTENT_RANGE,
				  "bytes %" PRIu64 "-%" PRIu64 "/%" PRIu64, range.offset,
				  range.offset + range.len - 1, record->meta.size_bytes);
	if (fake->ex->method == METHOD_GET)
		(void)buf_append(&answer.bytes, record->value.data + range.offset,
				 (size_t)range.len);
	exchange_respond(fake->ex, &answer);
}

static void do_put(struct fake_exchange *fake, struct fake_record *record)
{
	enum outcome outcome = record ? OUTCOME_NO_CONTENT : OUTCOME_CREATED;
	const struct object_request *request = &fake->request;

	record = find_or_add(fake->store, &fake->key);
	buf_deinit(&record->value);
	record->value = buf_take(&fake->body);
	(void)label_set(&record->meta.content_type, CONTENT_TYPE_DEFAULT,
			strlen(CONTENT_TYPE_DEFAULT));
	(void)label_set(&record->meta.encoding, ENCODING_DEFAULT, strlen(ENCODING_DEFAULT));
	if (request->has_content_type)
		record->meta.content_type = request->content_type;
	if (request->has_encoding)
		record->meta.encoding = request->encoding;
	record->meta.mtime_ns = request->has_mtime ? request->mtime_ns : clock_realtime_ns();
	record->meta.size_bytes = record->value.len;
	new_version(fake->store, record);
	answer_meta(fake->ex, outcome, &record->meta);
}

static void do_patch(struct fake_exchange *fake, struct fake_record *record)
{
	json_t *json = json_loadb((const char *)fake->body.data, fake->body.len, 0, NULL);
	const char *content_type = json_string_value(json_object_get(json, "content_type"));
	const char *encoding = json_string_value(json_object_get(json, "encoding"));
	const json_t *mtime = json_object_get(json, "mtime_ns");

	if (content_type)
		(void)label_set(&record->meta.content_type, content_type, strlen(content_type));
	if (encoding)
		(void)label_set(&record->meta.encoding, encoding, strlen(encoding));
	if (mtime)
		record->meta.mtime_ns = json_integer_value(mtime);
	if (json_object_size(json) > 0)
		new_version(fake->store, record);
	json_decref(json);
	answer_meta(fake->ex, OUTCOME_NO_CONTENT, &record->meta);
}

static void do_move(struct fake_exchange *fake, struct fake_record *record)
{
	struct fake_record *to = find(fake->store, &fake->request.destination);
	enum outcome outcome = to ? OUTCOME_NO_CONTENT : OUTCOME_CREATED;

	if (to && !fake->request.overwrite) {
		reply_problem(fake->ex, OUTCOME_PRECONDITION_FAILED, "the destination exists");
		return;
	}
	to = find_or_add(fake->store, &fake->request.destination);
	buf_deinit(&to->value);
	to->value = buf_take(&record->value);
	to->meta = record->meta;
	new_version(fake->store, to);
	drop(fake->store, &fake->key);
	answer_meta(fake->ex, outcome, &to->meta);
}

static void do_object(struct fake_exchange *fake)
{
	struct exchange *ex = fake->ex;
	struct fake_record *record = find(fake->store, &fake->key);
	bool is_read = ex->method == METHOD_GET || ex->method == METHOD_HEAD;
	enum outcome outcome =
		precondition_evaluate(&fake->request.pre, record ? &record->meta : NULL, is_read);
	struct answer deleted = { .status = 204 };

	if (!record && ex->method != METHOD_PUT)
		reply_problem(ex, OUTCOME_NOT_FOUND, "no such record");
	else if (outcome == OUTCOME_NOT_MODIFIED)
		answer_meta(ex, outcome, &record->meta);
	else if (outcome != OUTCOME_OK)
		reply_problem(ex, outcome, "precondition");
	else if (is_read)
		do_get(fake, record);
	else if (ex->method == METHOD_PUT)
		do_put(fake, record);
	else if (ex->method == METHOD_PATCH)
		do_patch(fake, record);
	else if (ex->method == METHOD_MOVE)
		do_move(fake, record);
	else {
		drop(fake->store, &fake->key);
		exchange_respond(ex, &deleted);
	}
}

static void do_keys(struct fake_exchange *fake)
{
	char cursor[KEY_HEX_MAX + 1] = "", etag[ETAG_BYTES_MAX], hex[KEY_HEX_MAX + 1];
	struct fake_store *store = fake->store;
	json_t *names = json_array();
	struct key key;
	size_t at = 0;
	bool found;

	if (exchange_query(fake->ex, "cursor", cursor, sizeof(cursor)) == 1 &&
	    key_from_hex(cursor, strlen(cursor), &key) == 0) {
		at = position(store, &key, &found);
		at += found;
	}
	for (; at < store->count && json_array_size(names) < PAGE_NAMES; at++) {
		const struct fake_record *record = store->records[at];

		key_to_hex(&record->key, hex);
		version_to_etag(record->meta.version, etag);
		json_array_append_new(names,
				      json_pack("{s:s, s:I, s:I, s:s}", "key", hex, "size",
						(json_int_t)record->meta.size_bytes, "mtime_ns",
						(json_int_t)record->meta.mtime_ns, "etag", etag));
	}
	reply_json(fake->ex, OUTCOME_OK,
		   json_pack("{s:o, s:o}", "names", names, "cursor",
			     at < store->count ? json_string(hex) : json_null()));
}

static void do_requests(struct fake_exchange *fake)
{
	json_t *json = json_object();

	for (int method = METHOD_GET; method <= METHOD_MOVE; method++)
		json_object_set_new(json, method_name((enum method)method),
				    json_integer((json_int_t)fake->store->requests[method]));
	reply_json(fake->ex, OUTCOME_OK, json);
}

static void answer_now(struct loop_timer *timer)
{
	struct fake_exchange *fake =
		(struct fake_exchange *)((char *)timer - offsetof(struct fake_exchange, delay));
	const char *path = fake->ex->path;

	if (strcmp(path, "/keys") == 0)
		do_keys(fake);
	else if (strcmp(path, "/requests") == 0)
		do_requests(fake);
	else if (strcmp(path, "/status") == 0)
		reply_json(fake->ex, OUTCOME_OK,
			   json_pack("{s:{s:I, s:I}, s:i}", "space", "free_bytes",
				     (json_int_t)1 << 36, "total_bytes", (json_int_t)1 << 37,
				     "entries", (int)fake->store->count));
	else if (strncmp(path, "/kv/", 4) == 0)
		do_object(fake);
	else
		reply_problem(fake->ex, OUTCOME_NOT_FOUND, "no such path");
}

static size_t fake_body(struct exchange *ex, const void *data, size_t len)
{
	struct fake_exchange *fake = ex->state;

	return buf_append(&fake->body, data, len) == 0 ? len : 0;
}

static void fake_end(struct exchange *ex)
{
	struct fake_exchange *fake = ex->state;
	const char *why = NULL;

	if (strncmp(ex->path, "/kv/", 4) == 0) {
		if (object_path_parse(ex->path, &fake->key) < 0 ||
		    object_request_parse(&ex->request, &fake->request, &why) < 0) {
			reply_problem(ex, OUTCOME_BAD_REQUEST, "%s", why ? why : "no key");
			return;
		}
		if (ex->method <= METHOD_POST)
			fake->store->requests[ex->method]++;
		if (fake->store->refuse) {
			reply_problem(ex, outcome_from_status(fake->store->refuse), "as told");
			return;
		}
	}
	fake->delay.expired = answer_now;
	if (fake->store->delay_ms == 0)
		answer_now(&fake->delay);
	else
		(void)loop_set_timer(ex->loop, &fake->delay,
				     clock_monotonic_ms() + fake->store->delay_ms);
}

static void fake_finish(struct exchange *ex, bool answered)
{
	struct fake_exchange *fake = ex->state;

	(void)answered;
	loop_clear_timer(ex->loop, &fake->delay);
	buf_deinit(&fake->body);
	free(fake);
}

static const struct exchange_handler handler = {
	.body = fake_body,
	.end = fake_end,
	.finish = fake_finish,
};

static void begin(struct exchange *ex, struct worker *worker)
{
	struct fake_exchange *fake = calloc(1, sizeof(*fake));

	fake->ex = ex;
	fake->store = worker->state;
	fake->delay.heap_index = -1;
	ex->state = fake;
	ex->handler = &handler;
}

static int start(struct worker *worker, void *program)
{
	worker->state = program;
	return 0;
}

static void stop(struct worker *worker)
{
	struct fake_store *store = worker->state;

	for (size_t i = 0; i < store->count; i++) {
		buf_deinit(&store->records[i]->value);
		free(store->records[i]);
	}
	free(store->records);
}

int main(int argc, char **argv)
{
	static struct fake_store store;
	struct server_options server = {
		.listen = "127.0.0.1:8080",
		.workers = 1,
		.drain_ms = 1000,
		.http = { .connection_limit = 512,
			  .idle_timeout_ms = 60000,
			  .head_timeout_ms = 10000 },
	};
	const struct option_spec specs[] = {
		{ "listen", 0, OPTION_STRING, &server.listen, "ADDR:PORT", "where it is asked", 0,
		  0 },
		{ "port-file", 0, OPTION_STRING, &server.port_file, "FILE",
		  "write the port there once it listens", 0, 0 },
		{ "delay-ms", 0, OPTION_UNSIGNED, &store.delay_ms, "MS", "answer that much later",
		  0, 0 },
		{ "refuse", 0, OPTION_UNSIGNED, &store.refuse, "STATUS",
		  "answer every object request with this status", 0, 0 },
	};
	const struct options options = {
		.program = "fake_store",
		.summary = "Answers the object protocol from memory.",
		.specs = specs,
		.spec_count = sizeof(specs) / sizeof(specs[0]),
	};
	static const struct server_service service = {
		.start = start,
		.stop = stop,
		.begin = begin,
	};
	int first, status;

	if (options_parse(&options, argc, argv, &first, &status) != 0)
		return status;
	log_init("fake_store", LOG_LEVEL_WARN);
	return server_run(&server, &service, &store);
}
