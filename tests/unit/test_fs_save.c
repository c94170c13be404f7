/* SPDX-License-Identifier: MIT */
/* What is stored when several change, close and truncate one file at once. */
#include "fs/save.h"

#include "fs/content.h"
#include "fs/files.h"
#include "fs/handle.h"
#include "fs/meta.h"
#include "lib/clock.h"
#include "lib/http_client.h"
#include "tests/unit/fs_fixture.h"

#include <errno.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define PATIENCE_MS 10000

struct world {
	struct fs_router router;
	struct mount_options options;
	struct mount mount;
	struct inode *inode;
	atomic_bool waits; /* who truncates has to wait for a writer */
	atomic_bool interrupted;
	int result;
};

static enum fs_answer answer_stored(void *state, const char *request, struct buf *ret_answer)
{
	(void)state;
	(void)request;
	fs_write_answer(ret_answer, 204, "ETag: \"10001-3\"\r\nHexKV-Mtime: 9\r\n", NULL, 0);
	return FS_ANSWER;
}

static void add_record(struct world *world)
{
	struct inode_table *table = &world->mount.inodes;

	mutex_lock(&table->lock);
	world->inode = inode_new_locked(table, INODE_RECORD, "00ff");
	assert_non_null(world->inode);
	world->inode->stored = true;
	world->inode->version = (struct version){ .epoch = FS_EPOCH, .sequence = 2 };
	world->inode->size_bytes = 1000000;
	assert_int_equal(meta_set_labels_locked(world->inode, "text/plain", "utf-8"), 0);
	inode_link_locked(table, world->inode);
	mutex_unlock(&table->lock);
}

static int setup(void **state)
{
	struct world *world = calloc(1, sizeof(*world));
	const char *dir = getenv("TMPDIR");

	if (!world)
		return -1;
	fs_router_start(&world->router, answer_stored, world, PATIENCE_MS);
	world->options.staging = dir && *dir ? dir : "/tmp";
	world->mount.options = &world->options;
	world->mount.remote = world->router.remote;
	inode_table_init(&world->mount.inodes, 0644);
	opens_init(&world->mount.opens);
	const struct uploads_options uploads = {
		.remote = world->mount.remote,
		.threads = 1,
		.begin_bytes = UINT64_MAX,
		.idle_ms = PATIENCE_MS,
	};
	assert_int_equal(uploads_new(&uploads, &world->mount.uploads), 0);
	add_record(world);
	*state = world;
	return 0;
}

static int teardown(void **state)
{
	struct world *world = *state;

	inode_unref(&world->mount.inodes, world->inode);
	uploads_free(world->mount.uploads);
	inode_table_deinit(&world->mount.inodes);
	fs_router_stop(&world->router);
	free(world);
	return 0;
}

/* Asked only by who waits. */
static bool note_wait(void *state)
{
	struct world *world = state;

	atomic_store(&world->waits, true);
	return false;
}

static void *truncate_it(void *state)
{
	struct world *world = state;
	const struct interrupt interrupt = { .raised = note_wait, .state = world };

	world->result = save_truncated(&world->mount, world->inode, 0, &interrupt);
	return NULL;
}

/* Until the content is truncated here and waits to be sent. */
static void wait_for_truncation(struct world *world)
{
	uint64_t deadline = clock_monotonic_ms() + PATIENCE_MS;

	while (!atomic_load(&world->waits) && clock_monotonic_ms() < deadline)
		poll(NULL, 0, 1);
	assert_true(atomic_load(&world->waits));
}

static void a_reader_that_closes_takes_nothing_from_who_truncates(void **state)
{
	struct world *world = *state;
	struct inode_table *table = &world->mount.inodes;
	pthread_t thread;

	/* A write that takes a while holds the sender up. */
	mutex_lock(&table->lock);
	world->inode->changing++;
	mutex_unlock(&table->lock);
	assert_int_equal(pthread_create(&thread, NULL, truncate_it, world), 0);
	wait_for_truncation(world);
	/* Its end, and a reader's last handle, before the sender has woken up. */
	mutex_lock(&table->lock);
	world->inode->changing--;
	mutex_unlock(&table->lock);
	content_release(&world->mount, world->inode);
	pthread_join(thread, NULL);
	assert_int_equal(world->result, 0);
	assert_int_equal(fs_router_requests(&world->router), 1);
	assert_non_null(strstr(world->router.last, "PUT /kv/00ff HTTP/1.1"));
	assert_string_equal(fs_request_field(world->router.last, "Content-Length"), "0");
	assert_true(world->inode->linked);
	assert_false(world->inode->deleted);
	assert_null(world->inode->staging);
}

