/* SPDX-License-Identifier: MIT */
#include "fs/remote.h"

#include "fs/remote_call.h"
#include "fs/stats.h"
#include "lib/cleanup.h"
#include "lib/clock.h"
#include "lib/log.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MOVE_TRIES 16

static_assert(REMOTE_SIZE_UNKNOWN == HTTP_SYNC_LENGTH_UNKNOWN, "one number for both");

static int set_if_match(struct request *request, const struct version *version)
{
	char etag[ETAG_BYTES_MAX];

	if (!version)
		return 0;
	version_to_etag(*version, etag);
	return fields_setf(&request->fields, FIELD_IF_MATCH, "%s", etag);
}

static int set_durable(struct fields *fields, enum durability durability)
{
	return fields_setf(fields, FIELD_DURABILITY, "%s",
			   durability == DURABILITY_DISK ? "disk" : "memory");
}

static int parse_meta(const struct http_sync_answer *answer, struct record_meta *ret_meta)
{
	int r = object_fields_parse(&answer->fields, ret_meta);

	/* No file is that large. */
	if (r == 0 && ret_meta->size_bytes > INT64_MAX)
		r = -EBADMSG;
	return r == -EBADMSG ? -EIO : r;
}

enum whom {
	WHOEVER, /* the leader, or a follower while there is none */
	THE_LEADER,
};

static int ask_whom(struct request *request, enum whom whom)
{
	if (whom == WHOEVER)
		return 0;
	/* That there is none is for the caller to say. */
	request->quiet = true;
	return fields_setf(&request->fields, FIELD_READ, "leader");
}

static bool is_away(int error)
{
	return error == -EIO || error == -ETIMEDOUT;
}

static int head(struct remote *remote, const char *key, enum whom whom,
		const struct interrupt *interrupt, struct record_meta *ret_meta)
{
	_cleanup_(request_deinit) struct request request;
	_cleanup_(http_sync_answer_deinit) struct http_sync_answer answer = { 0 };
	int r;

	r = request_init(&request, METHOD_HEAD, "/kv/", key);
	if (r == 0)
		r = ask_whom(&request, whom);
	if (r == 0)
		r = remote_call(remote, &request, interrupt, &answer);
	return r < 0 ? r : parse_meta(&answer, ret_meta);
}

int remote_head(struct remote *remote, const char *key, const struct interrupt *interrupt,
		struct record_meta *ret_meta)
{
	return head(remote, key, WHOEVER, interrupt, ret_meta);
}

int remote_head_at_leader(struct remote *remote, const char *key, const struct interrupt *interrupt,
			  struct record_meta *ret_meta)
{
	return head(remote, key, THE_LEADER, interrupt, ret_meta);
}

static int collect_value(void *state, uint64_t offset, const void *data, size_t len)
{
	struct buf *value = state;

	if (offset == 0)
		buf_clear(value);
	if (value->len + len > VALUE_SMALL_MAX)
		return -EFBIG;
	return buf_append(value, data, len);
}

void remote_record_deinit(struct remote_record *record)
{
	buf_deinit(&record->value);
	record->pin = pin_unref(record->pin);
}

static int ask_for_pin(struct request *request, uint32_t seconds)
{
	return seconds ? fields_setf(&request->fields, FIELD_PIN, "%" PRIu32, seconds) : 0;
}

static int show_token(struct request *request, const char *token)
{
	return token ? fields_setf(&request->fields, FIELD_PIN_TOKEN, "%s", token) : 0;
}

/* A pin lasts from the request on at least, and not longer than any may, whatever the answer says;
 * without memory there is none. */
static struct pin *pin_of(const char *key, struct version version, uint64_t asked_ms,
			  const struct http_sync_answer *answer)
{
	const char *seconds = fields_get(&answer->fields, FIELD_PIN, NULL);
	const char *token = fields_get(&answer->fields, FIELD_PIN_TOKEN, NULL);
	uint64_t lasts_s;

	if (!seconds || !token)
		return NULL;
	lasts_s = strtoul(seconds, NULL, 10);
	if (lasts_s > PIN_SECONDS_MAX)
		lasts_s = PIN_SECONDS_MAX;
	return pin_new(key, version, token, asked_ms + lasts_s * 1000);
}

struct get {
	struct remote *remote;
	const char *key;
	const struct version *known;
	uint32_t pin_s;
	const struct interrupt *interrupt;
};

