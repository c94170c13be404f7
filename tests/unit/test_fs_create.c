/* SPDX-License-Identifier: MIT */
/* Who may make a file by a name, and when the router hears of it. */
#include "fs/files.h"
#include "fs/handle.h"
#include "fs/meta.h"
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

struct world {
	struct fs_router router;
	struct mount_options options;
	struct mount mount;
	unsigned status; /* of every answer */
};

static enum fs_answer answer_status(void *state, const char *request, struct buf *ret_answer)
{
	const struct world *world = state;

	(void)request;
	fs_write_answer(ret_answer, world->status, "ETag: \"10001-3\"\r\nHexKV-Mtime: 9\r\n", NULL,
			0);
	return FS_ANSWER;
}

static int setup(void **state)
{
	struct world *world = calloc(1, sizeof(*world));
	const char *dir = getenv("TMPDIR");

	if (!world)
		return -1;
	world->status = 201;
	fs_router_start(&world->router, answer_status, world, PATIENCE_MS);
	world->options.staging = dir && *dir ? dir : "/tmp";
	world->mount.options = &world->options;
	world->mount.remote = world->router.remote;
	inode_table_init(&world->mount.inodes, 0644);
	opens_init(&world->mount.opens);
	*state = world;
	return 0;
}

static int teardown(void **state)
{
	struct world *world = *state;

	inode_table_deinit(&world->mount.inodes);
	fs_router_stop(&world->router);
	free(world);
	return 0;
}

static int create(struct world *world, const char *name, bool exclusive, struct inode **ret_inode)
{
	const struct files_create create = { .name = name, .mode = 0600, .exclusive = exclusive };

	return files_create(&world->mount, &create, NULL, ret_inode);
}

static void drop(struct world *world, struct inode *inode)
{
	files_created(&world->mount, inode, -EIO);
	inode_unref(&world->mount.inodes, inode);
}

static void a_new_record_is_not_stored_before_it_is_flushed(void **state)
{
	struct world *world = *state;
	struct inode *inode;

	assert_int_equal(create(world, "00ff", false, &inode), 0);
	assert_int_equal(fs_router_requests(&world->router), 0);
	assert_true(inode->unsaved);
	assert_false(inode->stored);
	assert_true(inode->linked);
	assert_int_equal(inode->mode, 0600);
	drop(world, inode);
}

static void an_exclusive_create_is_stored_at_once(void **state)
{
	struct world *world = *state;
	struct inode *inode;

	assert_int_equal(create(world, "00ff", true, &inode), 0);
	assert_non_null(strstr(world->router.last, "PUT /kv/00ff HTTP/1.1"));
	assert_string_equal(fs_request_field(world->router.last, "If-None-Match"), "*");
	assert_true(inode->stored);
	assert_false(inode->unsaved);
	assert_int_equal(inode->version.sequence, 3);
	assert_int_equal(inode->mtime_ns, 9);
	drop(world, inode);
}

static void an_exclusive_create_of_a_record_says_that_it_exists(void **state)
{
	struct world *world = *state;
	struct inode *inode;

	world->status = 412;
	assert_int_equal(create(world, "00ff", true, &inode), -EEXIST);
	assert_null(inode_find(&world->mount.inodes, "00ff"));
}

static void of_two_exclusive_creates_here_one_wins(void **state)
{
	struct world *world = *state;
	struct inode *first, *second;

	assert_int_equal(create(world, "00ff", true, &first), 0);
	assert_int_equal(create(world, "00ff", true, &second), -EEXIST);
	assert_int_equal(create(world, "00ff", false, &second), 0);
	assert_ptr_equal(first, second);
	drop(world, first);
	drop(world, second);
}

static void an_exclusive_create_that_fails_leaves_no_file(void **state)
{
	struct world *world = *state;
	struct inode *inode;

	world->status = 507;
	assert_int_equal(create(world, "00ff", true, &inode), -ENOSPC);
	assert_null(inode_find(&world->mount.inodes, "00ff"));
}

static void a_temporary_file_is_nothing_to_the_router(void **state)
{
	struct world *world = *state;
	struct inode *inode;

	assert_int_equal(create(world, ".00ff.swp", true, &inode), 0);
	assert_int_equal(inode->kind, INODE_TEMPORARY);
	assert_int_equal(fs_router_requests(&world->router), 0);
	drop(world, inode);
}

static void a_record_made_anew_keeps_the_labels_of_the_one_that_was_moved_aside(void **state)
{
	struct world *world = *state;
	struct inode_table *table = &world->mount.inodes;
	struct inode *aside, *inode;

	assert_int_equal(create(world, "00ff~", true, &aside), 0);
	mutex_lock(&table->lock);
	assert_int_equal(meta_set_labels_locked(aside, "text/plain", "utf-8"), 0);
	inode_set_hides_locked(table, aside, strdup("00ff"), (struct version){ .sequence = 2 });
	mutex_unlock(&table->lock);
	assert_int_equal(create(world, "00ff", true, &inode), 0);
	assert_string_equal(fs_request_field(world->router.last, "Content-Type"), "text/plain");
	assert_string_equal(fs_request_field(world->router.last, "HexKV-Encoding"), "utf-8");
	assert_string_equal(inode->content_type, "text/plain");
	assert_string_equal(inode->encoding, "utf-8");
	drop(world, aside);
	drop(world, inode);
}

/* A reader that is quicker than who made the file. */
static void a_file_that_was_just_made_outlives_the_reader_of_it(void **state)
{
	struct world *world = *state;
	struct handle *reader, *writer;
	struct inode *inode;

	assert_int_equal(create(world, "00ff", false, &inode), 0);
	assert_int_equal(handle_open(&world->mount, inode, false, &reader), 0);
	handle_close(reader);
	assert_false(inode->deleted);
	assert_int_equal(handle_open(&world->mount, inode, true, &writer), 0);
	files_created(&world->mount, inode, 0);
	assert_true(inode->linked);
	handle_close(writer);
	assert_int_equal(fs_router_requests(&world->router), 1);
	assert_true(inode->stored);
	inode_unref(&world->mount.inodes, inode);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_new_record_is_not_stored_before_it_is_flushed),
		TEST(an_exclusive_create_is_stored_at_once),
		TEST(an_exclusive_create_of_a_record_says_that_it_exists),
		TEST(of_two_exclusive_creates_here_one_wins),
		TEST(an_exclusive_create_that_fails_leaves_no_file),
		TEST(a_temporary_file_is_nothing_to_the_router),
		TEST(a_file_that_was_just_made_outlives_the_reader_of_it),
		TEST(a_record_made_anew_keeps_the_labels_of_the_one_that_was_moved_aside),
	};

	if (http_client_global_init() < 0)
		return 1;
	return cmocka_run_group_tests_name("fs_create", tests, NULL, NULL);
}
