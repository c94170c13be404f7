/* SPDX-License-Identifier: MIT */
#include "fs/listing.h"
#include "lib/http_client.h"
#include "tests/unit/fs_fixture.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define PAGE_NAMES  4
#define NAMES_MAX   64
#define PATIENCE_MS 5000

/* A directory whose cursor is the last name of a page, as the router's is. */
struct directory {
	struct fs_router router;
	struct mount_options options;
	struct mount mount;
	bool there[NAMES_MAX]; /* names are their numbers in hex */
	bool broken;
	unsigned again_from, again_at; /* behind this name, not 0, it goes on from that one */
};

static void write_page(struct directory *directory, unsigned first, struct buf *page)
{
	unsigned count = 0, i;
	char key[16], cursor[16];

	name_page_begin(page, "s.");
	for (i = first; i < NAMES_MAX && count < PAGE_NAMES; i++) {
		if (!directory->there[i])
			continue;
		snprintf(key, sizeof(key), "%02x", i);
		name_page_add(page, &(struct name_line){
					    .key = key,
					    .key_len = 2,
					    .size_bytes = i,
					    .mtime_ns = 5,
					    .version = { .epoch = FS_EPOCH, .sequence = i + 1 },
				    });
		count++;
	}
	if (directory->again_at && i > directory->again_at)
		i = directory->again_from;
	snprintf(cursor, sizeof(cursor), "s.%02x", i - 1);
	name_page_end(page, i < NAMES_MAX ? cursor : NULL);
}

static enum fs_answer list(void *state, const char *request, struct buf *ret_answer)
{
	struct directory *directory = state;
	const char *cursor = strstr(request, "cursor=s.");
	struct buf page = { 0 };

	if (strncmp(request, "GET /keys", 9) != 0) {
		fs_write_answer(ret_answer, strncmp(request, "DELETE", 6) == 0 ? 204 : 404, "",
				NULL, 0);
		return FS_ANSWER;
	}
	write_page(directory,
		   cursor ? (unsigned)strtoul(cursor + strlen("cursor=s."), NULL, 16) + 1 : 0,
		   &page);
	if (directory->broken)
		fs_write_answer(ret_answer, 500, "", NULL, 0);
	else
		fs_write_answer(ret_answer, 200, "", page.data, page.len);
	buf_deinit(&page);
	return FS_ANSWER;
}

static void set_there(struct directory *directory, unsigned name, bool there)
{
	pthread_mutex_lock(&directory->router.lock);
	directory->there[name] = there;
	pthread_mutex_unlock(&directory->router.lock);
}

/* Every fourth name of those up to NAMES_MAX is there: 16, in four full pages. */
static int setup(void **state)
{
	struct directory *directory = calloc(1, sizeof(*directory));

	if (!directory)
		return -1;
	for (unsigned i = 0; i < NAMES_MAX; i += 4)
		directory->there[i] = true;
	fs_router_start(&directory->router, list, directory, PATIENCE_MS);
	directory->options.attr_timeout_ms = 60000;
	directory->mount.options = &directory->options;
	directory->mount.remote = directory->router.remote;
	inode_table_init(&directory->mount.inodes, 0644);
	opens_init(&directory->mount.opens);
	*state = directory;
	return 0;
}

static int teardown(void **state)
{
	struct directory *directory = *state;

	inode_table_deinit(&directory->mount.inodes);
	fs_router_stop(&directory->router);
	free(directory);
	return 0;
}

static int next_name(struct directory *directory, struct listing *listing, uint64_t *position,
		     char *ret_name)
{
	struct listing_entry entry;
	int r = listing_next(listing, *position, NULL, &entry);

	if (r != 1)
		return r;
	assert_ptr_equal(entry.record.key, entry.name);
	*position = entry.position;
	strcpy(ret_name, entry.name);
	if (entry.local)
		inode_unref(&directory->mount.inodes, entry.local);
	return 1;
}

/* The names behind @position, one behind the other with a space after each. */
static const char *rest(struct directory *directory, struct listing *listing, uint64_t position)
{
	static char names[1024];
	char name[NAME_BYTES_MAX + 1];

	names[0] = '\0';
	while (next_name(directory, listing, &position, name) == 1) {
		assert_true(strlen(names) + strlen(name) + 2 < sizeof(names));
		strcat(strcat(names, name), " ");
	}
	return names;
}

