/* SPDX-License-Identifier: MIT */
/* A follower that answers while there is no leader, and lacks what was done through the mount. */
#include "fs/lately.h"
#include "lib/clock.h"
#include "lib/http_client.h"
#include "tests/unit/fs_fixture.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define PATIENCE_MS 5000
#define KEY         "00ff"
#define OTHER_KEY   "00fe"

static const struct version older = { FS_EPOCH, 4 };
static const struct version ours = { FS_EPOCH, 5 };
static const struct version newer = { FS_EPOCH, 6 };

/* The module alone */

static struct lately lately;

static int begin(void **state)
{
	(void)state;
	lately_init(&lately);
	return 0;
}

static int end(void **state)
{
	(void)state;
	lately_deinit(&lately);
	return 0;
}

static void who_lacks_what_was_stored_here_is_behind(void **state)
{
	(void)state;
	assert_false(lately_contradicts(&lately, KEY, 0, NULL));
	lately_stored(&lately, KEY, ours);
	assert_true(lately_contradicts(&lately, KEY, 0, NULL));
	assert_true(lately_contradicts(&lately, KEY, 0, &older));
	assert_false(lately_contradicts(&lately, KEY, 0, &ours));
	assert_false(lately_contradicts(&lately, KEY, 0, &newer));
	assert_false(lately_contradicts(&lately, OTHER_KEY, 0, NULL));
}

static void who_has_what_was_removed_here_is_behind(void **state)
{
	(void)state;
	lately_stored(&lately, KEY, ours);
	lately_removed(&lately, KEY);
	assert_true(lately_contradicts(&lately, KEY, 0, &ours));
	assert_false(lately_contradicts(&lately, KEY, 0, NULL));
	lately_forget(&lately, OTHER_KEY);
	assert_true(lately_contradicts(&lately, KEY, 0, &ours));
	lately_forget(&lately, KEY);
	assert_false(lately_contradicts(&lately, KEY, 0, &ours));
}

static void who_has_all_that_was_acknowledged_later_is_not_behind(void **state)
{
	(void)state;
	lately_removed(&lately, KEY);
	assert_false(lately_contradicts(&lately, KEY, clock_monotonic_ms() + 1, &older));
}

static void a_leader_that_tells_otherwise_is_right(void **state)
{
	(void)state;
	lately_stored(&lately, KEY, ours);
	/* It was asked before. */
	lately_heard(&lately, KEY, 1, NULL);
	assert_true(lately_contradicts(&lately, KEY, 0, NULL));
	lately_heard(&lately, KEY, clock_monotonic_ms() + 1, &ours);
	assert_true(lately_contradicts(&lately, KEY, 0, NULL));
	lately_heard(&lately, KEY, clock_monotonic_ms() + 1, NULL);
	assert_false(lately_contradicts(&lately, KEY, 0, NULL));
}

/* With a router */

struct world {
	unsigned found; /* the version that the follower has; 0: none */
	const char *staleness; /* its word of it */
	bool has_leader;
	unsigned leader_found;
	unsigned refused; /* that asked for the leader */
	unsigned until; /* refusals before there is one; 0: never */
};

static void write_found(unsigned found, const char *further, struct buf *ret_answer)
{
	char fields[512], *end;

	if (found == 0) {
		fs_write_answer(ret_answer, 404, further, NULL, 0);
		return;
	}
	fs_record_fields(fields, sizeof(fields), found, 5);
	end = fields + strlen(fields);
	snprintf(end, sizeof(fields) - (size_t)(end - fields), "%s", further);
	fs_write_answer(ret_answer, 206, fields, "hello", 5);
}

static bool is_read(const char *request)
{
	return strncmp(request, "GET ", 4) == 0 || strncmp(request, "HEAD ", 5) == 0;
}

static enum fs_answer answer(void *state, const char *request, struct buf *ret_answer)
{
	struct world *world = state;
	bool at_leader = strcmp(fs_request_field(request, "HexKV-Read"), "leader") == 0;
	char further[128];