static void *close_it(void *state)
{
	handle_close(state);
	return NULL;
}

static void wait_for_a_sender(struct world *world)
{
	struct inode_table *table = &world->mount.inodes;
	uint64_t deadline = clock_monotonic_ms() + PATIENCE_MS;
	unsigned senders = 0;

	while (senders == 0 && clock_monotonic_ms() < deadline) {
		mutex_lock(&table->lock);
		senders = world->inode->senders;
		mutex_unlock(&table->lock);
		poll(NULL, 0, 1);
	}
	assert_int_equal(senders, 1);
}

static void who_ends_writing_stores_nothing_once_another_has_begun(void **state)
{
	struct world *world = *state;
	struct inode_table *table = &world->mount.inodes;
	struct handle *first, *second;
	pthread_t thread;

	assert_int_equal(handle_open(&world->mount, world->inode, true, &first), 0);
	assert_int_equal(content_truncate(&world->mount, world->inode, 0, NULL), 0);
	/* It is the last one when it decides to store, and another writer comes before it does. */
	mutex_lock(&table->lock);
	world->inode->changing++;
	mutex_unlock(&table->lock);
	assert_int_equal(pthread_create(&thread, NULL, close_it, first), 0);
	wait_for_a_sender(world);
	assert_int_equal(handle_open(&world->mount, world->inode, true, &second), 0);
	inode_end_change(table, world->inode);
	pthread_join(thread, NULL);
	assert_int_equal(fs_router_requests(&world->router), 0);
	assert_true(world->inode->unsaved);
	handle_close(second);
	assert_int_equal(fs_router_requests(&world->router), 1);
	assert_false(world->inode->unsaved);
}

static void what_is_left_to_who_truncates_is_stored(void **state)
{
	struct world *world = *state;
	struct handle *handle;

	/* What it does has been stored already, or could not be done. */
	save_begin_unopened(&world->mount, world->inode);
	assert_int_equal(handle_open(&world->mount, world->inode, true, &handle), 0);
	assert_int_equal(content_truncate(&world->mount, world->inode, 0, NULL), 0);
	handle_close(handle);
	assert_false(world->inode->deleted);
	assert_int_equal(save_end_unopened(&world->mount, world->inode, 0), 0);
	assert_int_equal(fs_router_requests(&world->router), 1);
	assert_false(world->inode->deleted);
	assert_false(world->inode->unsaved);
}

static bool note_wait_until_interrupted(void *state)
{
	struct world *world = state;

	atomic_store(&world->waits, true);
	return atomic_load(&world->interrupted);
}

static void *create_it(void *state)
{
	struct world *world = state;
	const struct files_create create = { .name = "00ff", .mode = 0600, .truncate = true };
	const struct interrupt interrupt = { .raised = note_wait_until_interrupted,
					     .state = world };
	struct inode *inode;

	world->result = files_create(&world->mount, &create, &interrupt, &inode);
	return NULL;
}

static void what_is_left_to_who_gives_up_opening_is_stored(void **state)
{
	struct world *world = *state;
	struct inode_table *table = &world->mount.inodes;
	struct handle *handle;
	pthread_t thread;

	assert_int_equal(handle_open(&world->mount, world->inode, true, &handle), 0);
	assert_int_equal(content_truncate(&world->mount, world->inode, 0, NULL), 0);
	/* Another opens it anew, and waits, when its last writer closes it. */
	assert_int_equal(inode_begin_send(table, world->inode, NULL), 0);
	assert_int_equal(pthread_create(&thread, NULL, create_it, world), 0);
	wait_for_truncation(world);
	handle_close(handle);
	atomic_store(&world->interrupted, true);
	wait_for_a_sender(world);
	inode_end_send(table, world->inode);
	pthread_join(thread, NULL);
	assert_int_equal(world->result, -EINTR);
	assert_int_equal(fs_router_requests(&world->router), 1);
	assert_false(world->inode->deleted);
	assert_false(world->inode->unsaved);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(
			a_reader_that_closes_takes_nothing_from_who_truncates, setup, teardown),
		cmocka_unit_test_setup_teardown(
			who_ends_writing_stores_nothing_once_another_has_begun, setup, teardown),
		cmocka_unit_test_setup_teardown(what_is_left_to_who_gives_up_opening_is_stored,
						setup, teardown),
		cmocka_unit_test_setup_teardown(what_is_left_to_who_truncates_is_stored, setup,
						teardown),
	};
	int r = http_client_global_init();

	return r < 0 ? 1 : cmocka_run_group_tests(tests, NULL, NULL);
}
