/* SPDX-License-Identifier: MIT */
#include "node/request_ids_file.h"

#include "lib/bytes.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static struct request_id id_of(uint64_t number)
{
	struct request_id id = { { 1 } };

	put_u64(id.bytes + 8, number);
	return id;
}

static void add(struct request_ids *ids, uint64_t number, int64_t now_ns)
{
	struct request_id id = id_of(number);
	struct request_answer answer = { .key_hash = 5, .size_bytes = number };

	assert_int_equal(request_ids_add(ids, &id, &answer, now_ns), 0);
}

static const struct request_answer *find(struct request_ids *ids, uint64_t number, int64_t now_ns)
{
	struct request_id id = id_of(number);

	return request_ids_find(ids, &id, 5, now_ns);
}

static void an_answer_is_found_by_id_and_key(void **state)
{
	struct request_ids *ids = request_ids_new();
	struct request_id id = id_of(1);

	(void)state;
	assert_null(find(ids, 1, 0));
	add(ids, 1, 0);
	assert_non_null(find(ids, 1, 0));
	assert_null(request_ids_find(ids, &id, 6, 0));
	assert_null(find(ids, 2, 0));
	request_ids_free(ids);
}

static void only_the_last_are_kept(void **state)
{
	struct request_ids *ids = request_ids_new();

	(void)state;
	for (uint64_t i = 0; i < 3 * REQUEST_IDS_MAX; i++)
		add(ids, i, 0);
	assert_int_equal(request_ids_count(ids), REQUEST_IDS_MAX);
	assert_null(find(ids, 2 * REQUEST_IDS_MAX - 1, 0));
	for (uint64_t i = 2 * REQUEST_IDS_MAX; i < 3 * REQUEST_IDS_MAX; i++)
		assert_int_equal(find(ids, i, 0)->size_bytes, i);
	request_ids_free(ids);
}

static void old_answers_are_forgotten(void **state)
{
	struct request_ids *ids = request_ids_new();

	(void)state;
	add(ids, 1, 0);
	add(ids, 2, 1000);
	assert_non_null(find(ids, 1, REQUEST_IDS_AGE_NS));
	assert_null(find(ids, 1, REQUEST_IDS_AGE_NS + 1));
	assert_non_null(find(ids, 2, REQUEST_IDS_AGE_NS + 1));
	assert_int_equal(request_ids_count(ids), 1);
	request_ids_free(ids);
}

static void put_and_tombstone_of_one_request_are_a_move(void **state)
{
	struct entry entries[] = {
		{ .kind = ENTRY_INLINE, .key = (const uint8_t *)"to", .key_len = 2 },
		{ .kind = ENTRY_TOMBSTONE, .key = (const uint8_t *)"from", .key_len = 4 },
	};

	(void)state;
	/* Without an id nobody can ask again. */
	assert_int_equal(request_entries(entries, 2), 1);
	entries[0].request_id = entries[1].request_id = id_of(1);
	assert_int_equal(request_entries(entries, 2), 2);
	assert_int_equal(request_entries(entries, 1), 1);
	assert_int_equal(request_answer_of(entries, 2).key_hash, request_key_hash("from", 4));
	assert_false(request_answer_of(entries, 2).tombstone);
	assert_true(request_answer_of(entries + 1, 1).tombstone);
}

static bool is_even(void *state, struct version version)
{
	++*(unsigned *)state;
	return version.sequence % 2 == 0;
}

static void add_version(struct request_ids *ids, uint64_t number)
{
	struct request_id id = id_of(number);
	struct request_answer answer = {
		.key_hash = 5,
		.replaced = number % 3 == 0,
		.tombstone = number % 5 == 0,
		.utf8 = number % 7 == 0,
		.version = { 0x70001, number },
		.mtime_ns = -(int64_t)number,
		.size_bytes = number,
		.hash = { .low = number + 1, .high = number + 2 },
	};

	assert_int_equal(request_ids_add(ids, &id, &answer, (int64_t)(number + 1) * 1000), 0);
}

