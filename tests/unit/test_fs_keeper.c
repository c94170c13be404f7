/* SPDX-License-Identifier: MIT */
/* Pins of open files, against a router that keeps, refuses or forgets them. */
#include "fs/content.h"
#include "fs/handle.h"
#include "fs/resolve.h"
#include "fs/stats.h"
#include "lib/clock.h"
#include "lib/http_client.h"
#include "tests/unit/fs_fixture.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define VALUE_BYTES (UINT64_C(300) * 1024 * 1024)
#define PATIENCE_MS 10000

/* What the router does with questions for a pin. */
enum mood { GIVES, REFUSES, GONE, AWAY };

struct test {
	struct fs_router router;
	struct mount mount;
	struct mount_options options;
	/* the router's */
	enum mood mood;
	uint64_t pin_s;
	uint64_t size_bytes;
	unsigned heads; /* questions that are none of a look-up or open */
	unsigned with_token;
	unsigned deletes;
	bool silent_heads;
};

static bool asks_for_pin(const char *request)
{
	return *fs_request_field(request, "HexKV-Pin") != '\0';
}

static enum fs_answer serve(void *state, const char *request, struct buf *ret_answer)
{
	struct test *test = state;
	bool is_head = strncmp(request, "HEAD ", 5) == 0;
	bool pins = asks_for_pin(request) && test->mood == GIVES && test->size_bytes > 65536;
	char fields[1024], value[65536] = { 0 };
	size_t len;

	if (strncmp(request, "DELETE ", 7) == 0) {
		test->deletes++;
		fs_write_answer(ret_answer, 204, "", NULL, 0);
		return FS_ANSWER;
	}
	test->heads += is_head;
	test->with_token += strcmp(fs_request_field(request, "HexKV-Pin-Token"), "10001-4.ab") == 0;
	if (is_head && test->silent_heads)
		return FS_SILENCE;
	if (is_head && (test->mood == GONE || test->mood == AWAY)) {
		fs_write_answer(ret_answer, test->mood == GONE ? 412 : 503, "", NULL, 0);
		return FS_ANSWER;
	}
	fs_record_fields(fields, sizeof(fields), 4, test->size_bytes);
	len = strlen(fields);
	if (pins)
		snprintf(fields + len, sizeof(fields) - len,
			 "HexKV-Pin: %" PRIu64 "\r\nHexKV-Pin-Token: 10001-4.ab\r\n", test->pin_s);
	if (is_head)
		fs_write_answer(ret_answer, 200, fields, NULL, 0);
	else
		fs_write_answer(ret_answer, 206, fields, value,
				test->size_bytes < 65536 ? (size_t)test->size_bytes : 65536);
	return FS_ANSWER;
}

static int setup(void **state)
{
	struct test *test = calloc(1, sizeof(*test));
	struct keeper_options keeper = { .threads = 2, .attempt_ms = 300, .renew_ms = 50 };

	if (!test)
		return -1;
	test->pin_s = 60;
	test->size_bytes = VALUE_BYTES;
	test->options.attr_timeout_ms = 1000;
	test->options.timeout_ms = PATIENCE_MS;
	test->options.staging = "/tmp";
	test->mount.options = &test->options;
	fs_router_start(&test->router, serve, test, PATIENCE_MS);
	test->mount.remote = test->router.remote;
	opens_init(&test->mount.opens);
	inode_table_init(&test->mount.inodes, 0644);
	keeper.mount = &test->mount;
	if (prefetch_new(1, 4, &test->mount.prefetch) < 0 ||
	    keeper_new(&keeper, &test->mount.keeper) < 0)
		return -1;
	*state = test;
	return 0;
}

static int teardown(void **state)
{
	struct test *test = *state;

	opens_free_all(&test->mount.opens);
	test->mount.keeper = keeper_free(test->mount.keeper);
	prefetch_free(test->mount.prefetch);
	inode_table_deinit(&test->mount.inodes);
	fs_router_stop(&test->router);
	free(test);
	return 0;
}

