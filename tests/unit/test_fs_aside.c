/* SPDX-License-Identifier: MIT */
/* A record that was moved aside, and what becomes of it when the file that was begun in its place
 * goes away. */
#include "fs/content.h"
#include "fs/files.h"
#include "fs/handle.h"
#include "fs/resolve.h"
#include "fs/save.h"
#include "fs/upload.h"
#include "lib/http_client.h"
#include "tests/unit/fs_leader.h"

#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define TIMEOUT_MS 700

struct world {
	struct fs_router router;
	struct fs_leader leader;
	struct mount_options options;
	struct mount mount;
	struct handle *handle; /* of the file that was begun */
};

static void set_record(struct world *world, const char *value)
{
	struct fs_leader_record *record = &world->leader.records[0];

	pthread_mutex_lock(&world->router.lock);
	record->exists = value;
	record->version = ++world->leader.versions;
	snprintf(record->value, sizeof(record->value), "%s", value ? value : "");
	pthread_mutex_unlock(&world->router.lock);
}

static void assert_record(struct world *world, const char *value)
{
	struct fs_leader_record record;

	pthread_mutex_lock(&world->router.lock);
	record = world->leader.records[0];
	pthread_mutex_unlock(&world->router.lock);
	assert_int_equal(record.exists, value != NULL);
	if (value)
		assert_string_equal(record.value, value);
}

static void assert_writes(struct world *world, unsigned count)
{
	pthread_mutex_lock(&world->router.lock);
	assert_int_equal(world->leader.writes, count);
	pthread_mutex_unlock(&world->router.lock);
}

static void set_fault(struct world *world, enum fs_fault fault)
{
	pthread_mutex_lock(&world->router.lock);
	world->leader.fault = fault;
	pthread_mutex_unlock(&world->router.lock);
}

static void late_write_comes(struct world *world)
{
	pthread_mutex_lock(&world->router.lock);
	fs_leader_go_on(&world->leader);
	pthread_mutex_unlock(&world->router.lock);
}

/* "00" holds "first", and was moved aside. */
static int setup(void **state)
{
	struct world *world = calloc(1, sizeof(*world));
	const char *dir = getenv("TMPDIR");

	if (!world)
		return -1;
	fs_router_start(&world->router, fs_leader_answer, &world->leader, TIMEOUT_MS);
	world->options.staging = dir && *dir ? dir : "/tmp";
	world->options.attr_timeout_ms = 1000;
	world->mount.options = &world->options;
	world->mount.remote = world->router.remote;
	inode_table_init(&world->mount.inodes, 0644);
	removals_init(&world->mount.removals);
	opens_init(&world->mount.opens);
	const struct uploads_options uploads = {
		.remote = world->mount.remote,
		.threads = 1,
		.begin_bytes = UINT64_MAX,
		.idle_ms = TIMEOUT_MS,
	};
	assert_int_equal(uploads_new(&uploads, &world->mount.uploads), 0);
	set_record(world, "first");
	*state = world;
	return files_rename(&world->mount, "00", "00~", false, NULL);
}

static int teardown(void **state)
{
	struct world *world = *state;

	if (world->handle)
		handle_close(world->handle);
	uploads_free(world->mount.uploads);
	removals_deinit(&world->mount.removals);
	inode_table_deinit(&world->mount.inodes);
	fs_router_stop(&world->router);
	free(world);
	return 0;
}

static void begin_anew(struct world *world)
{
	const struct files_create create = { .name = "00", .mode = 0600 };
	struct inode *inode;

	assert_int_equal(files_create(&world->mount, &create, NULL, &inode), 0);
	assert_int_equal(handle_open(&world->mount, inode, true, &world->handle), 0);
	files_created(&world->mount, inode, 0);
	assert_int_equal(content_write(&world->mount, inode, 0, "again", 5, NULL), 0);
	inode_unref(&world->mount.inodes, inode);
}

static void flush_without_answer(struct world *world, enum fs_fault fault)
{
	set_fault(world, fault);
	assert_int_equal(save_content(&world->mount, world->handle->inode, DURABILITY_MEMORY, NULL),
			 -ETIMEDOUT);
}

static int look_up(struct world *world)
{
	struct inode *inode;
	int r = resolve_name(&world->mount, "00", RESOLVE_NOW, NULL, &inode);

	if (r == 0)
		inode_unref(&world->mount.inodes, inode);
	return r;
}

/* Nobody sees it here, and it goes with its temporary file. */
static void assert_still_aside(struct world *world)
{
	assert_record(world, "first");
	assert_int_equal(look_up(world), -ENOENT);
	assert_int_equal(files_unlink(&world->mount, "00~", NULL), 0);
	assert_record(world, NULL);
}