static void ids_of_unwanted_versions_are_swept(void **state)
{
	struct request_ids *ids = request_ids_new();
	unsigned asked = 0;

	(void)state;
	request_ids_sweep(ids, is_even, &asked);
	/* The ring has gone around once. */
	for (uint64_t i = 0; i < REQUEST_IDS_MAX + 500; i++)
		add_version(ids, i);
	request_ids_sweep(ids, is_even, &asked);
	assert_int_equal(asked, REQUEST_IDS_MAX);
	assert_int_equal(request_ids_count(ids), REQUEST_IDS_MAX / 2);
	for (uint64_t i = 500; i < REQUEST_IDS_MAX + 500; i++)
		assert_true((find(ids, i, 0) != NULL) == (i % 2 == 0));
	/* It goes on as a ring: the oldest goes first. */
	for (uint64_t i = 0; i < REQUEST_IDS_MAX / 2 + 1; i++)
		add_version(ids, 1000000 + i);
	assert_int_equal(request_ids_count(ids), REQUEST_IDS_MAX);
	assert_null(find(ids, 500, 0));
	assert_non_null(find(ids, 502, 0));
	request_ids_free(ids);
}

static int same_answer(const struct request_id *id, int64_t time_ns,
		       const struct request_answer *answer, void *state)
{
	struct request_ids *other = state;
	const struct request_answer *found = request_ids_find(other, id, 5, 0);

	assert_non_null(found);
	assert_int_equal(time_ns, (int64_t)(answer->version.sequence + 1) * 1000);
	assert_int_equal(found->replaced, answer->replaced);
	assert_int_equal(found->tombstone, answer->tombstone);
	assert_int_equal(found->utf8, answer->utf8);
	assert_int_equal(version_compare(found->version, answer->version), 0);
	assert_int_equal(found->mtime_ns, answer->mtime_ns);
	assert_int_equal(found->size_bytes, answer->size_bytes);
	assert_int_equal(found->hash.low, answer->hash.low);
	assert_int_equal(found->hash.high, answer->hash.high);
	return 0;
}

static void a_copy_takes_along_the_ids_of_what_it_holds(void **state)
{
	struct request_ids *ids = request_ids_new(), *copy = request_ids_new();
	struct buf bytes = { 0 };
	int64_t newest = 0;

	(void)state;
	for (uint64_t i = 1; i <= 100; i++)
		add_version(ids, i);
	assert_int_equal(request_ids_encode(ids, 90, &bytes), 0);
	assert_int_equal(request_ids_decode(copy, bytes.data, bytes.len, &newest), 0);
	assert_int_equal(newest, 91000);
	assert_int_equal(request_ids_count(copy), 90);
	assert_int_equal(request_ids_each(copy, same_answer, ids), 0);
	for (size_t bit = 0; bit < bytes.len * 8; bit += 5) {
		bytes.data[bit / 8] ^= (uint8_t)(1 << bit % 8);
		assert_int_equal(request_ids_decode(copy, bytes.data, bytes.len, &newest),
				 -EBADMSG);
		bytes.data[bit / 8] ^= (uint8_t)(1 << bit % 8);
	}
	for (size_t len = 0; len < bytes.len; len++)
		assert_int_equal(request_ids_decode(copy, bytes.data, len, &newest), -EBADMSG);
	buf_deinit(&bytes);
	request_ids_free(ids);
	request_ids_free(copy);
}

static void a_file_of_ids_is_removed_once_it_is_old(void **state)
{
	char dir[] = "/tmp/hexkv-ids-XXXXXX", path[64];
	struct request_ids *ids = request_ids_new(), *copy = request_ids_new();
	const int64_t oldest = 1000000 + REQUEST_IDS_AGE_NS;
	int64_t newest;

	(void)state;
	assert_non_null(mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/" REQUEST_IDS_NAME, dir);
	assert_int_equal(request_ids_load(copy, vfs_posix(), dir, &newest), 0);
	request_ids_tidy(vfs_posix(), dir, newest, INT64_MAX);
	add_version(ids, 999);
	assert_int_equal(request_ids_save(ids, vfs_posix(), dir, UINT64_MAX), 0);
	assert_int_equal(request_ids_load(copy, vfs_posix(), dir, &newest), 0);
	assert_int_equal(request_ids_count(copy), 1);
	request_ids_tidy(vfs_posix(), dir, newest, oldest);
	assert_int_equal(access(path, F_OK), 0);
	request_ids_tidy(vfs_posix(), dir, newest, oldest + 1);
	assert_int_equal(access(path, F_OK), -1);
	assert_int_equal(rmdir(dir), 0);
	request_ids_free(ids);
	request_ids_free(copy);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_answer_is_found_by_id_and_key),
		cmocka_unit_test(only_the_last_are_kept),
		cmocka_unit_test(old_answers_are_forgotten),
		cmocka_unit_test(put_and_tombstone_of_one_request_are_a_move),
		cmocka_unit_test(ids_of_unwanted_versions_are_swept),
		cmocka_unit_test(a_copy_takes_along_the_ids_of_what_it_holds),
		cmocka_unit_test(a_file_of_ids_is_removed_once_it_is_old),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
