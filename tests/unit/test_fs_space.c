/* SPDX-License-Identifier: MIT */
#include "fs/space.h"
#include "lib/clock.h"
#include "lib/http_client.h"
#include "tests/unit/fs_fixture.h"

#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define PATIENCE_MS 5000

struct status {
	struct fs_router router;
	struct space *space;
	unsigned status;
	const char *body;
	enum fs_answer kind;
};

static enum fs_answer tell_status(void *state, const char *request, struct buf *ret_answer)
{
	const struct status *status = state;

	if (!strstr(request, "GET /status HTTP/1.1"))
		fs_write_answer(ret_answer, 404, "", NULL, 0);
	else if (status->kind != FS_SILENCE)
		fs_write_answer(ret_answer, status->status, "", status->body, strlen(status->body));
	return status->kind;
}

static void status_start(struct status *status)
{
	fs_router_start(&status->router, tell_status, status, PATIENCE_MS);
	assert_int_equal(space_new(status->router.remote, &status->space), 0);
}

static void status_stop(struct status *status)
{
	space_free(status->space);
	fs_router_stop(&status->router);
}

static void wait_for_total(struct status *status, uint64_t total, struct space_figures *ret_figures)
{
	uint64_t deadline = clock_monotonic_ms() + 10000;

	do {
		space_get(status->space, ret_figures);
		if (ret_figures->total_bytes == total)
			return;
		poll(NULL, 0, 1);
	} while (clock_monotonic_ms() < deadline);
	fail_msg("the total stays at %llu", (unsigned long long)ret_figures->total_bytes);
}

static void the_sum_over_all_shards_is_told(void **state)
{
	struct status status = { .status = 200,
				 .body = "{\"space\":{\"free_bytes\":30,\"total_bytes\":70},"
					 "\"entries\":5,\"store\":{\"space_total\":1}}" };
	struct space_figures figures;

	(void)state;
	status_start(&status);
	wait_for_total(&status, 70, &figures);
	assert_int_equal(figures.free_bytes, 30);
	assert_int_equal(figures.records, 5);
	assert_int_equal(space_free_bytes(status.space), 30);
	status_stop(&status);
}

static void the_store_of_a_single_node_is_told(void **state)
{
	struct status status = { .status = 200,
				 .body = "{\"store\":{\"space_free\":20,\"space_total\":50}}" };
	struct space_figures figures;

	(void)state;
	status_start(&status);
	wait_for_total(&status, 50, &figures);
	assert_int_equal(figures.free_bytes, 20);
	status_stop(&status);
}

/* Copy tools refuse a file system without room. */
static void assert_room(struct space *space)
{
	struct space_figures figures;

	space_get(space, &figures);
	assert_true(figures.free_bytes > 0);
	assert_true(figures.total_bytes >= figures.free_bytes);
}

static void there_is_room_although_the_status_makes_no_sense(void **state)
{
	static const char *const bodies[] = {
		"",
		"[]",
		"{",
		"{}",
		"{\"space\":5}",
		"{\"space\":{\"total_bytes\":-1}}",
		"{\"space\":{\"free_bytes\":0,\"total_bytes\":0}}",
		"{\"store\":{\"space_total\":\"many\"}}",
	};

	(void)state;
	for (size_t i = 0; i < sizeof(bodies) / sizeof(*bodies); i++) {
		struct status status = { .status = 200, .body = bodies[i] };

		status_start(&status);
		assert_true(fs_router_wait(&status.router, 1));
		assert_room(status.space);
		/* Once the second question comes the first answer has been judged. */
		assert_true(fs_router_wait(&status.router, 2));
		assert_room(status.space);
		status_stop(&status);
	}
}

static void nobody_waits_for_a_router_that_is_silent(void **state)
{
	struct status status = { .kind = FS_SILENCE };

	(void)state;
	status_start(&status);
	assert_true(fs_router_wait(&status.router, 1));
	/* The question is not answered yet and this is. */
	assert_room(status.space);
	assert_int_equal(fs_router_requests(&status.router), 1);
	status_stop(&status);
}

static void many_questions_at_once_are_one_to_the_router(void **state)
{
	struct status status = { .status = 200,
				 .body = "{\"store\":{\"space_free\":20,\"space_total\":50}}" };
	struct space_figures figures;
	uint64_t begin = clock_monotonic_ms();

	(void)state;
	status_start(&status);
	wait_for_total(&status, 50, &figures);
	for (int i = 0; i < 1000; i++)
		space_get(status.space, &figures);
	/* One at the start, then one in two seconds. */
	assert_true(fs_router_requests(&status.router) <=
		    2 + (clock_monotonic_ms() - begin) / 2000);
	status_stop(&status);
}

static void newer_figures_replace_older_ones(void **state)
{
	struct status status = { .status = 200,
				 .body = "{\"store\":{\"space_free\":20,\"space_total\":50}}" };
	struct space_figures figures;

	(void)state;
	status_start(&status);
	wait_for_total(&status, 50, &figures);
	pthread_mutex_lock(&status.router.lock);
	status.body = "{\"store\":{\"space_free\":1,\"space_total\":60}}";
	pthread_mutex_unlock(&status.router.lock);
	wait_for_total(&status, 60, &figures);
	assert_int_equal(figures.free_bytes, 1);
	status_stop(&status);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_sum_over_all_shards_is_told),
		cmocka_unit_test(the_store_of_a_single_node_is_told),
		cmocka_unit_test(there_is_room_although_the_status_makes_no_sense),
		cmocka_unit_test(nobody_waits_for_a_router_that_is_silent),
		cmocka_unit_test(many_questions_at_once_are_one_to_the_router),
		cmocka_unit_test(newer_figures_replace_older_ones),
	};

	if (http_client_global_init() < 0)
		return 1;
	return cmocka_run_group_tests_name("fs_space", tests, NULL, NULL);
}