static uint64_t read_names(struct directory *directory, struct listing *listing, unsigned count)
{
	uint64_t position = LISTING_START;
	char name[NAME_BYTES_MAX + 1];

	while (count--)
		assert_int_equal(next_name(directory, listing, &position, name), 1);
	return position;
}

static struct listing *open_listing(struct directory *directory)
{
	struct listing *listing;

	assert_int_equal(listing_new(&directory->mount, &listing), 0);
	return listing;
}

static void every_name_comes_once_over_all_pages(void **state)
{
	struct directory *directory = *state;
	struct listing *listing = open_listing(directory);
	struct listing_entry entry;

	assert_string_equal(rest(directory, listing, LISTING_START),
			    "00 04 08 0c 10 14 18 1c 20 24 28 2c 30 34 38 3c ");
	assert_int_equal(listing_next(listing, read_names(directory, listing, 3), NULL, &entry), 1);
	assert_int_equal(entry.record.size_bytes, 12);
	assert_int_equal(entry.record.version.sequence, 13);
	assert_int_equal(entry.record.mtime_ns, 5);
	assert_true(entry.recent);
	listing_free(listing);
}

static void an_empty_directory_has_no_names(void **state)
{
	struct directory *directory = *state;
	struct listing *listing = open_listing(directory);

	memset(directory->there, 0, sizeof(directory->there));
	assert_string_equal(rest(directory, listing, LISTING_START), "");
	listing_free(listing);
}

static void any_position_that_was_given_out_can_be_gone_back_to(void **state)
{
	struct directory *directory = *state;
	struct listing *listing = open_listing(directory);
	uint64_t positions[17] = { LISTING_START };
	char name[NAME_BYTES_MAX + 1];
	unsigned number;

	for (unsigned i = 0; i < 16; i++) {
		positions[i + 1] = positions[i];
		assert_int_equal(next_name(directory, listing, &positions[i + 1], name), 1);
	}
	for (unsigned i = 16; i-- > 0;) {
		uint64_t position = positions[i];

		assert_int_equal(next_name(directory, listing, &position, name), 1);
		number = (unsigned)strtoul(name, NULL, 16);
		assert_int_equal(number, 4 * i);
		/* It says the same in other words. */
		assert_int_equal(next_name(directory, listing, &position, name), i < 15);
		assert_true(i == 15 || strtoul(name, NULL, 16) == 4 * (i + 1));
	}
	assert_int_equal(next_name(directory, listing, &positions[16], name), 0);
	listing_free(listing);
}

/* What rm does to a directory that it reads. */
static void whoever_removes_what_he_reads_misses_nothing(void **state)
{
	struct directory *directory = *state;
	struct listing *listing = open_listing(directory);
	uint64_t position = LISTING_START;
	char name[NAME_BYTES_MAX + 1];
	unsigned count = 0;

	while (next_name(directory, listing, &position, name) == 1) {
		set_there(directory, (unsigned)strtoul(name, NULL, 16), false);
		count++;
	}
	assert_int_equal(count, 16);
	listing_free(listing);
}

static void a_position_survives_the_removal_of_its_name(void **state)
{
	struct directory *directory = *state;
	struct listing *listing = open_listing(directory);
	uint64_t position = read_names(directory, listing, 3);

	/* The page is fetched anew after others were read. */
	rest(directory, listing, LISTING_START);
	set_there(directory, 0x08, false);
	assert_string_equal(rest(directory, listing, position),
			    "0c 10 14 18 1c 20 24 28 2c 30 34 38 3c ");
	listing_free(listing);
}

static void a_position_survives_the_removal_of_all_names_before_it(void **state)
{
	struct directory *directory = *state;
	struct listing *listing = open_listing(directory);
	uint64_t position = read_names(directory, listing, 3);

	rest(directory, listing, LISTING_START);
	set_there(directory, 0x00, false);
	set_there(directory, 0x04, false);
	set_there(directory, 0x08, false);
	assert_string_equal(rest(directory, listing, position),
			    "0c 10 14 18 1c 20 24 28 2c 30 34 38 3c ");
	listing_free(listing);
}

