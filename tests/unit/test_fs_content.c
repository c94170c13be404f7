/* SPDX-License-Identifier: MIT */
/* Reads of a version that this mount replaces meanwhile. */
#include "fs/content.h"

#include "lib/http_client.h"
#include "tests/unit/fs_fixture.h"

#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define OLD_BYTES 200000
#define OFFSET    100000

struct world {
	struct fs_router router;
	struct mount mount;
	struct inode *inode;
	struct reader *reader;
	uint64_t new_bytes; /* of the version that replaces the old one at the first request */
};

/* The bytes of version 5 from @offset on. */
static uint8_t new_byte(uint64_t offset)
{
	return (uint8_t)(offset % 253);
}

static void replace(struct world *world)
{
	mutex_lock(&world->mount.inodes.lock);
	world->inode->version.sequence = 5;
	world->inode->size_bytes = world->new_bytes;
	mutex_unlock(&world->mount.inodes.lock);
}

static enum fs_answer serve(void *state, const char *request, struct buf *ret_answer)
{
	struct world *world = state;
	uint64_t from, to;
	char fields[512];
	uint8_t *data;

	if (strcmp(fs_request_field(request, "If-Match"), "\"10001-4\"") == 0) {
		replace(world);
		fs_write_answer(ret_answer, 412, "", NULL, 0);
		return FS_ANSWER;
	}
	assert_string_equal(fs_request_field(request, "If-Match"), "\"10001-5\"");
	assert_int_equal(sscanf(fs_request_field(request, "Range"), "bytes=%" SCNu64 "-%" SCNu64,
				&from, &to),
			 2);
	assert_true(from <= to && to < world->new_bytes);
	data = malloc(to - from + 1);
	assert_non_null(data);
	for (uint64_t i = from; i <= to; i++)
		data[i - from] = new_byte(i);
	fs_record_fields(fields, sizeof(fields), 5, world->new_bytes);
	fs_write_answer(ret_answer, 206, fields, data, to - from + 1);
	free(data);
	return FS_ANSWER;
}

static int setup(void **state)
{
	struct world *world = calloc(1, sizeof(*world));

	if (!world)
		return -1;
	fs_router_start(&world->router, serve, world, 10000);
	world->mount.remote = world->router.remote;
	inode_table_init(&world->mount.inodes, 0644);
	mutex_lock(&world->mount.inodes.lock);
	world->inode = inode_new_locked(&world->mount.inodes, INODE_RECORD, "00aa");
	if (world->inode) {
		world->inode->stored = true;
		world->inode->version = (struct version){ .epoch = FS_EPOCH, .sequence = 4 };
		world->inode->size_bytes = OLD_BYTES;
	}
	mutex_unlock(&world->mount.inodes.lock);
	*state = world;
	return world->inode ? reader_new(world->mount.remote, NULL, &world->reader) : -1;
}

static int teardown(void **state)
{
	struct world *world = *state;

	reader_free(world->reader);
	inode_table_deinit(&world->mount.inodes);
	fs_router_stop(&world->router);
	free(world);
	return 0;
}

/* Reads 150000 bytes, of which the old version has 100000. */
static void expect_of_new(struct world *world, uint64_t new_bytes, size_t expected)
{
	const struct content_range range = { .offset = OFFSET, .len = 150000 };
	struct reader_bytes bytes = { 0 };
	size_t len = 0;

	world->new_bytes = new_bytes;
	assert_int_equal(
		content_read(&world->mount, world->inode, world->reader, &range, NULL, &bytes), 0);
	for (unsigned i = 0; i < bytes.count; i++) {
		const uint8_t *part = bytes.parts[i].iov_base;

		for (size_t k = 0; k < bytes.parts[i].iov_len; k++)
			assert_int_equal(part[k], new_byte(OFFSET + len++));
	}
	assert_int_equal(len, expected);
	reader_bytes_deinit(&bytes);
}

static void a_read_that_begins_again_on_a_longer_version_is_not_cut_short(void **state)
{
	expect_of_new(*state, 400000, 150000);
}

static void a_read_that_begins_again_ends_where_a_shorter_version_does(void **state)
{
	expect_of_new(*state, OFFSET + 70000, 70000);
}

static void a_read_that_begins_again_behind_the_end_reads_nothing(void **state)
{
	expect_of_new(*state, OFFSET, 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_read_that_begins_again_on_a_longer_version_is_not_cut_short),
		TEST(a_read_that_begins_again_ends_where_a_shorter_version_does),
		TEST(a_read_that_begins_again_behind_the_end_reads_nothing),
	};

	if (http_client_global_init() < 0)
		return 1;
	return cmocka_run_group_tests_name("fs_content", tests, NULL, NULL);
}
