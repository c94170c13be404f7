/* SPDX-License-Identifier: MIT */
#include "node/request_ids.h"

#include "lib/bytes.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

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

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_answer_is_found_by_id_and_key),
		cmocka_unit_test(only_the_last_are_kept),
		cmocka_unit_test(old_answers_are_forgotten),
		cmocka_unit_test(put_and_tombstone_of_one_request_are_a_move),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
