/* SPDX-License-Identifier: MIT */
#include "node/memtable.h"

#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

struct fixture {
	char dir[64];
	struct value_files *values;
	struct memtable *memtable;
	uint64_t position;
};

static int set_up(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	assert_non_null(f);
	snprintf(f->dir, sizeof(f->dir), "/tmp/test_memtable.XXXXXX");
	assert_non_null(mkdtemp(f->dir));
	assert_int_equal(value_files_open(vfs_posix(), f->dir, &f->values), 0);
	assert_int_equal(value_files_sweep(f->values), 0);
	assert_int_equal(memtable_new(f->values, &f->memtable), 0);
	*state = f;
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *f = *state;
	char command[96];

	memtable_unref(f->memtable);
	value_files_free(f->values);
	snprintf(command, sizeof(command), "rm -rf %s", f->dir);
	assert_int_equal(system(command), 0);
	free(f);
	return 0;
}

/* Borrows both strings. */
static struct entry entry_of(struct fixture *f, const char *key, const char *value)
{
	return (struct entry){ .kind = ENTRY_INLINE,
			       .key = (const uint8_t *)key,
			       .key_len = (uint8_t)strlen(key),
			       .position = ++f->position,
			       .content_type = "a/b",
			       .content_type_len = 3,
			       .encoding = "x",
			       .encoding_len = 1,
			       .size_bytes = strlen(value),
			       .value = (const uint8_t *)value };
}

static void put(struct fixture *f, const char *key, const char *value)
{
	struct entry entry = entry_of(f, key, value);

	assert_int_equal(memtable_insert(f->memtable, &entry, 1), 0);
}

static const struct memtable_entry *get(struct fixture *f, const char *key)
{
	return memtable_get(f->memtable, key, strlen(key));
}

static void holds(const struct memtable_entry *found, const char *value)
{
	struct entry entry;

	assert_non_null(found);
	memtable_decode(found, &entry);
	assert_int_equal(entry.kind, ENTRY_INLINE);
	assert_int_equal(entry.size_bytes, strlen(value));
	assert_memory_equal(entry.value, value, strlen(value));
}

static void what_is_inserted_is_found_and_nothing_else(void **state)
{
	struct fixture *f = *state;

	assert_null(get(f, "key"));
	put(f, "key", "one");
	put(f, "key of more than one prefix", "two");
	holds(get(f, "key"), "one");
	holds(get(f, "key of more than one prefix"), "two");
	assert_null(get(f, "ke"));
	assert_null(get(f, "key of more"));
	assert_null(get(f, "key of more than one prefix, and longer"));
	assert_null(memtable_get(f->memtable, "key\0", 4));
	assert_null(memtable_file(get(f, "key")));
	assert_int_equal(memtable_count(f->memtable), 2);
	assert_int_equal(memtable_position(f->memtable), 2);
}

static void an_empty_memtable_has_no_position_and_no_bytes(void **state)
{
	struct fixture *f = *state;
	struct memtable_iterator it;

	assert_int_equal(memtable_position(f->memtable), 0);
	assert_int_equal(memtable_count(f->memtable), 0);
	assert_int_equal(memtable_bytes(f->memtable), 0);
	assert_int_equal(memtable_insert(f->memtable, NULL, 0), 0);
	assert_int_equal(memtable_position(f->memtable), 0);
	memtable_iterate(&it, f->memtable, NULL, 0);
	assert_null(it.at);
}

static void a_newer_version_replaces_and_the_older_one_stays_readable(void **state)
{
	struct fixture *f = *state;
	const struct memtable_entry *older;

	put(f, "a", "old");
	older = get(f, "a");
	put(f, "a", "newer");
	holds(get(f, "a"), "newer");
	holds(older, "old");
	assert_int_equal(memtable_count(f->memtable), 1);
	assert_int_equal(memtable_position(f->memtable), 2);
}