static void set_mood(struct test *test, enum mood mood)
{
	pthread_mutex_lock(&test->router.lock);
	test->mood = mood;
	pthread_mutex_unlock(&test->router.lock);
}

static unsigned heads(struct test *test)
{
	unsigned count;

	pthread_mutex_lock(&test->router.lock);
	count = test->heads;
	pthread_mutex_unlock(&test->router.lock);
	return count;
}

static void wait_for_heads(struct test *test, unsigned count)
{
	uint64_t deadline = clock_monotonic_ms() + PATIENCE_MS;

	while (heads(test) < count) {
		if (clock_monotonic_ms() > deadline)
			fail_msg("%u questions instead of %u", heads(test), count);
		poll(NULL, 0, 1);
	}
}

static bool is_pinned(struct test *test, struct inode *inode)
{
	bool pinned;

	mutex_lock(&test->mount.inodes.lock);
	pinned = inode->pin && inode->pin->until_ms > clock_monotonic_ms();
	mutex_unlock(&test->mount.inodes.lock);
	return pinned;
}

static void wait_until_pinned(struct test *test, struct inode *inode)
{
	uint64_t deadline = clock_monotonic_ms() + PATIENCE_MS;

	while (!is_pinned(test, inode)) {
		assert_true(clock_monotonic_ms() < deadline);
		poll(NULL, 0, 1);
	}
}

static struct handle *open_one(struct test *test, const char *name)
{
	struct handle *handle;
	struct inode *inode;

	assert_int_equal(resolve_name(&test->mount, name, RESOLVE_NOW, NULL, &inode), 0);
	assert_int_equal(handle_open(&test->mount, inode, false, &handle), 0);
	inode_unref(&test->mount.inodes, inode);
	return handle;
}

static void opening_pins_with_the_request_that_it_makes_anyway(void **state)
{
	struct test *test = *state;
	struct handle *handle = open_one(test, "00ff");

	assert_int_equal(fs_router_requests(&test->router), 1);
	assert_true(is_pinned(test, handle->inode));
	assert_int_equal(atomic_load(&stats.gauges[STATS_PINS]), 1);
	assert_string_equal(handle->inode->pin->token, "10001-4.ab");
	assert_string_equal(handle->inode->pin->key, "00ff");
	handle_close(handle);
	assert_int_equal(heads(test), 0);
	assert_int_equal(atomic_load(&stats.gauges[STATS_PINS]), 0);
}

/* What renews them goes by it. */
static void no_answer_makes_a_pin_last_longer_than_any_may(void **state)
{
	static const uint64_t promises[] = { 61, UINT64_MAX / 1000 + 1, UINT64_MAX };
	struct test *test = *state;

	for (size_t i = 0; i < sizeof(promises) / sizeof(promises[0]); i++) {
		struct handle *handle;
		uint64_t now;

		test->pin_s = promises[i];
		handle = open_one(test, "00ff");
		now = clock_monotonic_ms();
		assert_true(is_pinned(test, handle->inode));
		assert_in_range(handle->inode->pin->until_ms, now, now + 60000);
		handle_close(handle);
	}
}

static void an_open_file_is_renewed_once_for_all_its_handles(void **state)
{
	struct test *test = *state;
	struct handle *handles[20];

	test->pin_s = 0;
	for (int i = 0; i < 20; i++)
		handles[i] = open_one(test, "00ff");
	for (int i = 1; i < 20; i++)
		assert_ptr_equal(handles[i]->inode, handles[0]->inode);
	pthread_mutex_lock(&test->router.lock);
	test->pin_s = 60;
	pthread_mutex_unlock(&test->router.lock);
	wait_until_pinned(test, handles[0]->inode);
	wait_for_heads(test, 3);
	pthread_mutex_lock(&test->router.lock);
	/* Each renewal shows what is renewed. */
	assert_int_equal(test->with_token, test->heads);
	test->silent_heads = true;
	pthread_mutex_unlock(&test->router.lock);
	for (int i = 0; i < 20; i++)
		handle_close(handles[i]);
}

