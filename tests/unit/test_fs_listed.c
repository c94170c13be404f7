/* SPDX-License-Identifier: MIT */
#include "fs/listed.h"
#include "fs/resolve.h"
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

/* A router that lists what it is told to and has no record else. */
struct directory {
	struct fs_router router;
	struct mount_options options;
	struct mount mount;
	const char *page; /* the answer to every request for names */
};

static enum fs_answer answer(void *state, const char *request, struct buf *ret_answer)
{
	struct directory *directory = state;

	if (strncmp(request, "GET /keys", 9) == 0)
		fs_write_answer(ret_answer, 200, "", directory->page, strlen(directory->page));
	else
		fs_write_answer(ret_answer, 404, "", NULL, 0);
	return FS_ANSWER;
}

static int set_up(void **state)
{
	struct directory *directory = calloc(1, sizeof(*directory));

	if (!directory || listed_new(&directory->mount.listed) < 0)
		return -1;
	fs_router_start(&directory->router, answer, directory, PATIENCE_MS);
	directory->options.attr_timeout_ms = 60000;
	directory->mount.options = &directory->options;
	directory->mount.remote = directory->router.remote;
	inode_table_init(&directory->mount.inodes, 0644);
	*state = directory;
	return 0;
}

static int tear_down(void **state)
{
	struct directory *directory = *state;

	inode_table_deinit(&directory->mount.inodes);
	listed_free(directory->mount.listed);
	fs_router_stop(&directory->router);
	free(directory);
	return 0;
}

static struct listed_page *fetch(struct directory *directory, const char *from, const char *text)
{
	struct listed_page *page;

	directory->page = text;
	assert_int_equal(listed_page_fetch(directory->mount.remote, from, NULL, &page), 0);
	return page;
}

static void list(struct directory *directory, const char *from, const char *text)
{
	struct listed_page *page = fetch(directory, from, text);

	listed_add(directory->mount.listed, page);
	listed_page_unref(page);
}

static void a_page_finds_its_names(void **state)
{
	static const char *const names[] = { "00", "0000", "00ff", "fe", "ff00" };
	struct listed_page *page = fetch(*state, NULL,
					 "prefix 0.\n00 1 1 1-1\n0000 2 1 1-1\n00ff 3 1 1-1\n"
					 "fe 4 1 1-1\nff00 5 1 1-1\nend\n");
	struct listed_name name;

	assert_int_equal(page->count, 5);
	for (size_t i = 0; i < 5; i++) {
		assert_int_equal(listed_page_find(page, names[i]), i);
		listed_page_get(page, i, &name);
		assert_string_equal(name.name, names[i]);
		assert_ptr_equal(name.record.key, name.name);
		assert_int_equal(name.record.size_bytes, i + 1);
	}
	assert_int_equal(listed_page_find(page, "0001"), -ENOENT);
	assert_int_equal(listed_page_find(page, "ff"), -ENOENT);
	assert_int_equal(listed_page_find(page, "ff0000"), -ENOENT);
	listed_page_unref(page);
}

static void a_page_that_makes_no_sense_is_an_error(void **state)
{
	static const char *const pages[] = { "", "end\n", "{\"names\":[],\"cursor\":null}",
					     "prefix 0.\n00 1 1 1-1\n",
					     "prefix 0.\nzz 1 1 1-1\nend\n",
					     /* Out of order, and twice. */
					     "prefix 0.\n01 1 1 1-1\n00 1 1 1-1\nend\n",
					     "prefix 0.\n0100 1 1 1-1\n01 1 1 1-1\nend\n",
					     "prefix 0.\n01 1 1 1-1\n01 1 1 1-1\nend\n" };
	struct directory *directory = *state;
	struct listed_page *page;

	for (size_t i = 0; i < sizeof(pages) / sizeof(pages[0]); i++) {
		directory->page = pages[i];
		assert_int_equal(listed_page_fetch(directory->mount.remote, NULL, NULL, &page),
				 -EIO);
	}
}