static void of_a_group_the_last_version_of_a_key_wins(void **state)
{
	struct fixture *f = *state;
	struct entry group[3] = { entry_of(f, "a", "first"), entry_of(f, "b", "other"),
				  entry_of(f, "a", "last") };

	assert_int_equal(memtable_insert(f->memtable, group, 3), 0);
	holds(get(f, "a"), "last");
	holds(get(f, "b"), "other");
	assert_int_equal(memtable_count(f->memtable), 2);
	assert_int_equal(memtable_position(f->memtable), 3);
}

static void a_tombstone_is_a_version_that_is_found(void **state)
{
	struct fixture *f = *state;
	struct entry entry = { .kind = ENTRY_TOMBSTONE, .key = (const uint8_t *)"a", .key_len = 1 };

	put(f, "a", "value");
	entry.position = ++f->position;
	assert_int_equal(memtable_insert(f->memtable, &entry, 1), 0);
	assert_non_null(get(f, "a"));
	memtable_decode(get(f, "a"), &entry);
	assert_int_equal(entry.kind, ENTRY_TOMBSTONE);
	assert_int_equal(memtable_count(f->memtable), 1);
}

static const char *const sorted[] = { "a",    "aaaaaaaa", "aaaaaaaaa", "aaaaaaaab",
				      "ab",   "b",        "b\x01",     "bbbbbbbbb",
				      "\x7f", "\x80",     "\xff\xff" };
#define SORTED (sizeof(sorted) / sizeof(sorted[0]))

static void visits(struct fixture *f, const char *after, size_t first)
{
	struct memtable_iterator it;

	memtable_iterate(&it, f->memtable, after, strlen(after));
	for (size_t i = first; i < SORTED; i++) {
		struct entry peek;
		const uint8_t *data;
		size_t len;

		assert_non_null(it.at);
		data = memtable_encoded(it.at, &len);
		assert_true(entry_peek(data, len, &peek));
		assert_int_equal(peek.key_len, strlen(sorted[i]));
		assert_memory_equal(peek.key, sorted[i], peek.key_len);
		memtable_next(&it);
	}
	assert_null(it.at);
}

static void an_iterator_visits_keys_in_order_before_and_after_the_seal(void **state)
{
	struct fixture *f = *state;

	for (size_t i = 0; i < SORTED; i++)
		put(f, sorted[i * 7 % SORTED], "value");
	for (int sealed = 0; sealed < 2; sealed++) {
		visits(f, "", 0);
		for (size_t i = 0; i < SORTED; i++)
			visits(f, sorted[i], i + 1);
		visits(f, "aa", 1);
		visits(f, "\xff\xff\xff", SORTED);
		memtable_seal(f->memtable);
	}
}

static void an_iterator_that_began_before_the_seal_survives_replaced_keys(void **state)
{
	struct fixture *f = *state;
	struct memtable_iterator it;

	put(f, "b", "old");
	put(f, "d", "old");
	memtable_iterate(&it, f->memtable, NULL, 0);
	holds(it.at, "old");
	put(f, "b", "new");
	put(f, "c", "between");
	put(f, "d", "new");
	memtable_seal(f->memtable);
	memtable_next(&it);
	holds(it.at, "between");
	memtable_next(&it);
	holds(it.at, "new");
	memtable_next(&it);
	assert_null(it.at);
}

static void a_sealed_memtable_answers_as_before(void **state)
{
	struct fixture *f = *state;
	size_t bytes;

	put(f, "a", "old");
	put(f, "a", "new");
	bytes = memtable_bytes(f->memtable);
	memtable_seal(f->memtable);
	holds(get(f, "a"), "new");
	assert_null(get(f, "b"));
	assert_int_equal(memtable_bytes(f->memtable), bytes);
	assert_int_equal(memtable_count(f->memtable), 1);
	assert_int_equal(memtable_position(f->memtable), 2);
}

static void bytes_count_every_version_that_is_kept(void **state)
{
	struct fixture *f = *state;
	static char value[100000];
	size_t before, kept = 0;

	memset(value, 'v', sizeof(value) - 1);
	for (int i = 0; i < 40; i++) {
		before = memtable_bytes(f->memtable);
		put(f, "a", value);
		kept += sizeof(value) - 1;
		assert_true(memtable_bytes(f->memtable) >= before + sizeof(value) - 1);
	}
	assert_in_range(memtable_bytes(f->memtable), kept, 2 * kept);
	assert_int_equal(memtable_count(f->memtable), 1);
}

