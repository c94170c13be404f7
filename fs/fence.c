/* SPDX-License-Identifier: MIT */
#include "fs/fence.h"

#include "lib/cleanup.h"
#include "lib/hex.h"
#include "lib/log.h"

#include <errno.h>
#include <jansson.h>
#include <string.h>

#define FENCE_TRIES 16

static const char path[] = "/kv/";

struct fence {
	struct remote *remote;
	struct request *request;
	const char *keys[2]; /* in one order for all; the second one may be NULL */
	const char *source; /* of a MOVE, else the one key */
	const char *destination; /* of a MOVE, else NULL */
	struct request_id id;
	bool under_way;
	bool other; /* a doubt arose while the request was on its way */
};

static const char *key_of(const char *target)
{
	return target + strlen(path);
}

static void fence_init(struct fence *fence, struct remote *remote, struct request *request)
{
	const char *to = fields_get(&request->fields, FIELD_DESTINATION, NULL);

	*fence = (struct fence){ .remote = remote, .request = request };
	fence->source = key_of(request->target);
	if (request->method == METHOD_MOVE)
		fence->destination = key_of(to);
	fence->keys[0] = fence->source;
	fence->keys[1] = fence->destination;
	if (fence->keys[1] && strcmp(fence->keys[0], fence->keys[1]) > 0) {
		fence->keys[0] = fence->destination;
		fence->keys[1] = fence->source;
	}
}

static int set_id(struct request *request, const struct request_id *id)
{
	char hex[33];

	request_id_to_hex(id, hex);
	return fields_set(&request->fields, FIELD_REQUEST_ID, hex, 32);
}

/* request.commit */
static int begin(void *state)
{
	struct fence *fence = state;
	const struct request *request = fence->request;

	if (fence->under_way)
		return 0;
	for (int i = 0; i < 2 && fence->keys[i]; i++) {
		int r = doubts_begin(&fence->remote->doubts, fence->keys[i], &fence->id,
				     request->timeout_ms, request->interrupt);

		if (r != 0 && i > 0)
			doubts_end(&fence->remote->doubts, fence->keys[0], NULL);
		fence->other = r == DOUBT_OTHER;
		if (r != 0)
			return fence->other ? REQUEST_BROKEN_OFF : r;
	}
	fence->under_way = true;
	return 0;
}

/* What is in doubt about a name that a MOVE gives: the copy between shards has an id of its own. */
static struct doubt doubt_of_move(const struct fence *fence)
{
	const char *etag = fields_get(&fence->request->fields, FIELD_IF_MATCH, NULL);
	struct doubt doubt = { .from_id = fence->id };
	struct key key;

	if (key_from_hex(fence->destination, strlen(fence->destination), &key) == 0)
		doubt.id = request_id_of_copy(&fence->id, etag ? etag : "", &key);
	strncpy(doubt.from, fence->source, NAME_BYTES_MAX);
	return doubt;
}

static void end(struct fence *fence, int result)
{
	struct doubts *doubts = &fence->remote->doubts;
	bool open = fence->request->unsure;
	struct doubt doubt = { .id = fence->id };
	struct doubt of_move;

	if (!fence->under_way)
		return;
	fence->under_way = false;
	if (open)
		log_debug("write is in doubt", "key=%s error=%d", fence->source, -result);
	if (result == 0)
		doubts_settled(doubts, fence->source, &fence->id);
	doubts_end(doubts, fence->source, open ? &doubt : NULL);
	if (!fence->destination)
		return;
	of_move = doubt_of_move(fence);
	doubts_end(doubts, fence->destination, open ? &of_move : NULL);
}

static int call(struct fence *fence, const struct request_id *id,
		struct http_sync_answer *ret_answer)
{
	struct request *request = fence->request;
	int r = set_id(request, id);

	if (r < 0)
		return r;
	fence->id = *id;
	fence->other = false;
	request->commit = begin;
	request->commit_state = fence;
	request->unsure = false;
	r = remote_call_plain(fence->remote, request, ret_answer);
	end(fence, r);
	return r;
}

static bool is_repeated(const struct http_sync_answer *answer)
{
	return fields_get(&answer->fields, FIELD_REPEATED, NULL) != NULL;
}

static int settling_init(const struct fence *fence, enum method method, const char *key,
			 const struct request_id *id, struct request *ret_request)
{
	int r = request_init(ret_request, method, path, key);

	ret_request->interrupt = fence->request->interrupt;
	ret_request->timeout_ms = fence->request->timeout_ms;
	return r < 0 ? r : set_id(ret_request, id);
}

/* Where there is no record: -ESTALE if there is. */
static int settle_absent(const struct fence *fence, const char *key, const struct request_id *id,
			 bool *ret_repeated)
{
	_cleanup_(request_deinit) struct request request;
	_cleanup_(http_sync_answer_deinit) struct http_sync_answer answer = { 0 };
	int r;

	r = settling_init(fence, METHOD_DELETE, key, id, &request);
	request.changes_nothing = true;
	if (r == 0)
		r = fields_setf(&request.fields, FIELD_IF_NONE_MATCH, "*");
	if (r == 0)
		r = remote_call_plain(fence->remote, &request, &answer);
	*ret_repeated = is_repeated(&answer);
	return r;
}

struct patch_text {
	const char *data;
	size_t len;
};

static ssize_t read_patch(void *state, uint64_t offset, void *data, size_t len)
{
	const struct patch_text *text = state;

	if (offset >= text->len)
		return 0;
	if (len > text->len - offset)
		len = text->len - (size_t)offset;
	memcpy(data, text->data + offset, len);
	return (ssize_t)len;
}