static void what_was_listed_needs_no_request(void **state)
{
	struct directory *directory = *state;
	struct inode *inode;
	unsigned requests;

	list(directory, NULL, "prefix 0.\n00 3 5 10001-1\n02 4 5 10001-2\nend\n");
	requests = fs_router_requests(&directory->router);
	assert_int_equal(resolve_name(&directory->mount, "02", RESOLVE_RECENT, NULL, &inode), 0);
	assert_int_equal(inode->size_bytes, 4);
	inode_unref(&directory->mount.inodes, inode);
	assert_int_equal(fs_router_requests(&directory->router), requests);
	/* What was not listed does. */
	assert_int_equal(resolve_name(&directory->mount, "01", RESOLVE_RECENT, NULL, &inode),
			 -ENOENT);
	assert_int_equal(fs_router_requests(&directory->router), requests + 1);
	/* So does what must be known now; and it is known better from then on. */
	assert_int_equal(resolve_name(&directory->mount, "00", RESOLVE_NOW, NULL, &inode), -ENOENT);
	assert_int_equal(resolve_name(&directory->mount, "00", RESOLVE_RECENT, NULL, &inode),
			 -ENOENT);
	assert_int_equal(fs_router_requests(&directory->router), requests + 3);
}

static void what_was_removed_here_is_not_found_in_an_older_listing(void **state)
{
	struct directory *directory = *state;
	struct inode *inode;

	list(directory, NULL, "prefix 0.\n00 3 5 10001-1\nend\n");
	assert_int_equal(remote_delete(directory->mount.remote, "00", NULL, DURABILITY_DISK, NULL),
			 -ENOENT);
	assert_int_equal(resolve_name(&directory->mount, "00", RESOLVE_RECENT, NULL, &inode),
			 -ENOENT);
}

static void a_newer_listing_takes_the_place_of_an_older_one(void **state)
{
	struct directory *directory = *state;
	struct listed_name name;
	struct listed_page *page;

	list(directory, "0.", "prefix 0.\n00 3 5 10001-1\nend\n");
	list(directory, "1.", "prefix 1.\n00 4 5 10001-1\n07 4 5 10001-1\nend\n");
	list(directory, "0.", "prefix 0.\n02 5 5 10001-1\nend\n");
	assert_true(listed_find(directory->mount.listed, "00", &name, &page));
	assert_int_equal(name.record.size_bytes, 4);
	listed_page_unref(page);
	assert_true(listed_find(directory->mount.listed, "02", &name, &page));
	listed_page_unref(page);
	assert_false(listed_find(directory->mount.listed, "03", &name, &page));
}

static void of_many_pages_the_newest_are_kept(void **state)
{
	struct directory *directory = *state;
	struct listed_name name;
	struct listed_page *page;
	char text[64], from[16];

	for (unsigned i = 0; i < 200; i++) {
		snprintf(text, sizeof(text), "prefix 0.\n%04x 3 5 1-1\nend\n", i);
		snprintf(from, sizeof(from), "0.%04x", i);
		list(directory, from, text);
	}
	assert_false(listed_find(directory->mount.listed, "0000", &name, &page));
	assert_true(listed_find(directory->mount.listed, "00c7", &name, &page));
	listed_page_unref(page);
}

/* As find does it with a hundred thousand names. */
static void names_that_are_too_old_in_a_row_are_worth_a_listing(void **state)
{
	struct directory *directory = *state;
	uint64_t deadline_ms = clock_monotonic_ms() + PATIENCE_MS;
	unsigned count = 1;

	assert_false(listed_too_old(directory->mount.listed));
	/* A pause, as a busy machine makes, begins the row anew. */
	while (!listed_too_old(directory->mount.listed) && clock_monotonic_ms() < deadline_ms)
		count++;
	assert_true(count >= 8);
	assert_true(clock_monotonic_ms() < deadline_ms);
	listed_opened(directory->mount.listed);
	assert_false(listed_too_old(directory->mount.listed));
}

static void a_change_is_newer_than_what_was_asked_before_and_no_other(void **state)
{
	struct changes *changes = calloc(1, sizeof(*changes));
	uint64_t before = changes_now(changes), behind;

	(void)state;
	changes_note(changes, "00ff");
	behind = changes_now(changes);
	assert_true(changes_since(changes, "00ff", before));
	assert_false(changes_since(changes, "00ff", behind));
	assert_false(changes_since(changes, "00fe", before));
	free(changes);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_page_finds_its_names),
		TEST(a_page_that_makes_no_sense_is_an_error),
		TEST(what_was_listed_needs_no_request),
		TEST(what_was_removed_here_is_not_found_in_an_older_listing),
		TEST(a_newer_listing_takes_the_place_of_an_older_one),
		TEST(of_many_pages_the_newest_are_kept),
		TEST(names_that_are_too_old_in_a_row_are_worth_a_listing),
		cmocka_unit_test(a_change_is_newer_than_what_was_asked_before_and_no_other),
	};

	if (http_client_global_init() < 0)
		return 1;
	return cmocka_run_group_tests_name("fs_listed", tests, NULL, NULL);
}