/* A value in a file, with one reference. */
static struct value_file *write_value(struct fixture *f, struct entry *entry)
{
	static const uint8_t data[1000];
	struct value_writer *writer;
	struct value_file *file;

	assert_int_equal(value_writer_new(f->values, &writer), 0);
	assert_int_equal(value_writer_append(writer, data, sizeof(data)), 0);
	assert_int_equal(
		value_writer_finish(writer, &file, &entry->size_bytes, &entry->hash, &entry->utf8),
		0);
	entry->kind = ENTRY_FILE;
	entry->file_id = value_file_id(file);
	return file;
}

static void value_files_are_held_until_the_memtable_goes(void **state)
{
	struct fixture *f = *state;
	struct entry first = entry_of(f, "a", ""), second = entry_of(f, "a", "");
	struct value_file *file = write_value(f, &first), *other = write_value(f, &second);
	uint64_t both = value_files_bytes(f->values);

	assert_true(both > 0);
	assert_int_equal(memtable_insert(f->memtable, &first, 1), 0);
	assert_int_equal(memtable_insert(f->memtable, &second, 1), 0);
	assert_ptr_equal(memtable_file(get(f, "a")), other);
	value_file_unref(file);
	value_file_unref(other);
	/* The replaced version's, too: a reader may stand at it. */
	assert_int_equal(value_files_bytes(f->values), both);
	f->memtable = memtable_unref(f->memtable);
	assert_int_equal(value_files_bytes(f->values), 0);
}

static void a_group_that_is_refused_shows_nothing_and_holds_no_file_for_good(void **state)
{
	struct fixture *f = *state;
	struct entry group[2] = { entry_of(f, "a", ""), entry_of(f, "b", "") };
	struct value_file *file = write_value(f, &group[0]);

	group[1].size_bytes = SIZE_MAX / 2 + 1; /* more than there is memory for */
	assert_int_equal(memtable_insert(f->memtable, group, 2), -ENOMEM);
	assert_null(get(f, "a"));
	assert_int_equal(memtable_count(f->memtable), 0);
	assert_int_equal(memtable_position(f->memtable), 0);
	value_file_unref(file);
	f->memtable = memtable_unref(f->memtable);
	assert_int_equal(value_files_bytes(f->values), 0);
}

static void readers_keep_bytes_and_file_after_the_last_other_reference_goes(void **state)
{
	struct fixture *f = *state;
	struct entry in_file = entry_of(f, "file", "");
	struct value_file *file = write_value(f, &in_file);
	const struct memtable_entry *found;
	struct pin *pin;

	assert_int_equal(memtable_insert(f->memtable, &in_file, 1), 0);
	value_file_unref(file);
	put(f, "key", "kept");
	found = get(f, "key");
	pin = memtable_pin(f->memtable);
	f->memtable = memtable_unref(f->memtable);
	holds(found, "kept");
	assert_true(value_files_bytes(f->values) > 0);
	pin_release(pin);
	assert_int_equal(value_files_bytes(f->values), 0);
}

#define CROWD_KEYS 20000u

struct crowd {
	struct memtable *memtable;
	_Atomic uint32_t inserted; /* so many numbers from 0 on */
	_Atomic unsigned faults;
};

/* Numbers in turn give keys without order; every fifth is that of an earlier number. */
static uint32_t crowd_key(uint32_t number)
{
	return (number % 5 == 4 ? number / 2 : number) * 2654435761u;
}

static void crowd_bytes(uint32_t number, uint8_t key[4])
{
	uint32_t mixed = crowd_key(number);

	for (unsigned i = 0; i < 4; i++)
		key[i] = (uint8_t)(mixed >> (24 - 8 * i));
}

