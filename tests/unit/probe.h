/* SPDX-License-Identifier: MIT */
/*
 * A call of the libcurl client in a loop, and what became of it. One loop, one client, and a guard
 * that ends a test which hangs.
 */
#pragma once

#include "lib/http_client.h"
#include "lib/loop.h"

#define PROBE_DEADLINE_MS 10000

extern struct loop *probe_loop;
extern struct http_client *probe_client;

struct probe {
	struct call call;
	unsigned status;
	int64_t content_length;
	struct fields fields;
	struct buf body;
	enum outcome result;
	bool maybe_applied;
	unsigned heads, dones;
	bool inside_call; /* http_client_call() is running */

	size_t take_at_most; /* of each piece of a body; 0: all */
	bool cancel_in_head, cancel_in_body;
	const char *upload; /* streamed */
	size_t upload_len, upload_at;
	size_t upload_piece; /* at most at once; then a pause */
	bool upload_paused;
	bool upload_breaks_off;
	bool keep_running; /* its end does not stop the loop */
	unsigned resume_after_ms;
	struct loop_timer resume;
	struct probe *next; /* called from done() */
	const char *url;
};

/* Of a test group. */
int probe_set_up(void **state);
int probe_tear_down(void **state);
/* Starts the call; defaults for what is not set in it. */
void probe_start(struct probe *probe);
/* Runs the loop until a call is done or cancelled, or somebody stops it. */
void probe_run(void);
/* Both, at @url. */
void probe_ask(struct probe *probe, const char *url);
void probe_deinit(struct probe *probe);
void probe_assert_body(const struct probe *probe, const char *text);
