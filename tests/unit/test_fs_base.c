/* SPDX-License-Identifier: MIT */
#include "fs/base.h"

#include "fs/scratch.h"
#include "lib/http_client.h"
#include "tests/unit/fs_fixture.h"

#include <errno.h>
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define BASE_BYTES (5 * 512 * 1024 + 77)

static uint8_t base_data[BASE_BYTES];
static uint8_t want[2 * BASE_BYTES];

static enum fs_answer respond(void *state, const char *request, struct buf *ret_answer)
{
	unsigned status = *(unsigned *)state;
	uint64_t from, to;
	char fields[512];

	assert_int_equal(sscanf(fs_request_field(request, "Range"), "bytes=%" SCNu64 "-%" SCNu64,
				&from, &to),
			 2);
	assert_true(from <= to && to < BASE_BYTES);
	fs_record_fields(fields, sizeof(fields), 3, BASE_BYTES);
	if (status == 206)
		fs_write_answer(ret_answer, status, fields, base_data + from, to - from + 1);
	else
		fs_write_answer(ret_answer, status, fields, NULL, 0);
	return FS_ANSWER;
}

struct fixture {
	struct fs_router router;
	unsigned status;
	struct base base;
	uint64_t size;
};

static const char *directory(void)
{
	const char *dir = getenv("TMPDIR");

	return dir && *dir ? dir : "/tmp";
}

static void set_up(struct fixture *fixture)
{
	*fixture = (struct fixture){ .status = 206, .size = BASE_BYTES };
	for (size_t i = 0; i < BASE_BYTES; i++)
		base_data[i] = (uint8_t)(i % 251 + 1);
	memset(want, 0, sizeof(want));
	memcpy(want, base_data, BASE_BYTES);
	fs_router_start(&fixture->router, respond, &fixture->status, 5000);
	fixture->base.remote = fixture->router.remote;
	fixture->base.place = (struct base_place){
		.key = "00aa",
		.version = { .epoch = FS_EPOCH, .sequence = 3 },
	};
	assert_int_equal(staging_new(directory(), BASE_BYTES, &fixture->base.staging), 0);
}

static void tear_down(struct fixture *fixture)
{
	base_deinit(&fixture->base);
	fs_router_stop(&fixture->router);
}

static void change(struct fixture *fixture, uint64_t offset, const char *text)
{
	size_t len = strlen(text);

	assert_int_equal(staging_write(fixture->base.staging, offset, text, len), 0);
	memcpy(want + offset, text, len);
	if (offset + len > fixture->size)
		fixture->size = offset + len;
}

/* As a PUT asks. */
static void check_read(struct fixture *fixture)
{
	static uint8_t data[65536];
	uint64_t offset = 0;
	ssize_t n;

	while ((n = base_read(&fixture->base, offset, data, sizeof(data))) > 0) {
		assert_memory_equal(data, want + offset, n);
		offset += (uint64_t)n;
	}
	assert_int_equal(n, 0);
	assert_int_equal(offset, fixture->size);
}

static void what_is_missing_is_fetched_once_while_it_is_sent(void **state)
{
	static struct fixture fixture;
	unsigned requests;

	(void)state;
	set_up(&fixture);
	change(&fixture, 1000, "new");
	change(&fixture, 1100000, "newer");
	change(&fixture, BASE_BYTES + 5, "appended");
	check_read(&fixture);
	requests = fs_router_requests(&fixture.router);
	assert_int_equal(requests, 3);
	assert_int_equal(staging_gap_count(fixture.base.staging), 0);
	check_read(&fixture);
	assert_int_equal(fs_router_requests(&fixture.router), requests);
	tear_down(&fixture);
}

static void without_room_for_it_it_is_sent_all_the_same(void **state)
{
	static struct fixture fixture;

	(void)state;
	set_up(&fixture);
	change(&fixture, 1000, "new");
	change(&fixture, 1100000, "newer");
	scratch_limit(300 * 1024);
	assert_int_equal(base_fetch(&fixture.base), -ENOSPC);
	check_read(&fixture);
	assert_true(staging_gap_count(fixture.base.staging) > 0);
	check_read(&fixture);
	scratch_limit(0);
	tear_down(&fixture);
}

static void all_of_it_can_be_fetched_before(void **state)
{
	static struct fixture fixture;

	(void)state;
	set_up(&fixture);
	change(&fixture, 2000000, "new");
	assert_int_equal(staging_truncate(fixture.base.staging, 2100000), 0);
	fixture.size = 2100000;
	assert_int_equal(base_fetch(&fixture.base), 0);
	assert_int_equal(staging_gap_count(fixture.base.staging), 0);
	assert_int_equal(fs_router_requests(&fixture.router), 1);
	check_read(&fixture);
	tear_down(&fixture);
}

static void a_version_that_is_gone_is_stale(void **state)
{
	static struct fixture fixture;
	char data[10];

	(void)state;
	set_up(&fixture);
	fixture.status = 412;
	/* A pin that has lapsed, of a record whose name was changed here. */
	fixture.base.other = fixture.base.place;
	strcpy(fixture.base.place.key, "00ab");
	fixture.base.place.token = "token";
	assert_int_equal(base_fetch(&fixture.base), -ESTALE);
	assert_int_equal(fs_router_requests(&fixture.router), 2);
	assert_non_null(strstr(fixture.router.last, "/kv/00aa "));
	assert_int_equal(base_read(&fixture.base, 5, data, sizeof(data)), -ESTALE);
	assert_string_equal(fs_request_field(fixture.router.last, "If-Match"), "\"10001-3\"");
	tear_down(&fixture);
}

/* Every other byte of the first part: far more gaps than are remembered. */
static void the_number_of_gaps_is_bounded(void **state)
{
	static struct fixture fixture;
	size_t most = 0;

	(void)state;
	set_up(&fixture);
	for (uint64_t at = 0; at < 60000; at += 2) {
		size_t gaps;

		change(&fixture, at, "x");
		assert_int_equal(base_bound(&fixture.base), 0);
		gaps = staging_gap_count(fixture.base.staging);
		most = gaps > most ? gaps : most;
	}
	assert_in_range(most, 1000, 20000);
	assert_in_range(fs_router_requests(&fixture.router), 1, 1000);
	check_read(&fixture);
	tear_down(&fixture);
}

static int set_up_group(void **state)
{
	(void)state;
	return http_client_global_init();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_missing_is_fetched_once_while_it_is_sent),
		cmocka_unit_test(without_room_for_it_it_is_sent_all_the_same),
		cmocka_unit_test(all_of_it_can_be_fetched_before),
		cmocka_unit_test(a_version_that_is_gone_is_stale),
		cmocka_unit_test(the_number_of_gaps_is_bounded),
	};

	return cmocka_run_group_tests_name("fs_base", tests, set_up_group, NULL);
}