static void nothing_is_asked_for_small_files(void **state)
{
	struct test *test = *state;
	struct handle *handle, *large;

	test->size_bytes = 100;
	handle = open_one(test, "00ff");
	assert_null(handle->inode->watch);
	test->size_bytes = VALUE_BYTES;
	test->pin_s = 0;
	large = open_one(test, "01");
	wait_for_heads(test, 3);
	assert_string_not_equal(test->router.last, "");
	assert_non_null(strstr(test->router.last, "/kv/01"));
	handle_close(handle);
	handle_close(large);
}

static void after_the_last_close_nothing_is_renewed(void **state)
{
	struct test *test = *state;
	struct handle *first, *second, *other;
	unsigned before;

	test->pin_s = 0;
	first = open_one(test, "00ff");
	second = open_one(test, "00ff");
	wait_for_heads(test, 2);
	handle_close(first);
	wait_for_heads(test, heads(test) + 2);
	handle_close(second);
	/* Whatever was under way is over once others were renewed. */
	other = open_one(test, "01");
	before = heads(test);
	wait_for_heads(test, before + 6);
	assert_non_null(strstr(test->router.last, "/kv/01"));
	handle_close(other);
	/* Ends what is under way. */
	test->mount.keeper = keeper_free(test->mount.keeper);
	assert_int_equal(test->mount.inodes.count, 0);
}

static void what_a_look_up_pinned_is_there_for_the_open_behind_it(void **state)
{
	struct test *test = *state;
	struct handle *other = open_one(test, "00ff");
	struct inode *inode;
	bool readable;

	assert_int_equal(resolve_name(&test->mount, "00ff", RESOLVE_NOW, NULL, &inode), 0);
	assert_ptr_equal(inode, other->inode);
	handle_close(other);
	mutex_lock(&test->mount.inodes.lock);
	readable = inode_is_readable_locked(inode);
	mutex_unlock(&test->mount.inodes.lock);
	assert_true(readable);
	inode_unref(&test->mount.inodes, inode);
}

static void while_the_cluster_is_away_it_goes_on_trying(void **state)
{
	struct test *test = *state;
	struct handle *handle;

	test->pin_s = 0;
	handle = open_one(test, "00ff");
	set_mood(test, AWAY);
	wait_for_heads(test, 3);
	pthread_mutex_lock(&test->router.lock);
	test->mood = GIVES;
	test->pin_s = 60;
	pthread_mutex_unlock(&test->router.lock);
	wait_until_pinned(test, handle->inode);
	handle_close(handle);
}

static void a_pin_that_was_refused_is_asked_for_again(void **state)
{
	struct test *test = *state;
	struct handle *handle;

	set_mood(test, REFUSES);
	handle = open_one(test, "00ff");
	assert_null(handle->inode->pin);
	wait_for_heads(test, 1);
	set_mood(test, GIVES);
	wait_until_pinned(test, handle->inode);
	handle_close(handle);
}

static void a_pin_that_is_gone_is_forgotten(void **state)
{
	struct test *test = *state;
	struct handle *handle;

	test->pin_s = 0;
	handle = open_one(test, "00ff");
	set_mood(test, GONE);
	wait_for_heads(test, 2);
	assert_false(is_pinned(test, handle->inode));
	handle_close(handle);
}

static void what_is_removed_here_is_not_downloaded_for_its_readers(void **state)
{
	struct test *test = *state;
	struct handle *handle = open_one(test, "00ff");

	assert_int_equal(content_keep(&test->mount, handle->inode, NULL), 0);
	assert_null(handle->inode->staging);
	assert_int_equal(fs_router_requests(&test->router), 1);
	inode_mark_deleted(&test->mount.inodes, handle->inode);
	assert_true(is_pinned(test, handle->inode));
	handle_close(handle);
}