static void *insert_all(void *state)
{
	struct crowd *crowd = state;
	uint8_t keys[3][4];
	struct entry entries[3];

	for (uint32_t number = 0; number < CROWD_KEYS; number += 3) {
		for (uint32_t i = 0; i < 3; i++) {
			crowd_bytes(number + i, keys[i]);
			entries[i] = (struct entry){ .kind = ENTRY_TOMBSTONE,
						     .key = keys[i],
						     .key_len = 4,
						     .position = number + i + 1 };
		}
		if (memtable_insert(crowd->memtable, entries, 3) < 0)
			crowd->faults++;
		crowd->inserted = number + 3;
	}
	return NULL;
}

static void look_up(struct crowd *crowd, uint32_t number)
{
	const struct memtable_entry *found;
	struct entry entry;
	uint8_t key[4];

	crowd_bytes(number, key);
	found = memtable_get(crowd->memtable, key, 4);
	if (!found) {
		crowd->faults++;
		return;
	}
	memtable_decode(found, &entry);
	if (memcmp(entry.key, key, 4) != 0 || entry.position < number + 1)
		crowd->faults++;
}

/* In order, and none that was there at the beginning is left out. */
static void walk(struct crowd *crowd, uint32_t number, uint32_t inserted)
{
	struct memtable_iterator it;
	uint32_t before = crowd_key(number), next = UINT32_MAX;
	uint8_t key[4];

	for (uint32_t i = 0; i < inserted; i++)
		if (crowd_key(i) > before && crowd_key(i) < next)
			next = crowd_key(i);
	crowd_bytes(number, key);
	memtable_iterate(&it, crowd->memtable, key, 4);
	for (unsigned i = 0; i < 10 && it.at; i++) {
		struct entry entry;
		uint32_t at;

		memtable_decode(it.at, &entry);
		at = (uint32_t)entry.key[0] << 24 | (uint32_t)entry.key[1] << 16 |
		     (uint32_t)entry.key[2] << 8 | entry.key[3];
		if (at <= before || (i == 0 && at > next))
			crowd->faults++;
		before = at;
		memtable_next(&it);
	}
}

static void *look_often(void *state)
{
	struct crowd *crowd = state;
	uint32_t inserted, round = 0;

	while ((inserted = crowd->inserted) < CROWD_KEYS) {
		uint32_t number = inserted > 0 ? ++round * 7919 % inserted : 0;

		if (inserted == 0)
			continue;
		look_up(crowd, number);
		look_up(crowd, inserted - 1);
		if (round % 200 == 0)
			walk(crowd, number, inserted);
	}
	return NULL;
}

static void readers_find_all_that_was_inserted_while_more_is_linked(void **state)
{
	struct fixture *f = *state;
	struct crowd crowd = { .memtable = f->memtable };
	pthread_t writer, readers[2];

	for (unsigned i = 0; i < 2; i++)
		assert_int_equal(pthread_create(&readers[i], NULL, look_often, &crowd), 0);
	assert_int_equal(pthread_create(&writer, NULL, insert_all, &crowd), 0);
	pthread_join(writer, NULL);
	for (unsigned i = 0; i < 2; i++)
		pthread_join(readers[i], NULL);
	assert_int_equal(crowd.faults, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
		TEST(what_is_inserted_is_found_and_nothing_else),
		TEST(an_empty_memtable_has_no_position_and_no_bytes),
		TEST(a_newer_version_replaces_and_the_older_one_stays_readable),
		TEST(of_a_group_the_last_version_of_a_key_wins),
		TEST(a_tombstone_is_a_version_that_is_found),
		TEST(an_iterator_visits_keys_in_order_before_and_after_the_seal),
		TEST(an_iterator_that_began_before_the_seal_survives_replaced_keys),
		TEST(a_sealed_memtable_answers_as_before),
		TEST(bytes_count_every_version_that_is_kept),
		TEST(value_files_are_held_until_the_memtable_goes),
		TEST(a_group_that_is_refused_shows_nothing_and_holds_no_file_for_good),
		TEST(readers_keep_bytes_and_file_after_the_last_other_reference_goes),
		TEST(readers_find_all_that_was_inserted_while_more_is_linked),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