static void a_position_survives_the_insertion_of_names_before_it(void **state)
{
	struct directory *directory = *state;
	struct listing *listing = open_listing(directory);
	uint64_t position = read_names(directory, listing, 2);

	rest(directory, listing, LISTING_START);
	set_there(directory, 0x01, true);
	/* Of the page nothing but what is behind the position comes. */
	assert_string_equal(rest(directory, listing, position),
			    "08 0c 10 14 18 1c 20 24 28 2c 30 34 38 3c ");
	listing_free(listing);
}

static void names_that_come_behind_the_position_are_seen(void **state)
{
	struct directory *directory = *state;
	struct listing *listing = open_listing(directory);
	uint64_t position = read_names(directory, listing, 4);

	set_there(directory, 0x11, true);
	set_there(directory, 0x3f, true);
	assert_string_equal(rest(directory, listing, position),
			    "10 11 14 18 1c 20 24 28 2c 30 34 38 3c 3f ");
	listing_free(listing);
}

static void starting_again_sees_the_directory_as_it_is_then(void **state)
{
	struct directory *directory = *state;
	struct listing *listing = open_listing(directory);

	/* So far that the second page has been read. */
	read_names(directory, listing, 6);
	set_there(directory, 0x14, false);
	set_there(directory, 0x15, true);
	assert_string_equal(rest(directory, listing, LISTING_START),
			    "00 04 08 0c 10 15 18 1c 20 24 28 2c 30 34 38 3c ");
	memset(directory->there, 0, sizeof(directory->there));
	set_there(directory, 0x02, true);
	assert_string_equal(rest(directory, listing, LISTING_START), "02 ");
	listing_free(listing);
}

static struct inode *add_temporary(struct directory *directory, const char *name)
{
	struct inode_table *table = &directory->mount.inodes;
	struct inode *inode;

	mutex_lock(&table->lock);
	inode = inode_new_locked(table, INODE_TEMPORARY, name);
	if (inode)
		inode_link_locked(table, inode);
	mutex_unlock(&table->lock);
	assert_non_null(inode);
	return inode;
}

static void temporary_files_are_listed_behind_the_records(void **state)
{
	struct directory *directory = *state;
	struct listing *listing = open_listing(directory);
	struct inode *first = add_temporary(directory, ".04.swp");
	struct inode *second = add_temporary(directory, ".00.swp");
	uint64_t position;

	assert_string_equal(rest(directory, listing, read_names(directory, listing, 15)),
			    "3c .04.swp .00.swp ");
	/* Also from between them, though the first is gone. */
	position = read_names(directory, listing, 17);
	mutex_lock(&directory->mount.inodes.lock);
	inode_unlink_locked(&directory->mount.inodes, first);
	mutex_unlock(&directory->mount.inodes.lock);
	assert_string_equal(rest(directory, listing, position), ".00.swp ");
	inode_unref(&directory->mount.inodes, first);
	inode_unref(&directory->mount.inodes, second);
	listing_free(listing);
}

static void a_record_that_became_a_temporary_file_is_not_listed(void **state)
{
	struct directory *directory = *state;
	struct listing *listing = open_listing(directory);
	struct inode *inode = add_temporary(directory, "04~");
	const struct version version = { .epoch = FS_EPOCH, .sequence = 5 };

	mutex_lock(&directory->mount.inodes.lock);
	inode_set_hides_locked(&directory->mount.inodes, inode, strdup("04"), version);
	mutex_unlock(&directory->mount.inodes.lock);
	assert_string_equal(rest(directory, listing, LISTING_START),
			    "00 08 0c 10 14 18 1c 20 24 28 2c 30 34 38 3c 04~ ");
	inode_unref(&directory->mount.inodes, inode);
	listing_free(listing);
}

