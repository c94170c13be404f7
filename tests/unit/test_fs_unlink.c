/* SPDX-License-Identifier: MIT */
/* What removing a file asks of the router, and when it is durable. */
#include "fs/files.h"
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
	unsigned delete_status, patch_status;
	unsigned patches;
};

static enum fs_answer answer(void *state, const char *request, struct buf *ret_answer)
{
	struct world *world = state;
	bool is_patch = strncmp(request, "PATCH ", 6) == 0;

	world->patches += is_patch;
	fs_write_answer(ret_answer, is_patch ? world->patch_status : world->delete_status,
			"ETag: \"10001-3\"\r\nHexKV-Mtime: 9\r\n", NULL, 0);
	return FS_ANSWER;
}

static int setup(void **state)
{
	struct world *world = calloc(1, sizeof(*world));

	if (!world)
		return -1;
	world->delete_status = 204;
	world->patch_status = 404;
	fs_router_start(&world->router, answer, world, PATIENCE_MS);
	world->mount.options = &world->options;
	world->mount.remote = world->router.remote;
	inode_table_init(&world->mount.inodes, 0644);
	removals_init(&world->mount.removals);
	opens_init(&world->mount.opens);
	*state = world;
	return 0;
}

static int teardown(void **state)
{
	struct world *world = *state;

	removals_deinit(&world->mount.removals);
	inode_table_deinit(&world->mount.inodes);
	fs_router_stop(&world->router);
	free(world);
	return 0;
}

static int sync_removals(struct world *world)
{
	return removals_sync(&world->mount.removals, world->mount.remote, NULL);
}

static void a_removal_is_acknowledged_from_memory(void **state)
{
	struct world *world = *state;

	assert_int_equal(files_unlink(&world->mount, "00ff", NULL), 0);
	assert_non_null(strstr(world->router.last, "DELETE /kv/00ff HTTP/1.1"));
	assert_string_equal(fs_request_field(world->router.last, "HexKV-Durability"), "memory");
	assert_int_equal(fs_router_requests(&world->router), 1);
}

static void syncing_the_directory_makes_it_durable_once(void **state)
{
	struct world *world = *state;

	assert_int_equal(sync_removals(world), 0);
	assert_int_equal(fs_router_requests(&world->router), 0);
	assert_int_equal(files_unlink(&world->mount, "00ff", NULL), 0);
	assert_int_equal(sync_removals(world), 0);
	assert_non_null(strstr(world->router.last, "PATCH /kv/00ff HTTP/1.1"));
	assert_string_equal(fs_request_field(world->router.last, "HexKV-Durability"), "disk");
	assert_non_null(strstr(world->router.last, "\r\n\r\n{}"));
	assert_int_equal(world->patches, 1);
	assert_int_equal(sync_removals(world), 0);
	assert_int_equal(world->patches, 1);
}

static void names_that_share_a_slot_are_synced_together(void **state)
{
	struct world *world = *state;
	char name[16];

	for (unsigned i = 0; i < 2 * SLOT_COUNT; i++) {
		snprintf(name, sizeof(name), "%08x", i);
		removals_note(&world->mount.removals, name);
	}
	assert_int_equal(sync_removals(world), 0);
	assert_in_range(world->patches, SLOT_COUNT / 2, SLOT_COUNT);
}

static void what_could_not_be_synced_is_tried_again(void **state)
{
	struct world *world = *state;

	assert_int_equal(files_unlink(&world->mount, "00ff", NULL), 0);
	world->patch_status = 504;
	assert_int_equal(sync_removals(world), -ETIMEDOUT);
	world->patch_status = 204;
	assert_int_equal(sync_removals(world), 0);
	assert_int_equal(world->patches, 2);
	assert_int_equal(sync_removals(world), 0);
	assert_int_equal(world->patches, 2);
}

static void what_was_perhaps_removed_is_synced_too(void **state)
{
	struct world *world = *state;

	world->delete_status = 504;
	assert_int_equal(files_unlink(&world->mount, "00ff", NULL), -ETIMEDOUT);
	assert_int_equal(sync_removals(world), 0);
	assert_int_equal(world->patches, 1);
}

static void what_was_not_removed_is_not_synced(void **state)
{
	struct world *world = *state;

	world->delete_status = 404;
	assert_int_equal(files_unlink(&world->mount, "00ff", NULL), -ENOENT);
	assert_int_equal(files_unlink(&world->mount, ".00ff.swp", NULL), -ENOENT);
	assert_int_equal(files_unlink(&world->mount, "plain", NULL), -ENOENT);
	assert_int_equal(sync_removals(world), 0);
	assert_int_equal(world->patches, 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_removal_is_acknowledged_from_memory),
		TEST(syncing_the_directory_makes_it_durable_once),
		TEST(names_that_share_a_slot_are_synced_together),
		TEST(what_could_not_be_synced_is_tried_again),
		TEST(what_was_perhaps_removed_is_synced_too),
		TEST(what_was_not_removed_is_not_synced),
	};

	if (http_client_global_init() < 0)
		return 1;
	return cmocka_run_group_tests_name("fs_unlink", tests, NULL, NULL);
}
