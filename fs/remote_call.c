/* SPDX-License-Identifier: MIT */
#include "fs/remote_call.h"

#include "fs/fence.h"
#include "lib/clock.h"
#include "lib/log.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define CONNECT_TIMEOUT_MS 3000
/* A look-up and the creation that it was for lie less apart. */
#define STALE_LATELY_MS 5000

int remote_new(const struct remote_options *options, struct remote **ret_remote)
{
	const struct http_sync_options http = {
		.base = options->url,
		.token = options->token,
		.connections_max = options->connections_max,
		.connect_timeout_ms = options->timeout_ms < CONNECT_TIMEOUT_MS ? options->timeout_ms
									       : CONNECT_TIMEOUT_MS,
	};
	struct remote *remote = calloc(1, sizeof(*remote));
	int r;

	if (!remote)
		return -ENOMEM;
	remote->timeout_ms = options->timeout_ms;
	doubts_init(&remote->doubts);
	lately_init(&remote->lately);
	r = http_sync_new(&http, &remote->client);
	if (r < 0) {
		remote_free(remote);
		return r;
	}
	*ret_remote = remote;
	return 0;
}

struct remote *remote_free(struct remote *remote)
{
	if (!remote)
		return NULL;
	http_sync_free(remote->client);
	doubts_deinit(&remote->doubts);
	lately_deinit(&remote->lately);
	free(remote);
	return NULL;
}

/* The errno of an answer; logs what the user can't see from it. */
static int answer_error(const struct request *request, const struct http_sync_answer *answer)
{
	enum outcome outcome = outcome_from_status(answer->status);
	char why[512];

	if (outcome_is_success(outcome))
		return 0;
	if (!request->quiet && outcome != OUTCOME_NOT_FOUND &&
	    outcome != OUTCOME_PRECONDITION_FAILED && outcome != OUTCOME_RANGE_NOT_SATISFIABLE)
		log_warn("request refused", "method=%s target=%s status=%u answer=%s",
			 method_name(request->method), request->target, answer->status,
			 log_quote(answer->problem.len ? (const char *)answer->problem.data : "",
				   why, sizeof(why)));
	return -outcome_info(outcome)->error;
}

struct changes *remote_changes(struct remote *remote)
{
	return &remote->changes;
}

bool remote_is_stale(const struct http_sync_answer *answer)
{
	return fields_get(&answer->fields, FIELD_STALE, NULL) != NULL;
}

/* The follower says how long ago it had everything. That its answer is on its way makes it no
 * younger. */
struct remote_age remote_age_of(const struct http_sync_answer *answer, uint64_t asked_ms)
{
	const char *text = fields_get(&answer->fields, FIELD_STALENESS_MS, NULL);
	struct remote_age age = { .stale = remote_is_stale(answer) };
	unsigned long long staleness_ms;
	char *end;

	if (!text || *text < '0' || *text > '9')
		return age;
	staleness_ms = strtoull(text, &end, 10);
	if (*end == '\0' && staleness_ms < asked_ms)
		age.holds_ms = asked_ms - staleness_ms;
	return age;
}

bool remote_lacks(struct remote *remote, const char *key, const struct remote_age *age,
		  const struct version *found)
{
	return age->stale && lately_contradicts(&remote->lately, key, age->holds_ms, found);
}

bool remote_was_stale_lately(struct remote *remote)
{
	uint64_t at_ms = atomic_load(&remote->stale_at_ms);

	return at_ms > 0 && clock_monotonic_ms() - at_ms < STALE_LATELY_MS;
}

static bool is_change(const struct request *request)
{
	return request->method != METHOD_GET && request->method != METHOD_HEAD;
}

/* NULL if the target (may be NULL) is no record. */
static const char *changed_name(const char *target)
{
	static const char path[] = "/kv/";

	return target && strncmp(target, path, strlen(path)) == 0 ? target + strlen(path) : NULL;
}

/* The names that the request changes. */
static void note_changes(struct remote *remote, const struct request *request)
{
	const char *names[] = { request->target,
				fields_get(&request->fields, FIELD_DESTINATION, NULL) };

	if (!is_change(request))
		return;
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (changed_name(names[i]))
			changes_note(&remote->changes, changed_name(names[i]));
}

static struct version stored_version(const struct http_sync_answer *answer)
{
	struct version version = { 0 };
	size_t len;
	const char *text = fields_get(&answer->fields, FIELD_ETAG, &len);

	if (text && version_from_etag(text, len, &version) < 0)
		version = (struct version){ 0 };
	return version;
}

/* What the request, which has succeeded, did to the names that it changes. */
static void note_done(struct remote *remote, const struct request *request,
		      const struct http_sync_answer *answer)
{
	const char *from = changed_name(request->target);
	const char *to = changed_name(fields_get(&request->fields, FIELD_DESTINATION, NULL));

	if (!is_change(request) || request->changes_nothing || !from)
		return;
	if (request->method == METHOD_MOVE && to) {
		lately_removed(&remote->lately, from);
		lately_stored(&remote->lately, to, stored_version(answer));
	} else if (request->method == METHOD_DELETE) {
		lately_removed(&remote->lately, from);
	} else {
		lately_stored(&remote->lately, from, stored_version(answer));
	}
}

int remote_call_plain(struct remote *remote, struct request *request,
		      struct http_sync_answer *ret_answer)
{
	int r;

	note_changes(remote, request);
	r = request_perform(request, remote->client, ret_answer);
	note_changes(remote, request);
	if (r < 0)
		return r;
	if (remote_is_stale(ret_answer))
		atomic_store(&remote->stale_at_ms, clock_monotonic_ms());
	/* So that the problem's text may be logged as a string. */
	if (ret_answer->problem.len > 0 && buf_append_u8(&ret_answer->problem, 0) < 0)
		buf_clear(&ret_answer->problem);
	r = answer_error(request, ret_answer);
	if (r == 0)
		note_done(remote, request, ret_answer);
	return r;
}

int remote_call(struct remote *remote, struct request *request, const struct interrupt *interrupt,
		struct http_sync_answer *ret_answer)
{
	request->interrupt = interrupt;
	if (request->timeout_ms == 0)
		request->timeout_ms = remote->timeout_ms;
	if (request->changes_nothing || request->method == METHOD_GET ||
	    request->method == METHOD_HEAD)
		return remote_call_plain(remote, request, ret_answer);
	return fence_call(remote, request, ret_answer);
}

bool remote_is_in_doubt(struct remote *remote, const char *key)
{
	return doubts_concern(&remote->doubts, key);
}
