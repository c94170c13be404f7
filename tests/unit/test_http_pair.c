/* SPDX-License-Identifier: MIT */
/* The libcurl client with our own server at the other end. */
#include "lib/clock.h"
#include "tests/unit/net_fixture.h"
#include "tests/unit/probe.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void ask_server(struct probe *probe, struct net_server *server, const char *target)
{
	probe->call.target = target;
	probe_ask(probe, server->url);
	assert_int_equal(probe->result, OUTCOME_OK);
}

static void our_server_streams_to_a_reader_that_pauses(void **state)
{
	struct net_server server = { 0 };
	const size_t parts[] = { 0, 7000 };

	(void)state;
	net_server_start(&server, NULL, 0);
	for (int i = 0; i < 2; i++) {
		struct probe probe = { .take_at_most = parts[i] };

		ask_server(&probe, &server, "/stream?size=3000000");
		assert_int_equal(probe.content_length, 3000000);
		assert_int_equal(probe.body.len, 3000000);
		for (size_t at = 0; at < probe.body.len; at++) {
			if (probe.body.data[at] != net_pattern(at))
				fail_msg("byte %zu differs", at);
		}
		probe_deinit(&probe);
	}
	net_server_stop(&server);
}

static void our_server_takes_uploads_of_either_framing(void **state)
{
	struct net_server server = { 0 };
	size_t len = 500000;
	char *value = malloc(len);
	const int64_t announced[] = { (int64_t)len, -1 };

	(void)state;
	for (size_t at = 0; at < len; at++)
		value[at] = (char)net_pattern(at);
	net_server_start(&server, NULL, 0);
	for (int i = 0; i < 2; i++) {
		struct probe probe = { .call = { .method = METHOD_PUT, .upload_len = announced[i] },
				       .upload = value,
				       .upload_len = len,
				       .upload_piece = 33333 };

		ask_server(&probe, &server, "/echo");
		assert_int_equal(probe.body.len, len);
		assert_memory_equal(probe.body.data, value, len);
		probe_deinit(&probe);
	}
	net_server_stop(&server);
	free(value);
}

static void our_server_slows_an_upload_down(void **state)
{
	struct net_server server = { 0 };
	size_t len = 100000;
	char *value = calloc(len, 1);
	struct probe probe = { .call = { .method = METHOD_PUT, .upload_len = (int64_t)len },
			       .upload = value,
			       .upload_len = len };

	(void)state;
	net_server_start(&server, NULL, 0);
	ask_server(&probe, &server, "/slow-body");
	probe_assert_body(&probe, "100000");
	probe_deinit(&probe);
	net_server_stop(&server);
	free(value);
}

static void our_server_refuses_early_and_breaks_off(void **state)
{
	struct net_server server = { 0 };
	size_t len = 10000000;
	char *value = calloc(len, 1);
	struct probe refused = { .call = { .method = METHOD_PUT, .upload_len = (int64_t)len },
				 .upload = value,
				 .upload_len = len };
	struct probe broken = { .call = { .target = "/stream?size=1000000&fail=500000" } };

	(void)state;
	net_server_start(&server, NULL, 0);
	refused.call.target = "/early";
	probe_ask(&refused, server.url);
	assert_int_equal(refused.result, OUTCOME_OK);
	assert_int_equal(refused.status, 413);
	probe_ask(&broken, server.url);
	assert_int_equal(broken.result, OUTCOME_BAD_GATEWAY);
	assert_int_equal(broken.status, 200);
	assert_true(broken.body.len < 1000000);
	probe_deinit(&refused);
	probe_deinit(&broken);
	net_server_stop(&server);
	free(value);
}

/* A crowd of calls that pause, are cancelled, and run into timeouts, all at once. */

#define CROWD       40
#define CROWD_TURNS 400

static struct probe crowd[CROWD];
static unsigned crowd_turns, crowd_started, crowd_cancelled, crowd_ended;
static struct loop_timer crowd_timer;
static unsigned crowd_seed;

static unsigned random_below(unsigned bound)
{
	return (unsigned)rand_r(&crowd_seed) % bound;
}

static bool is_under_way(const struct probe *probe)
{
	return probe->url && probe->dones == 0;
}

static void crowd_start(struct probe *probe, const char *url)
{
	static const char *const targets[] = { "/hello", "/later", "/never", "/stream?size=200000",
					       "/stream?size=200000&fail=100000" };
	static char value[100000];

	*probe = (struct probe){ .url = url, .keep_running = true };
	probe->call.target = targets[random_below(5)];
	probe->call.timeout_ms = 100 + random_below(200);
	probe->take_at_most = random_below(2) ? 1 + random_below(20000) : 0;
	if (random_below(3) == 0) {
		probe->call.method = METHOD_PUT;
		probe->call.target = random_below(2) ? "/echo" : "/early";
		probe->call.upload_len = random_below(2) ? (int64_t)sizeof(value) : -1;
		probe->upload = value;
		probe->upload_len = sizeof(value);
		probe->upload_piece = 1 + random_below(50000);
	}
	probe_start(probe);
	crowd_started++;
}

static void crowd_turn(struct loop_timer *timer)
{
	const char *url = crowd[0].url;
	/* On a slow machine it takes more turns until enough of either kind has happened. */
	bool over = ++crowd_turns >= CROWD_TURNS && crowd_ended > CROWD && crowd_cancelled > CROWD;
	unsigned under_way = 0;

	for (unsigned i = 0; i < CROWD; i++) {
		struct probe *probe = &crowd[i];

		if (is_under_way(probe) && probe->call.handler && random_below(20) == 0) {
			call_cancel(&probe->call);
			crowd_cancelled++;
			probe_deinit(probe);
			*probe = (struct probe){ .url = url, .dones = 1 };
		} else if (probe->dones == 1 && probe->call.handler) {
			crowd_ended++;
			probe_deinit(probe);
			*probe = (struct probe){ .url = url, .dones = 1 };
		}
		assert_true(probe->dones <= 1);
		if (!over && !is_under_way(probe) && random_below(3) == 0)
			crowd_start(probe, url);
		under_way += is_under_way(probe);
	}
	if (over && under_way == 0)
		loop_stop(probe_loop);
	else
		loop_set_timer(probe_loop, timer, clock_monotonic_ms() + 1);
}

static void every_call_of_a_crowd_ends_once(void **state)
{
	struct net_server server = { 0 };

	(void)state;
	crowd_seed = 20;
	net_server_start(&server, NULL, 0);
	for (unsigned i = 0; i < CROWD; i++)
		crowd[i] = (struct probe){ .url = server.url, .dones = 1 };
	crowd_timer.expired = crowd_turn;
	loop_set_timer(probe_loop, &crowd_timer, clock_monotonic_ms());
	probe_run();
	assert_int_equal(crowd_started, crowd_cancelled + crowd_ended);
	net_server_stop(&server);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(our_server_streams_to_a_reader_that_pauses),
		cmocka_unit_test(our_server_takes_uploads_of_either_framing),
		cmocka_unit_test(our_server_slows_an_upload_down),
		cmocka_unit_test(our_server_refuses_early_and_breaks_off),
		cmocka_unit_test(every_call_of_a_crowd_ends_once),
	};

	if (http_client_global_init() < 0)
		return 1;
	return cmocka_run_group_tests(tests, probe_set_up, probe_tear_down);
}