static void what_was_listed_before_a_change_is_not_recent(void **state)
{
	struct directory *directory = *state;
	struct listing *listing = open_listing(directory);
	struct listing_entry entry;
	uint64_t position = read_names(directory, listing, 1);
	struct inode *inode;

	changes_note(remote_changes(directory->mount.remote), "04");
	mutex_lock(&directory->mount.inodes.lock);
	inode = inode_new_locked(&directory->mount.inodes, INODE_RECORD, "04");
	inode->stored = true;
	inode_link_locked(&directory->mount.inodes, inode);
	mutex_unlock(&directory->mount.inodes.lock);
	assert_int_equal(listing_next(listing, position, NULL, &entry), 1);
	assert_string_equal(entry.name, "04");
	assert_false(entry.recent);
	assert_int_equal(listing_next(listing, entry.position, NULL, &entry), 1);
	assert_true(entry.recent);
	inode_unref(&directory->mount.inodes, inode);
	listing_free(listing);
}

static void what_was_removed_since_its_page_was_read_is_not_shown(void **state)
{
	struct directory *directory = *state;
	struct listing *listing = open_listing(directory);
	uint64_t position = read_names(directory, listing, 1);

	assert_int_equal(remote_delete(directory->mount.remote, "08", NULL, DURABILITY_DISK, NULL),
			 0);
	assert_string_equal(rest(directory, listing, position),
			    "04 0c 10 14 18 1c 20 24 28 2c 30 34 38 3c ");
	listing_free(listing);
}

/* Of a position that was given out nothing is forgotten, however often its page is read. */
static void a_position_survives_any_number_of_readings(void **state)
{
	struct directory *directory = *state;
	struct listing *listing = open_listing(directory);
	uint64_t position = read_names(directory, listing, 6);

	for (unsigned i = 0; i < 6; i++) {
		set_there(directory, 4 * i, false);
		set_there(directory, 4 * i + 1, true);
		assert_string_equal(rest(directory, listing, position),
				    i < 5 ? "18 1c 20 24 28 2c 30 34 38 3c "
					  : "15 18 1c 20 24 28 2c 30 34 38 3c ");
		rest(directory, listing, LISTING_START);
	}
	listing_free(listing);
}

/* It was here alone when the reader began, and is a record when he comes to it. */
static void a_file_that_is_stored_while_it_is_listed_comes_once(void **state)
{
	struct directory *directory = *state;
	struct listing *listing = open_listing(directory);
	struct inode_table *table = &directory->mount.inodes;
	struct inode *early, *late;
	uint64_t position;

	mutex_lock(&table->lock);
	early = inode_new_locked(table, INODE_RECORD, "01");
	late = inode_new_locked(table, INODE_RECORD, "31");
	inode_link_locked(table, early);
	inode_link_locked(table, late);
	mutex_unlock(&table->lock);
	position = read_names(directory, listing, 4);
	mutex_lock(&table->lock);
	early->stored = late->stored = true;
	mutex_unlock(&table->lock);
	set_there(directory, 0x01, true);
	set_there(directory, 0x31, true);
	assert_string_equal(rest(directory, listing, position),
			    "10 14 18 1c 20 24 28 2c 30 34 38 3c 01 31 ");
	inode_unref(table, early);
	inode_unref(table, late);
	listing_free(listing);
}

/* A reader may go back to the beginning and then to a place that he marked before. */
static void a_file_that_is_stored_is_still_found_from_a_place_of_before(void **state)
{
	struct directory *directory = *state;
	struct listing *listing = open_listing(directory);
	struct inode_table *table = &directory->mount.inodes;
	struct inode *inode;
	uint64_t position;

	mutex_lock(&table->lock);
	inode = inode_new_locked(table, INODE_RECORD, "01");
	inode_link_locked(table, inode);
	mutex_unlock(&table->lock);
	position = read_names(directory, listing, 14);
	mutex_lock(&table->lock);
	inode->stored = true;
	mutex_unlock(&table->lock);
	set_there(directory, 0x01, true);
	read_names(directory, listing, 3);
	assert_string_equal(rest(directory, listing, position), "38 3c 01 ");
	inode_unref(table, inode);
	listing_free(listing);
}

