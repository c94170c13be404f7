/* SPDX-License-Identifier: MIT */
#include "tests/unit/probe.h"

#include "lib/clock.h"
#include "lib/container_of.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

struct loop *probe_loop;
struct http_client *probe_client;
static struct loop_timer guard;
static bool hung;

static void guard_expired(struct loop_timer *timer)
{
	(void)timer;
	hung = true;
	loop_stop(probe_loop);
}

static void resume_expired(struct loop_timer *timer)
{
	call_resume(&container_of(timer, struct probe, resume)->call);
}

static void resume_soon(struct probe *probe)
{
	loop_set_timer(probe_loop, &probe->resume, clock_monotonic_ms() + probe->resume_after_ms);
}

static void on_head(struct call *call, unsigned status, struct fields *fields,
		    int64_t content_length)
{
	struct probe *probe = call->state;

	assert_false(probe->inside_call);
	probe->heads++;
	probe->status = status;
	probe->fields = fields_take(fields);
	probe->content_length = content_length;
	if (probe->cancel_in_head) {
		call_cancel(call);
		memset(call, 0xee, sizeof(*call));
		loop_stop(probe_loop);
	}
}

static size_t on_body(struct call *call, const void *data, size_t len)
{
	struct probe *probe = call->state;
	size_t taken = len;

	assert_false(probe->inside_call);
	if (probe->take_at_most && taken > probe->take_at_most)
		taken = probe->take_at_most;
	assert_int_equal(buf_append(&probe->body, data, taken), 0);
	if (probe->cancel_in_body) {
		call_cancel(call);
		memset(call, 0xee, sizeof(*call));
		loop_stop(probe_loop);
	} else if (taken < len) {
		resume_soon(probe);
	}
	return taken;
}

static ssize_t on_upload(struct call *call, void *data, size_t len)
{
	struct probe *probe = call->state;
	size_t left = probe->upload_len - probe->upload_at;

	if (probe->upload_breaks_off && probe->upload_at > 0)
		return -1;
	if (left == 0)
		return CALL_UPLOAD_END;
	if (probe->upload_piece && !probe->upload_paused) {
		probe->upload_paused = true;
		resume_soon(probe);
		return 0;
	}
	probe->upload_paused = false;
	if (probe->upload_piece && left > probe->upload_piece)
		left = probe->upload_piece;
	if (left > len)
		left = len;
	memcpy(data, probe->upload + probe->upload_at, left);
	probe->upload_at += left;
	return (ssize_t)left;
}

static void on_done(struct call *call, enum outcome result, bool maybe_applied)
{
	struct probe *probe = call->state;

	assert_false(probe->inside_call);
	probe->dones++;
	probe->result = result;
	probe->maybe_applied = maybe_applied;
	if (probe->next)
		probe_start(probe->next);
	else if (!probe->keep_running)
		loop_stop(probe_loop);
}

static const struct call_handler handler = { .head = on_head, .body = on_body, .done = on_done };
static const struct call_handler uploading = {
	.head = on_head, .body = on_body, .done = on_done, .upload = on_upload
};

void probe_start(struct probe *probe)
{
	probe->call.state = probe;
	probe->call.handler = probe->upload ? &uploading : &handler;
	if (!probe->call.timeout_ms)
		probe->call.timeout_ms = 5000;
	if (!probe->call.target)
		probe->call.target = "/kv/00ff";
	if (!probe->call.method)
		probe->call.method = METHOD_GET;
	probe->resume.expired = resume_expired;
	probe->inside_call = true;
	assert_int_equal(http_client_call(probe_client, probe->url, NULL, &probe->call), 0);
	probe->inside_call = false;
}

void probe_run(void)
{
	hung = false;
	loop_set_timer(probe_loop, &guard, clock_monotonic_ms() + PROBE_DEADLINE_MS);
	assert_int_equal(loop_run(probe_loop), 0);
	loop_clear_timer(probe_loop, &guard);
	assert_false(hung);
}

void probe_ask(struct probe *probe, const char *url)
{
	probe->url = url;
	probe_start(probe);
	probe_run();
}

void probe_deinit(struct probe *probe)
{
	loop_clear_timer(probe_loop, &probe->resume);
	if (!probe->cancel_in_head && !probe->cancel_in_body)
		fields_deinit(&probe->call.fields);
	fields_deinit(&probe->fields);
	buf_deinit(&probe->body);
}

void probe_assert_body(const struct probe *probe, const char *text)
{
	assert_int_equal(probe->body.len, strlen(text));
	assert_memory_equal(probe->body.data, text, strlen(text));
}

int probe_set_up(void **state)
{
	(void)state;
	guard.expired = guard_expired;
	return loop_new(&probe_loop) < 0 || http_client_new(probe_loop, &probe_client) < 0;
}

int probe_tear_down(void **state)
{
	(void)state;
	http_client_free(probe_client);
	loop_free(probe_loop);
	return 0;
}