/* Where there is a record: -ENOENT or -ESTALE if it changes meanwhile. */
static int settle_present(const struct fence *fence, const char *key, const struct request_id *id)
{
	_cleanup_(request_deinit) struct request request = { 0 };
	_cleanup_(http_sync_answer_deinit) struct http_sync_answer answer = { 0 };
	_cleanup_(freep) char *json = NULL;
	struct patch_text text;
	struct record_meta meta;
	char etag[ETAG_BYTES_MAX];
	json_t *patch;
	int r;

	r = remote_head_at_leader(fence->remote, key, fence->request->interrupt, &meta);
	if (r < 0)
		return r;
	patch = json_pack("{s:s}", "content_type", meta.content_type.text);
	json = patch ? json_dumps(patch, JSON_COMPACT) : NULL;
	json_decref(patch);
	if (!json)
		return -ENOMEM;
	text = (struct patch_text){ .data = json, .len = strlen(json) };
	version_to_etag(meta.version, etag);
	r = settling_init(fence, METHOD_PATCH, key, id, &request);
	request.changes_nothing = true;
	if (r == 0)
		r = fields_setf(&request.fields, FIELD_IF_MATCH, "%s", etag);
	if (r < 0)
		return r;
	request.has_body = true;
	request.upload_bytes = text.len;
	request.upload = read_patch;
	request.state = &text;
	return remote_call_plain(fence->remote, &request, &answer);
}

enum settled { SETTLED_ABSENT, SETTLED_MAYBE_THERE };

/* Takes @id at @key, so that no write with it can be applied to that any more. These requests
 * change nothing, also if they come late, and whoever writes @key meanwhile takes @id himself. */
static int settle(const struct fence *fence, const char *key, const struct request_id *id)
{
	for (int i = 0; i < FENCE_TRIES; i++) {
		bool repeated;
		int r = settle_absent(fence, key, id, &repeated);

		if (r == 0)
			return repeated ? SETTLED_MAYBE_THERE : SETTLED_ABSENT;
		if (r != -ESTALE)
			return r;
		r = settle_present(fence, key, id);
		if (r == 0)
			return SETTLED_MAYBE_THERE;
		if (r != -ESTALE && r != -ENOENT)
			return r;
	}
	return -EIO;
}

/* A move that did not end goes no further. */
static int settle_source(const struct fence *fence, const struct doubt *doubt)
{
	int r = *doubt->from ? settle(fence, doubt->from, &doubt->from_id) : 0;

	return r < 0 ? r : 0;
}

static int settle_key(const struct fence *fence, const char *key)
{
	struct doubt doubt;
	int r;

	if (!doubts_find(&fence->remote->doubts, key, &doubt))
		return 0;
	r = settle_source(fence, &doubt);
	if (r == 0)
		r = settle(fence, key, &doubt.id);
	if (r >= 0)
		doubts_settled(&fence->remote->doubts, key, &doubt.id);
	return r < 0 ? r : 0;
}

/* Nothing was there to delete, and nothing shall come. False if something may have come. */
static int settle_deleted(const struct fence *fence, const struct doubt *doubt, bool *ret_again)
{
	int r = settle(fence, fence->source, &doubt->id);

	if (r < 0)
		return r;
	doubts_settled(&fence->remote->doubts, fence->source, &doubt->id);
	*ret_again = r == SETTLED_MAYBE_THERE;
	return -ENOENT;
}

/* One round: *ret_again if another has to follow. */
static int write_once(struct fence *fence, const struct request_id *fresh, bool *ret_again,
		      struct http_sync_answer *ret_answer)
{
	struct doubt doubt;
	bool in_doubt;
	int r = 0;

	*ret_again = false;
	in_doubt = doubts_find(&fence->remote->doubts, fence->source, &doubt);
	if (in_doubt)
		r = settle_source(fence, &doubt);
	if (r == 0)
		r = call(fence, in_doubt ? &doubt.id : fresh, ret_answer);
	if (r == REQUEST_BROKEN_OFF && fence->other)
		*ret_again = true;
	else if (in_doubt && r == 0)
		*ret_again = is_repeated(ret_answer);
	else if (in_doubt && r == -ENOENT && fence->request->method == METHOD_DELETE)
		r = settle_deleted(fence, &doubt, ret_again);
	return r;
}

static int move_once(struct fence *fence, const struct request_id *fresh, bool *ret_again,
		     struct http_sync_answer *ret_answer)
{
	int r = 0;

	for (int i = 0; i < 2 && r == 0; i++)
		r = settle_key(fence, fence->keys[i]);
	if (r == 0)
		r = call(fence, fresh, ret_answer);
	*ret_again = r == REQUEST_BROKEN_OFF && fence->other;
	return r;
}

int fence_call(struct remote *remote, struct request *request, struct http_sync_answer *ret_answer)
{
	struct fence fence;
	int r = -EIO;

	fence_init(&fence, remote, request);
	for (int i = 0; i < FENCE_TRIES; i++) {
		struct request_id fresh;
		bool again;

		request_id_generate(&fresh);
		http_sync_answer_deinit(ret_answer);
		r = fence.destination ? move_once(&fence, &fresh, &again, ret_answer)
				      : write_once(&fence, &fresh, &again, ret_answer);
		if (!again)
			return r;
	}
	return r < 0 && r != REQUEST_BROKEN_OFF ? r : -EIO;
}