static void it_stays_when_nothing_was_tried(void **state)
{
	struct world *world = *state;

	begin_anew(world);
	assert_int_equal(files_unlink(&world->mount, "00", NULL), 0);
	assert_writes(world, 0);
	assert_still_aside(world);
}

static void a_try_that_comes_late_does_not_replace_it(void **state)
{
	struct world *world = *state;

	begin_anew(world);
	flush_without_answer(world, FS_LATE);
	assert_int_equal(files_unlink(&world->mount, "00", NULL), 0);
	late_write_comes(world);
	assert_still_aside(world);
}

static void it_is_stored_again_where_a_try_has_replaced_it(void **state)
{
	struct world *world = *state;

	begin_anew(world);
	flush_without_answer(world, FS_APPLIED_UNSEEN);
	assert_record(world, "again");
	assert_int_equal(files_unlink(&world->mount, "00", NULL), 0);
	assert_still_aside(world);
}

static void it_is_stored_again_after_several_tries(void **state)
{
	struct world *world = *state;

	begin_anew(world);
	flush_without_answer(world, FS_APPLIED_UNSEEN);
	flush_without_answer(world, FS_LATE);
	assert_int_equal(files_unlink(&world->mount, "00", NULL), 0);
	late_write_comes(world);
	assert_still_aside(world);
}

static void it_is_stored_again_when_the_file_is_renamed(void **state)
{
	struct world *world = *state;

	begin_anew(world);
	flush_without_answer(world, FS_APPLIED_UNSEEN);
	assert_int_equal(files_rename(&world->mount, "00", "01", false, NULL), 0);
	assert_still_aside(world);
}

static void a_removal_that_fails_can_be_tried_again(void **state)
{
	struct world *world = *state;

	begin_anew(world);
	flush_without_answer(world, FS_APPLIED_UNSEEN);
	set_fault(world, FS_APPLIED_UNSEEN);
	assert_int_equal(files_unlink(&world->mount, "00", NULL), -ETIMEDOUT);
	assert_int_equal(files_unlink(&world->mount, "00", NULL), 0);
	assert_still_aside(world);
}

static void what_others_stored_in_its_place_is_removed(void **state)
{
	struct world *world = *state;

	begin_anew(world);
	set_record(world, "other");
	assert_int_equal(files_unlink(&world->mount, "00", NULL), 0);
	assert_record(world, NULL);
}

static void what_others_removed_does_not_come_back(void **state)
{
	struct world *world = *state;

	begin_anew(world);
	set_record(world, NULL);
	flush_without_answer(world, FS_LATE);
	assert_int_equal(files_unlink(&world->mount, "00", NULL), 0);
	late_write_comes(world);
	assert_record(world, NULL);
}

/* It is no longer what was stored. */
static void what_was_changed_since_is_not_stored(void **state)
{
	struct world *world = *state;
	struct inode *aside = inode_find(&world->mount.inodes, "00~");

	assert_int_equal(content_write(&world->mount, aside, 0, "other", 5, NULL), 0);
	inode_unref(&world->mount.inodes, aside);
	begin_anew(world);
	flush_without_answer(world, FS_APPLIED_UNSEEN);
	assert_int_equal(files_unlink(&world->mount, "00", NULL), 0);
	assert_record(world, NULL);
	assert_int_equal(files_unlink(&world->mount, "00~", NULL), 0);
}

/* What replaced it was stored and removed: it is in its temporary file alone. */
static void it_does_not_come_back_once_it_was_replaced(void **state)
{
	struct world *world = *state;

	begin_anew(world);
	handle_close(world->handle);
	world->handle = NULL;
	assert_record(world, "again");
	assert_int_equal(files_unlink(&world->mount, "00", NULL), 0);
	assert_record(world, NULL);
	begin_anew(world);
	flush_without_answer(world, FS_APPLIED_UNSEEN);
	assert_int_equal(files_unlink(&world->mount, "00", NULL), 0);
	assert_record(world, NULL);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(it_stays_when_nothing_was_tried),
		TEST(a_try_that_comes_late_does_not_replace_it),
		TEST(it_is_stored_again_where_a_try_has_replaced_it),
		TEST(it_is_stored_again_after_several_tries),
		TEST(it_is_stored_again_when_the_file_is_renamed),
		TEST(a_removal_that_fails_can_be_tried_again),
		TEST(what_others_stored_in_its_place_is_removed),
		TEST(what_others_removed_does_not_come_back),
		TEST(what_was_changed_since_is_not_stored),
		TEST(it_does_not_come_back_once_it_was_replaced),
	};

	if (http_client_global_init() < 0)
		return 1;
	return cmocka_run_group_tests_name("fs_aside", tests, NULL, NULL);
}