static int get_request(const struct get *get, enum whom whom, struct request *ret_request)
{
	char etag[ETAG_BYTES_MAX];
	int r;

	r = request_init(ret_request, METHOD_GET, "/kv/", get->key);
	if (r == 0)
		r = fields_setf(&ret_request->fields, FIELD_RANGE, "bytes=0-%d",
				VALUE_SMALL_MAX - 1);
	if (r == 0 && get->known) {
		version_to_etag(*get->known, etag);
		r = fields_setf(&ret_request->fields, FIELD_IF_NONE_MATCH, "%s", etag);
	}
	if (r == 0)
		r = ask_for_pin(ret_request, get->pin_s);
	return r == 0 ? ask_whom(ret_request, whom) : r;
}

static int get_from(const struct get *get, enum whom whom, struct remote_record *ret_record,
		    struct remote_age *ret_age)
{
	_cleanup_(request_deinit) struct request request;
	_cleanup_(http_sync_answer_deinit) struct http_sync_answer answer = { 0 };
	struct record_meta *meta = &ret_record->meta;
	uint64_t asked_ms = clock_monotonic_ms();
	int r;

	r = get_request(get, whom, &request);
	if (r < 0)
		return r;
	request.body = collect_value;
	request.state = &ret_record->value;
	r = remote_call(get->remote, &request, get->interrupt, &answer);
	*ret_age = remote_age_of(&answer, asked_ms);
	ret_record->stale = ret_age->stale;
	/* No range of an empty value can be satisfied. */
	if (answer.status == outcome_info(OUTCOME_RANGE_NOT_SATISFIABLE)->status || r == -EFBIG) {
		buf_clear(&ret_record->value);
		r = head(get->remote, get->key, whom, get->interrupt, meta);
		ret_record->whole = r == 0 && meta->size_bytes == 0;
		return r;
	}
	if (r < 0)
		return r == -EPROTO ? -EIO : r;
	if (answer.status == outcome_info(OUTCOME_NOT_MODIFIED)->status) {
		if (!get->known)
			return -EIO;
		ret_record->pin = pin_of(get->key, *get->known, asked_ms, &answer);
		return REMOTE_SAME;
	}
	r = parse_meta(&answer, meta);
	if (r < 0)
		return r;
	ret_record->whole = ret_record->value.len == meta->size_bytes;
	if (!ret_record->whole)
		ret_record->pin = pin_of(get->key, meta->version, asked_ms, &answer);
	return 0;
}

/* Whether a follower answered who lacks what was done here. */
static bool is_behind(const struct get *get, uint64_t asked_ms, const struct remote_age *age,
		      int result, const struct remote_record *record)
{
	const struct version *found = result == REMOTE_SAME ? get->known : &record->meta.version;

	if (result < 0 && result != -ENOENT)
		return false;
	if (result == -ENOENT)
		found = NULL;
	if (!age->stale)
		lately_heard(&get->remote->lately, get->key, asked_ms, found);
	return remote_lacks(get->remote, get->key, age, found);
}

/* The leader may be away for long: one that waited for it has waited for all of a directory. */
static bool is_worth_waiting(struct remote *remote)
{
	return clock_monotonic_ms() >= atomic_load(&remote->no_wait_until_ms);
}

static void waited_in_vain(struct remote *remote)
{
	atomic_store(&remote->no_wait_until_ms, clock_monotonic_ms() + remote->timeout_ms);
}

int remote_get(struct remote *remote, const char *key, const struct version *known, uint32_t pin_s,
	       const struct interrupt *interrupt, struct remote_record *ret_record)
{
	const struct get get = { remote, key, known, pin_s, interrupt };
	uint64_t asked_ms = clock_monotonic_ms();
	struct remote_age age = { 0 };
	int r;

	r = get_from(&get, WHOEVER, ret_record, &age);
	if (!is_behind(&get, asked_ms, &age, r, ret_record) || !is_worth_waiting(remote))
		return r;
	remote_record_deinit(ret_record);
	*ret_record = (struct remote_record){ 0 };
	r = get_from(&get, THE_LEADER, ret_record, &age);
	if (!is_away(r))
		return r;
	waited_in_vain(remote);
	log_warn("a follower is believed that lacks what was done here", "key=%s", key);
	lately_forget(&remote->lately, key);
	remote_record_deinit(ret_record);
	*ret_record = (struct remote_record){ 0 };
	return get_from(&get, WHOEVER, ret_record, &age);
}