	if (at_leader && !world->has_leader)
		world->has_leader = ++world->refused == world->until;
	if (strncmp(request, "DELETE ", 7) == 0) {
		fs_write_answer(ret_answer, 204, "", NULL, 0);
	} else if (!is_read(request)) {
		fs_write_answer(ret_answer, 204, "ETag: \"10001-5\"\r\n", NULL, 0);
	} else if (at_leader && !world->has_leader) {
		fs_write_answer(ret_answer, 503, "", NULL, 0);
	} else if (world->has_leader) {
		write_found(world->leader_found, "", ret_answer);
	} else {
		snprintf(further, sizeof(further),
			 "HexKV-Stale: true\r\nHexKV-Staleness-Ms: %s\r\n", world->staleness);
		write_found(world->found, further, ret_answer);
	}
	return FS_ANSWER;
}

static void set(struct fs_router *router, struct world world)
{
	pthread_mutex_lock(&router->lock);
	*(struct world *)router->state = world;
	pthread_mutex_unlock(&router->lock);
}

static unsigned refused(struct fs_router *router)
{
	unsigned count;

	pthread_mutex_lock(&router->lock);
	count = ((struct world *)router->state)->refused;
	pthread_mutex_unlock(&router->lock);
	return count;
}

static ssize_t hello(void *state, uint64_t offset, void *data, size_t len)
{
	(void)state;
	(void)offset;
	assert_true(len >= 5);
	memcpy(data, "hello", 5);
	return 5;
}

static void store(struct fs_router *router, const char *key)
{
	const struct remote_put put = { .key = key, .size_bytes = 5, .source = hello };
	struct remote_stored stored;

	assert_int_equal(remote_put(router->remote, &put, NULL, &stored), 0);
}

static void drop(struct fs_router *router, const char *key)
{
	assert_int_equal(remote_delete(router->remote, key, NULL, DURABILITY_MEMORY, NULL), 0);
}

/* The version that is told; 0: none. */
static unsigned look(struct fs_router *router, const char *key, bool *ret_stale)
{
	struct remote_record record = { 0 };
	unsigned version = 0;
	int r = remote_get(router->remote, key, NULL, 0, NULL, &record);

	assert_true(r == 0 || r == -ENOENT);
	if (r == 0) {
		version = (unsigned)record.meta.version.sequence;
		assert_int_equal(record.value.len, 5);
	}
	*ret_stale = record.stale;
	remote_record_deinit(&record);
	return version;
}

static void what_was_stored_here_is_the_leaders_to_deny(void **state)
{
	struct world world = { .staleness = "unknown", .until = 2, .leader_found = 5 };
	struct fs_router router;
	bool stale;

	(void)state;
	fs_router_start(&router, answer, &world, PATIENCE_MS);
	store(&router, KEY);
	assert_int_equal(look(&router, KEY, &stale), 5);
	assert_false(stale);
	assert_int_equal(refused(&router), 2);
	/* Of what others did the follower knows more than this mount. */
	set(&router, (struct world){ .staleness = "unknown", .found = 4 });
	assert_int_equal(look(&router, OTHER_KEY, &stale), 4);
	assert_true(stale);
	assert_int_equal(refused(&router), 0);
	fs_router_stop(&router);
}

static void what_was_removed_here_does_not_come_back(void **state)
{
	struct world world = { .staleness = "60000", .found = 4, .until = 1 };
	struct fs_router router;
	struct remote_stored stored;
	bool stale;

	(void)state;
	fs_router_start(&router, answer, &world, PATIENCE_MS);
	drop(&router, KEY);
	assert_int_equal(look(&router, KEY, &stale), 0);
	assert_int_equal(refused(&router), 1);
	/* Nor what was moved away, and what was moved is where it went. */
	set(&router, (struct world){ .staleness = "60000", .found = 4, .until = 1 });
	assert_int_equal(remote_move(router.remote, OTHER_KEY, KEY, true, &older, NULL, &stored),
			 0);
	assert_int_equal(look(&router, OTHER_KEY, &stale), 0);
	set(&router, (struct world){ .staleness = "60000", .until = 1, .leader_found = 5 });
	assert_int_equal(look(&router, KEY, &stale), 5);
	assert_int_equal(refused(&router), 1);
	fs_router_stop(&router);
}