static void an_error_of_the_router_ends_the_listing_and_not_the_directory(void **state)
{
	struct directory *directory = *state;
	struct listing *listing = open_listing(directory);
	uint64_t position = read_names(directory, listing, 4);
	struct listing_entry entry;

	directory->broken = true;
	assert_int_equal(listing_next(listing, position, NULL, &entry), -EIO);
	directory->broken = false;
	assert_string_equal(rest(directory, listing, position),
			    "10 14 18 1c 20 24 28 2c 30 34 38 3c ");
	listing_free(listing);
}

/* The kernel does, and what it asked before may have been a page without names. */
static void the_end_can_be_asked_for_again(void **state)
{
	struct directory *directory = *state;
	struct listing *listing = open_listing(directory);
	uint64_t position = read_names(directory, listing, 16);
	struct listing_entry entry;

	for (unsigned i = 0; i < 5; i++)
		assert_int_equal(listing_next(listing, position, NULL, &entry), 0);
	listing_free(listing);
}

/* How a walk that goes on until there is no next name ends. */
static int walk_all(struct directory *directory)
{
	struct listing *listing = open_listing(directory);
	uint64_t position = LISTING_START;
	char name[NAME_BYTES_MAX + 1];
	int r = 1;

	for (unsigned i = 0; r == 1 && i < 10000; i++)
		r = next_name(directory, listing, &position, name);
	listing_free(listing);
	return r;
}

static void cursors_that_come_round_again_are_an_error(void **state)
{
	struct directory *directory = *state;

	assert_int_equal(walk_all(directory), 0);
	directory->again_at = 0x2c;
	/* To the page itself, to the one before it, and to one earlier. */
	for (directory->again_from = 0x21; directory->again_from > 1; directory->again_from -= 0x10)
		assert_int_equal(walk_all(directory), -EIO);
	/* Without any names, too. */
	memset(directory->there, 0, sizeof(directory->there));
	directory->again_from = 0x30;
	assert_int_equal(walk_all(directory), -EIO);
}

static void a_position_that_was_never_given_out_is_refused(void **state)
{
	struct directory *directory = *state;
	struct listing *listing = open_listing(directory);
	struct listing_entry entry;

	assert_int_equal(listing_next(listing, 1, NULL, &entry), -EINVAL);
	assert_int_equal(listing_next(listing, UINT64_C(900) << 40, NULL, &entry), -EINVAL);
	assert_int_equal(listing_next(listing, LISTING_START + 1, NULL, &entry), -EINVAL);
	listing_free(listing);
}

static void an_open_listing_is_freed_with_its_mount(void **state)
{
	struct directory *directory = *state;

	read_names(directory, open_listing(directory), 2);
	opens_free_all(&directory->mount.opens);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(every_name_comes_once_over_all_pages),
		TEST(an_empty_directory_has_no_names),
		TEST(any_position_that_was_given_out_can_be_gone_back_to),
		TEST(whoever_removes_what_he_reads_misses_nothing),
		TEST(a_position_survives_the_removal_of_its_name),
		TEST(a_position_survives_the_removal_of_all_names_before_it),
		TEST(a_position_survives_the_insertion_of_names_before_it),
		TEST(names_that_come_behind_the_position_are_seen),
		TEST(starting_again_sees_the_directory_as_it_is_then),
		TEST(temporary_files_are_listed_behind_the_records),
		TEST(a_record_that_became_a_temporary_file_is_not_listed),
		TEST(what_was_listed_before_a_change_is_not_recent),
		TEST(what_was_removed_since_its_page_was_read_is_not_shown),
		TEST(a_position_survives_any_number_of_readings),
		TEST(a_file_that_is_stored_while_it_is_listed_comes_once),
		TEST(a_file_that_is_stored_is_still_found_from_a_place_of_before),
		TEST(an_error_of_the_router_ends_the_listing_and_not_the_directory),
		TEST(the_end_can_be_asked_for_again),
		TEST(cursors_that_come_round_again_are_an_error),
		TEST(a_position_that_was_never_given_out_is_refused),
		TEST(an_open_listing_is_freed_with_its_mount),
	};

	if (http_client_global_init() < 0)
		return 1;
	return cmocka_run_group_tests_name("fs_listing", tests, NULL, NULL);
}