int remote_pin(struct remote *remote, const struct remote_pinning *pinning,
	       const struct interrupt *interrupt, struct pin **ret_pin)
{
	_cleanup_(request_deinit) struct request request;
	_cleanup_(http_sync_answer_deinit) struct http_sync_answer answer = { 0 };
	uint64_t asked_ms = clock_monotonic_ms();
	int r;

	r = request_init(&request, METHOD_HEAD, "/kv/", pinning->key);
	if (r == 0)
		r = set_if_match(&request, &pinning->version);
	if (r == 0)
		r = ask_for_pin(&request, pinning->seconds);
	if (r == 0)
		r = show_token(&request, pinning->token);
	if (r < 0)
		return r;
	request.timeout_ms = pinning->timeout_ms;
	request.quiet = pinning->quiet;
	r = remote_call(remote, &request, interrupt, &answer);
	if (r == 0)
		*ret_pin = pin_of(pinning->key, pinning->version, asked_ms, &answer);
	return r;
}

struct range_sink {
	const struct remote_range *range;
	uint64_t received;
};

static int range_body(void *state, uint64_t offset, const void *data, size_t len)
{
	struct range_sink *sink = state;

	if (offset + len > sink->range->len)
		return -EIO;
	sink->received = offset + len;
	return sink->range->sink(sink->range->state, sink->range->offset + offset, data, len);
}

static int range_request(const struct remote_range *range, enum whom whom,
			 struct request *ret_request)
{
	int r;

	r = request_init(ret_request, METHOD_GET, "/kv/", range->key);
	if (r == 0)
		r = set_if_match(ret_request, &range->version);
	if (r == 0)
		r = show_token(ret_request, range->token);
	if (r == 0)
		r = fields_setf(&ret_request->fields, FIELD_RANGE, "bytes=%" PRIu64 "-%" PRIu64,
				range->offset, range->offset + range->len - 1);
	return r == 0 ? ask_whom(ret_request, whom) : r;
}

static int read_from(struct remote *remote, const struct remote_range *range, enum whom whom,
		     const struct interrupt *interrupt, bool *ret_stale)
{
	_cleanup_(request_deinit) struct request request;
	_cleanup_(http_sync_answer_deinit) struct http_sync_answer answer = { 0 };
	struct range_sink sink = { .range = range };
	int r;

	*ret_stale = false;
	r = range_request(range, whom, &request);
	if (r < 0)
		return r;
	request.small = range->len <= VALUE_SMALL_MAX;
	request.body = range_body;
	/* Else its beginning would pass for the part, and be used before the end has come. */
	request.partial = range->offset > 0;
	request.state = &sink;
	r = remote_call(remote, &request, interrupt, &answer);
	*ret_stale = remote_is_stale(&answer);
	/* The version is gone with the record: the same to a reader. */
	if (r == -ENOENT)
		return -ESTALE;
	if (r < 0)
		return r == -EPROTO ? -EIO : r;
	return sink.received == range->len ? 0 : -EIO;
}

int remote_read(struct remote *remote, const struct remote_range *range,
		const struct interrupt *interrupt)
{
	bool stale;
	int r;

	r = read_from(remote, range, WHOEVER, interrupt, &stale);
	/* A follower may only be behind. */
	if (r != -ESTALE || !stale || !is_worth_waiting(remote))
		return r;
	r = read_from(remote, range, THE_LEADER, interrupt, &stale);
	if (!is_away(r))
		return r;
	waited_in_vain(remote);
	return -ESTALE;
}

/* The version and time that the leader gave; @mtime_ns stands in for a time it did not tell. */
static int parse_stored(const struct http_sync_answer *answer, int64_t mtime_ns,
			struct remote_stored *ret_stored)
{
	struct version version;
	size_t len;
	const char *text = fields_get(&answer->fields, FIELD_ETAG, &len);

	if (!text || version_from_etag(text, len, &version) < 0) {
		log_error("answer without a valid ETag", "status=%u", answer->status);
		return -EIO;
	}
	ret_stored->version = version;
	ret_stored->mtime_ns = mtime_ns;
	text = fields_get(&answer->fields, FIELD_MTIME, NULL);
	if (text)
		ret_stored->mtime_ns = strtoll(text, NULL, 10);
	return 0;
}