static void a_pin_that_ends_soon_is_renewed_before_its_record_goes(void **state)
{
	struct test *test = *state;
	struct handle *handle;

	test->pin_s = 5;
	handle = open_one(test, "00ff");
	test->pin_s = 60;
	assert_int_equal(keeper_pin_now(&test->mount, handle->inode, NULL), 0);
	assert_int_equal(heads(test), 1);
	assert_int_equal(test->with_token, 1);
	assert_int_equal(keeper_pin_now(&test->mount, handle->inode, NULL), 0);
	assert_int_equal(heads(test), 1);
	handle_close(handle);
}

static void ending_does_not_wait_for_what_is_under_way(void **state)
{
	struct test *test = *state;
	struct handle *handle;

	test->pin_s = 0;
	test->silent_heads = true;
	handle = open_one(test, "00ff");
	wait_for_heads(test, 1);
	handle_close(handle);
	test->mount.keeper = keeper_free(test->mount.keeper);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

#define OPEN_FILES 20

/* Lines that @file has, and in *ret_has those that hold @text. */
static unsigned count_lines(FILE *file, const char *text, unsigned *ret_has)
{
	char line[1024];
	unsigned count = 0;

	*ret_has = 0;
	rewind(file);
	while (fgets(line, sizeof(line), file)) {
		count++;
		*ret_has += strstr(line, text) != NULL;
	}
	return count;
}

static void wait_for_line(FILE *file, const char *text)
{
	uint64_t deadline = clock_monotonic_ms() + PATIENCE_MS;
	unsigned has;

	for (count_lines(file, text, &has); has == 0; count_lines(file, text, &has)) {
		assert_true(clock_monotonic_ms() < deadline);
		poll(NULL, 0, 1);
	}
}

static void an_outage_is_logged_when_it_begins_and_when_it_ends(void **state)
{
	struct test *test = *state;
	struct handle *handles[OPEN_FILES];
	int standard_error = dup(STDERR_FILENO);
	FILE *log = tmpfile();
	unsigned has;
	char name[5];

	assert_non_null(log);
	test->pin_s = 0;
	for (unsigned i = 0; i < OPEN_FILES; i++) {
		snprintf(name, sizeof(name), "%04x", i);
		handles[i] = open_one(test, name);
	}
	/* It is read while it is written. */
	assert_int_equal(fcntl(fileno(log), F_SETFL, O_APPEND), 0);
	assert_int_equal(dup2(fileno(log), STDERR_FILENO), STDERR_FILENO);
	set_mood(test, AWAY);
	wait_for_heads(test, heads(test) + 4 * OPEN_FILES);
	set_mood(test, GIVES);
	wait_for_line(log, "open files are kept again");
	dup2(standard_error, STDERR_FILENO);
	close(standard_error);
	for (unsigned i = 0; i < OPEN_FILES; i++)
		handle_close(handles[i]);
	assert_int_equal(count_lines(log, "open files are not kept for now", &has), 2);
	assert_int_equal(has, 1);
	fclose(log);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(opening_pins_with_the_request_that_it_makes_anyway),
		TEST(no_answer_makes_a_pin_last_longer_than_any_may),
		TEST(an_open_file_is_renewed_once_for_all_its_handles),
		TEST(nothing_is_asked_for_small_files),
		TEST(after_the_last_close_nothing_is_renewed),
		TEST(what_a_look_up_pinned_is_there_for_the_open_behind_it),
		TEST(while_the_cluster_is_away_it_goes_on_trying),
		TEST(an_outage_is_logged_when_it_begins_and_when_it_ends),
		TEST(a_pin_that_was_refused_is_asked_for_again),
		TEST(a_pin_that_is_gone_is_forgotten),
		TEST(what_is_removed_here_is_not_downloaded_for_its_readers),
		TEST(a_pin_that_ends_soon_is_renewed_before_its_record_goes),
		TEST(ending_does_not_wait_for_what_is_under_way),
	};

	if (http_client_global_init() < 0)
		return 1;
	return cmocka_run_group_tests_name("fs_keeper", tests, NULL, NULL);
}
