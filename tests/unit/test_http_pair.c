/* SPDX-License-Identifier: MIT */
/* The libcurl client with our own server at the other end. */
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
	if (refused.result == OUTCOME_OK)
		assert_int_equal(refused.status, 413);
	else
		assert_int_equal(refused.result, OUTCOME_BAD_GATEWAY);
	probe_ask(&broken, server.url);
	assert_int_equal(broken.result, OUTCOME_BAD_GATEWAY);
	assert_int_equal(broken.status, 200);
	assert_true(broken.body.len < 1000000);
	probe_deinit(&refused);
	probe_deinit(&broken);
	net_server_stop(&server);
	free(value);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(our_server_streams_to_a_reader_that_pauses),
		cmocka_unit_test(our_server_takes_uploads_of_either_framing),
		cmocka_unit_test(our_server_slows_an_upload_down),
		cmocka_unit_test(our_server_refuses_early_and_breaks_off),
	};

	if (http_client_global_init() < 0)
		return 1;
	return cmocka_run_group_tests(tests, probe_set_up, probe_tear_down);
}