static int last_fields(void *state, struct fields *ret_fields)
{
	const struct remote_put *put = state;
	struct remote_put_last last = { 0 };
	int r;

	put->last(put->state, &last);
	r = fields_setf(ret_fields, FIELD_FINAL_TYPE, "%s", last.content_type);
	if (r == 0)
		r = fields_setf(ret_fields, FIELD_ENCODING, "%s", last.encoding);
	if (r == 0)
		r = fields_setf(ret_fields, FIELD_MTIME, "%" PRId64, last.mtime_ns);
	if (r == 0)
		r = set_durable(ret_fields, last.durability);
	return r;
}

static ssize_t put_source(void *state, uint64_t offset, void *data, size_t len)
{
	const struct remote_put *put = state;

	return put->source(put->state, offset, data, len);
}

static int put_fields(struct request *request, const struct remote_put *put)
{
	int r;

	r = fields_setf(&request->fields, FIELD_CONTENT_TYPE, "%s",
			put->content_type ? put->content_type : CONTENT_TYPE_DEFAULT);
	if (r == 0)
		r = fields_setf(&request->fields, FIELD_ENCODING, "%s",
				put->encoding ? put->encoding : ENCODING_DEFAULT);
	if (r == 0 && put->has_mtime)
		r = fields_setf(&request->fields, FIELD_MTIME, "%" PRId64, put->mtime_ns);
	if (r == 0 && put->only_new)
		r = fields_setf(&request->fields, FIELD_IF_NONE_MATCH, "*");
	if (r == 0)
		r = set_if_match(request, put->replaces);
	if (r == 0)
		r = set_durable(&request->fields, put->durability);
	/* All of these come for certain. */
	if (r == 0 && put->last)
		r = fields_setf(&request->fields, FIELD_TRAILER, "%s, %s, %s, %s",
				field_name(FIELD_FINAL_TYPE), field_name(FIELD_ENCODING),
				field_name(FIELD_MTIME), field_name(FIELD_DURABILITY));
	return r;
}

int remote_put(struct remote *remote, const struct remote_put *put,
	       const struct interrupt *interrupt, struct remote_stored *ret_stored)
{
	_cleanup_(request_deinit) struct request request;
	_cleanup_(http_sync_answer_deinit) struct http_sync_answer answer = { 0 };
	int r;

	r = request_init(&request, METHOD_PUT, "/kv/", put->key);
	if (r == 0)
		r = put_fields(&request, put);
	if (r < 0)
		return r;
	request.has_body = true;
	request.upload_bytes = put->size_bytes;
	request.upload = put_source;
	request.trailer = put->last ? last_fields : NULL;
	request.state = (void *)put; /* NOLINT: only read */
	stats_gauge_add(STATS_UPLOADS, 1);
	r = remote_call(remote, &request, interrupt, &answer);
	stats_gauge_add(STATS_UPLOADS, -1);
	if (r < 0)
		return r;
	return parse_stored(&answer, put->has_mtime ? put->mtime_ns : clock_realtime_ns(),
			    ret_stored);
}

struct memory_source {
	const char *data;
	size_t len;
};

static ssize_t read_memory(void *state, uint64_t offset, void *data, size_t len)
{
	const struct memory_source *source = state;

	if (offset >= source->len)
		return 0;
	if (len > source->len - offset)
		len = source->len - (size_t)offset;
	memcpy(data, source->data + offset, len);
	return (ssize_t)len;
}

static int perform_patch(struct remote *remote, struct request *request, json_t *json,
			 const struct interrupt *interrupt, struct http_sync_answer *ret_answer)
{
	_cleanup_(freep) char *text = json_dumps(json, JSON_COMPACT);
	struct memory_source source = { .data = text, .len = text ? strlen(text) : 0 };
	int r;

	if (!text)
		return -ENOMEM;
	r = fields_setf(&request->fields, FIELD_CONTENT_TYPE, "application/merge-patch+json");
	if (r == 0)
		r = set_durable(&request->fields, DURABILITY_DISK);
	if (r < 0)
		return r;
	request->has_body = true;
	request->upload_bytes = source.len;
	request->upload = read_memory;
	request->state = &source;
	return remote_call(remote, request, interrupt, ret_answer);
}