static void a_follower_that_has_it_or_something_newer_is_believed(void **state)
{
	struct world world = { .staleness = "unknown", .found = 5 };
	struct fs_router router;
	bool stale;

	(void)state;
	fs_router_start(&router, answer, &world, PATIENCE_MS);
	store(&router, KEY);
	assert_int_equal(look(&router, KEY, &stale), 5);
	assert_true(stale);
	drop(&router, OTHER_KEY);
	set(&router, (struct world){ .staleness = "unknown" });
	assert_int_equal(look(&router, OTHER_KEY, &stale), 0);
	/* It has everything since: somebody else stored it. */
	set(&router, (struct world){ .staleness = "0", .found = 4 });
	for (uint64_t now = clock_monotonic_ms(); clock_monotonic_ms() <= now;)
		;
	assert_int_equal(look(&router, OTHER_KEY, &stale), 4);
	assert_int_equal(refused(&router), 0);
	fs_router_stop(&router);
}

static void a_follower_that_lacks_it_is_believed_if_no_leader_comes(void **state)
{
	struct world world = { .staleness = "unknown", .found = 4 };
	struct fs_router router;
	unsigned count;
	bool stale;

	(void)state;
	fs_router_start(&router, answer, &world, 300);
	drop(&router, KEY);
	assert_int_equal(look(&router, KEY, &stale), 4);
	assert_true(stale);
	count = refused(&router);
	assert_true(count > 1);
	/* And at once from then on. */
	assert_int_equal(look(&router, KEY, &stale), 4);
	assert_int_equal(refused(&router), count);
	fs_router_stop(&router);
}

static int take(void *state, uint64_t offset, const void *data, size_t len)
{
	(void)offset;
	(void)data;
	*(size_t *)state += len;
	return 0;
}

struct range_world {
	unsigned refused, until;
	unsigned leader_status;
};

static enum fs_answer answer_range(void *state, const char *request, struct buf *ret_answer)
{
	struct range_world *world = state;

	if (strcmp(fs_request_field(request, "HexKV-Read"), "leader") != 0)
		fs_write_answer(ret_answer, 412, "HexKV-Stale: true\r\n", NULL, 0);
	else if (++world->refused == world->until && world->leader_status == 206)
		fs_write_answer(ret_answer, 206, "ETag: \"10001-5\"\r\n", "hello", 5);
	else
		fs_write_answer(ret_answer, world->refused == world->until ? 412 : 503, "", NULL,
				0);
	return FS_ANSWER;
}

static void set_range(struct fs_router *router, struct range_world world)
{
	pthread_mutex_lock(&router->lock);
	*(struct range_world *)router->state = world;
	pthread_mutex_unlock(&router->lock);
}

static void a_version_that_a_follower_lacks_is_read_of_the_leader(void **state)
{
	struct range_world world = { .until = 2, .leader_status = 206 };
	struct fs_router router;
	size_t received = 0;
	const struct remote_range range = {
		.key = KEY, .version = ours, .len = 5, .sink = take, .state = &received
	};

	(void)state;
	fs_router_start(&router, answer_range, &world, 500);
	assert_int_equal(remote_read(router.remote, &range, NULL), 0);
	assert_int_equal(received, 5);
	set_range(&router, (struct range_world){ .until = 2, .leader_status = 412 });
	assert_int_equal(remote_read(router.remote, &range, NULL), -ESTALE);
	set_range(&router, (struct range_world){ 0 });
	assert_int_equal(remote_read(router.remote, &range, NULL), -ESTALE);
	fs_router_stop(&router);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(who_lacks_what_was_stored_here_is_behind),
		TEST(who_has_what_was_removed_here_is_behind),
		TEST(who_has_all_that_was_acknowledged_later_is_not_behind),
		TEST(a_leader_that_tells_otherwise_is_right),
		cmocka_unit_test(what_was_stored_here_is_the_leaders_to_deny),
		cmocka_unit_test(what_was_removed_here_does_not_come_back),
		cmocka_unit_test(a_follower_that_has_it_or_something_newer_is_believed),
		cmocka_unit_test(a_follower_that_lacks_it_is_believed_if_no_leader_comes),
		cmocka_unit_test(a_version_that_a_follower_lacks_is_read_of_the_leader),
	};

	if (http_client_global_init() < 0)
		return 1;
	return cmocka_run_group_tests_name("fs_lately", tests, NULL, NULL);
}
