/* SPDX-License-Identifier: MIT */
/* A node that is named and comes back under another address. The test is its own resolver. */
#include "tests/unit/net_fixture.h"
#include "tests/unit/sync_user.h"

#include "lib/clock.h"
#include "lib/http_client.h"
#include "lib/log.h"
#include "lib/peer.h"

#include <dlfcn.h>
#include <errno.h>
#include <netdb.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define NAME        "moving.test"
#define PATIENCE_MS 20000

typedef int lookup(const char *, const char *, const struct addrinfo *, struct addrinfo **);

/* What the name stands for; 0: nobody knows it any more. */
static _Atomic unsigned current_port;

int getaddrinfo(const char *name, const char *service, const struct addrinfo *hints,
		struct addrinfo **addresses)
{
	char port[16];
	lookup *real;

	*(void **)&real = dlsym(RTLD_NEXT, "getaddrinfo");
	if (!name || strcmp(name, NAME) != 0)
		return real(name, service, hints, addresses);
	if (atomic_load(&current_port) == 0)
		return EAI_AGAIN;
	snprintf(port, sizeof(port), "%u", atomic_load(&current_port));
	return real("127.0.0.1", port, hints, addresses);
}

static struct loop *loop;
static struct http_client *http;
static struct peer *peer;
static enum outcome outcome;
static unsigned status;

static void on_head(struct call *call, unsigned code, struct fields *fields, int64_t length)
{
	(void)call;
	(void)fields;
	(void)length;
	status = code;
}

static size_t on_body(struct call *call, const void *data, size_t len)
{
	(void)call;
	(void)data;
	return len;
}

static void on_done(struct call *call, enum outcome result, bool maybe_applied)
{
	(void)call;
	(void)maybe_applied;
	outcome = result;
	loop_stop(loop);
}

static const struct call_handler handler = { .head = on_head, .body = on_body, .done = on_done };

static bool answers(bool streaming)
{
	struct call call = { .method = METHOD_GET,
			     .target = "/hello",
			     .timeout_ms = 5000,
			     .streaming = streaming,
			     .handler = &handler };

	status = 0;
	assert_int_equal(peer_call(peer, &call), 0);
	assert_int_equal(loop_run(loop), 0);
	fields_deinit(&call.fields);
	return outcome == OUTCOME_OK && status == 200;
}

static void expect_answer(bool streaming)
{
	uint64_t deadline = clock_monotonic_ms() + PATIENCE_MS;

	while (!answers(streaming))
		assert_true(clock_monotonic_ms() < deadline);
}

static void start_server(struct net_server *server)
{
	net_server_start(server, NULL, 0);
	atomic_store(&current_port, server->port);
}

static void open_peer(unsigned port)
{
	char url[64];
	struct peer_options options = { .url = url,
					.connect_timeout_ms = 2000,
					.in_flight_max = 10 };

	snprintf(url, sizeof(url), "http://" NAME ":%u", port);
	assert_int_equal(loop_new(&loop), 0);
	assert_int_equal(http_client_new(loop, &http), 0);
	assert_int_equal(peer_new(loop, http, &options, &peer), 0);
}

static void close_peer(void)
{
	peer = peer_free(peer);
	http = http_client_free(http);
	loop = loop_free(loop);
}

static void a_node_that_comes_back_elsewhere_is_found(void **state)
{
	struct net_server server;

	(void)state;
	start_server(&server);
	open_peer(1);
	for (int i = 0; i < 3; i++) {
		expect_answer(false);
		expect_answer(true);
		net_server_stop(&server);
		assert_false(answers(false));
		start_server(&server);
	}
	expect_answer(false);
	net_server_stop(&server);
	close_peer();
}

static void a_resolver_that_fails_keeps_nobody_from_where_it_was(void **state)
{
	struct net_server server;
	uint16_t port;

	(void)state;
	start_server(&server);
	port = server.port;
	open_peer(port);
	expect_answer(false);
	expect_answer(true);
	net_server_stop(&server);
	atomic_store(&current_port, 0);
	assert_false(answers(false));
	assert_false(answers(true));
	net_server_start(&server, NULL, port);
	expect_answer(false);
	expect_answer(true);
	net_server_stop(&server);
	close_peer();
}

static void a_name_that_nobody_knows_yet_is_asked_for_again(void **state)
{
	struct net_server server;

	(void)state;
	atomic_store(&current_port, 0);
	open_peer(2);
	for (int i = 0; i < 2; i++) {
		assert_false(answers(false));
		assert_int_equal(outcome, OUTCOME_UNAVAILABLE);
		assert_false(answers(true));
		assert_int_equal(outcome, OUTCOME_UNAVAILABLE);
	}
	start_server(&server);
	expect_answer(false);
	expect_answer(true);
	net_server_stop(&server);
	close_peer();
}

static int ask_sync(struct http_sync *client, bool small)
{
	struct sync_user user = { 0 };
	struct http_sync_request request = sync_request_of(&user, METHOD_GET);
	struct http_sync_answer answer;
	int r;

	request.target = "/hello";
	request.small = small;
	r = http_sync_perform(client, &request, &answer);
	if (r == 0) {
		r = answer.status == 200 ? 0 : -EIO;
		http_sync_answer_deinit(&answer);
	}
	buf_deinit(&user.body);
	fields_deinit(&request.fields);
	return r;
}

/* The same for threads that may wait. */
static void a_thread_finds_where_a_name_was_and_where_it_is(void **state)
{
	struct http_sync *client;
	struct net_server server;
	uint16_t port;
	char url[64];

	(void)state;
	start_server(&server);
	port = server.port;
	snprintf(url, sizeof(url), "http://" NAME ":%u", port);
	client = sync_client_new(url, NULL, 1, 2000);
	atomic_store(&current_port, 0);
	for (int i = 0; i < 2; i++) {
		assert_int_equal(ask_sync(client, true), -ECONNREFUSED);
		assert_int_equal(ask_sync(client, false), -ECONNREFUSED);
	}
	atomic_store(&current_port, port);
	assert_int_equal(ask_sync(client, true), 0);
	assert_int_equal(ask_sync(client, false), 0);
	net_server_stop(&server);
	atomic_store(&current_port, 0);
	net_server_start(&server, NULL, port);
	assert_int_equal(ask_sync(client, true), 0);
	assert_int_equal(ask_sync(client, false), 0);
	http_sync_free(client);
	net_server_stop(&server);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_node_that_comes_back_elsewhere_is_found),
		cmocka_unit_test(a_resolver_that_fails_keeps_nobody_from_where_it_was),
		cmocka_unit_test(a_name_that_nobody_knows_yet_is_asked_for_again),
		cmocka_unit_test(a_thread_finds_where_a_name_was_and_where_it_is),
	};

	if (http_client_global_init() < 0)
		return 1;
	log_init("test", LOG_LEVEL_ERROR);
	return cmocka_run_group_tests_name("mux_names", tests, NULL, NULL);
}