int remote_patch(struct remote *remote, const struct remote_patch *patch,
		 const struct interrupt *interrupt, struct remote_stored *ret_stored)
{
	_cleanup_(request_deinit) struct request request;
	_cleanup_(http_sync_answer_deinit) struct http_sync_answer answer = { 0 };
	json_t *json = json_object();
	int r;

	r = request_init(&request, METHOD_PATCH, "/kv/", patch->key);
	if (r == 0)
		r = set_if_match(&request, patch->of);
	if (r == 0 &&
	    (!json ||
	     (patch->content_type &&
	      json_object_set_new(json, "content_type", json_string(patch->content_type)) < 0) ||
	     (patch->encoding &&
	      json_object_set_new(json, "encoding", json_string(patch->encoding)) < 0) ||
	     (patch->has_mtime &&
	      json_object_set_new(json, "mtime_ns", json_integer(patch->mtime_ns)) < 0)))
		r = -ENOMEM;
	if (r == 0)
		r = perform_patch(remote, &request, json, interrupt, &answer);
	json_decref(json);
	if (r < 0)
		return r;
	return parse_stored(&answer, patch->mtime_ns, ret_stored);
}

int remote_barrier(struct remote *remote, const char *key, const struct version *of,
		   const struct interrupt *interrupt)
{
	_cleanup_(request_deinit) struct request request;
	_cleanup_(http_sync_answer_deinit) struct http_sync_answer answer = { 0 };
	json_t *json = json_object();
	int r;

	r = json ? request_init(&request, METHOD_PATCH, "/kv/", key) : -ENOMEM;
	if (!json)
		request = (struct request){ 0 };
	request.changes_nothing = true;
	if (r == 0)
		r = set_if_match(&request, of);
	if (r == 0)
		r = perform_patch(remote, &request, json, interrupt, &answer);
	json_decref(json);
	return r;
}

int remote_delete(struct remote *remote, const char *key, const struct version *of,
		  enum durability durability, const struct interrupt *interrupt)
{
	_cleanup_(request_deinit) struct request request;
	_cleanup_(http_sync_answer_deinit) struct http_sync_answer answer = { 0 };
	int r;

	r = request_init(&request, METHOD_DELETE, "/kv/", key);
	if (r == 0)
		r = set_if_match(&request, of);
	if (r == 0)
		r = set_durable(&request.fields, durability);
	if (r == 0)
		r = remote_call(remote, &request, interrupt, &answer);
	return r;
}

static int move_version(struct remote *remote, const char *from, const char *to, bool overwrite,
			const struct version *of, const struct interrupt *interrupt,
			struct remote_stored *ret_stored)
{
	_cleanup_(request_deinit) struct request request;
	_cleanup_(http_sync_answer_deinit) struct http_sync_answer answer = { 0 };
	struct record_meta meta;
	int r;

	r = request_init(&request, METHOD_MOVE, "/kv/", from);
	if (r == 0)
		r = fields_setf(&request.fields, FIELD_DESTINATION, "/kv/%s", to);
	if (r == 0)
		r = fields_setf(&request.fields, FIELD_OVERWRITE, "%s", overwrite ? "T" : "F");
	if (r == 0)
		r = set_if_match(&request, of);
	if (r == 0)
		r = remote_call(remote, &request, interrupt, &answer);
	if (r == -ESTALE && !overwrite && remote_head_at_leader(remote, to, interrupt, &meta) == 0)
		return -EEXIST;
	if (r < 0)
		return r;
	return parse_stored(&answer, 0, ret_stored);
}

/* Always names a version: a move that comes late can't move another one. */
int remote_move(struct remote *remote, const char *from, const char *to, bool overwrite,
		const struct version *of, const struct interrupt *interrupt,
		struct remote_stored *ret_stored)
{
	struct record_meta meta;
	int r = -ESTALE;

	if (of)
		return move_version(remote, from, to, overwrite, of, interrupt, ret_stored);
	for (int i = 0; i < MOVE_TRIES && r == -ESTALE; i++) {
		r = remote_head_at_leader(remote, from, interrupt, &meta);
		if (r == 0)
			r = move_version(remote, from, to, overwrite, &meta.version, interrupt,
					 ret_stored);
	}
	return r;
}
