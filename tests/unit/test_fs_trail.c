/* SPDX-License-Identifier: MIT */
#include "fs/trail.h"
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
#define NAMES       1000

/* Pages of long names, so that few of them are more than the trail keeps in memory. */
struct router {
	struct fs_router router;
	struct trail *trail;
	unsigned pages;
};

static void name_of(unsigned page, unsigned i, char ret_name[256])
{
	snprintf(ret_name, 256, "%08x%0200x", page * NAMES + i, 0);
}

static enum fs_answer list(void *state, const char *request, struct buf *ret_answer)
{
	struct router *router = state;
	struct buf page = { 0 };
	char name[256];

	(void)request;
	name_page_begin(&page, "0.");
	for (unsigned i = 0; i < NAMES; i++) {
		name_of(router->pages, i, name);
		name_page_add(&page, &(struct name_line){ .key = name, .key_len = strlen(name) });
	}
	name_page_end(&page, NULL);
	router->pages++;
	fs_write_answer(ret_answer, 200, "", page.data, page.len);
	buf_deinit(&page);
	return FS_ANSWER;
}

static int set_up(void **state)
{
	struct router *router = calloc(1, sizeof(*router));

	if (!router || trail_new("/tmp", &router->trail) < 0)
		return -1;
	fs_router_start(&router->router, list, router, PATIENCE_MS);
	*state = router;
	return 0;
}

static int tear_down(void **state)
{
	struct router *router = *state;

	fs_router_stop(&router->router);
	trail_free(router->trail);
	free(router);
	return 0;
}

static void add_page(struct router *router, uint64_t *ret_number)
{
	struct listed_page *page;

	assert_int_equal(listed_page_fetch(router->router.remote, NULL, NULL, &page), 0);
	assert_int_equal(page->count, NAMES);
	assert_int_equal(trail_add(router->trail, page, ret_number), 0);
	listed_page_unref(page);
}

static void expect_cursor(struct router *router, uint64_t number, unsigned page, unsigned i)
{
	char cursor[NAME_PAGE_CURSOR_MAX + NAME_BYTES_MAX + 1], name[256];

	assert_int_equal(trail_cursor(router->trail, number, i, cursor), 0);
	name_of(page, i, name);
	assert_memory_equal(cursor, "0.", 2);
	assert_string_equal(cursor + 2, name);
}

static void all_names_are_found_again_in_memory_and_in_the_file(void **state)
{
	struct router *router = *state;
	uint64_t numbers[6];

	for (unsigned page = 0; page < 6; page++)
		add_page(router, &numbers[page]);
	for (unsigned page = 6; page-- > 0;) {
		expect_cursor(router, numbers[page], page, 0);
		expect_cursor(router, numbers[page], page, 499);
		expect_cursor(router, numbers[page], page, NAMES - 1);
	}
}

static void what_was_never_there_is_refused(void **state)
{
	struct router *router = *state;
	char cursor[NAME_PAGE_CURSOR_MAX + NAME_BYTES_MAX + 1];
	uint64_t number;

	assert_int_equal(trail_cursor(router->trail, 1, 0, cursor), -EINVAL);
	add_page(router, &number);
	assert_int_equal(number, 1);
	assert_int_equal(trail_cursor(router->trail, 0, 0, cursor), -EINVAL);
	assert_int_equal(trail_cursor(router->trail, 1, NAMES, cursor), -EINVAL);
	assert_int_equal(trail_cursor(router->trail, 2, 0, cursor), -EINVAL);
}

static void without_room_for_the_file_the_page_is_an_error_and_the_rest_stays(void **state)
{
	struct router *router = *state;
	struct listed_page *page;
	uint64_t first, number;

	trail_free(router->trail);
	assert_int_equal(trail_new("/nowhere", &router->trail), 0);
	add_page(router, &first);
	add_page(router, &number);
	assert_int_equal(listed_page_fetch(router->router.remote, NULL, NULL, &page), 0);
	assert_int_equal(trail_add(router->trail, page, &number), -ENOENT);
	listed_page_unref(page);
	expect_cursor(router, first, 0, 7);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(all_names_are_found_again_in_memory_and_in_the_file),
		TEST(what_was_never_there_is_refused),
		TEST(without_room_for_the_file_the_page_is_an_error_and_the_rest_stays),
	};

	if (http_client_global_init() < 0)
		return 1;
	return cmocka_run_group_tests_name("fs_trail", tests, NULL, NULL);
}
