/* SPDX-License-Identifier: MIT */
/* Reading ahead, against a router that serves ranges of a pattern. */
#include "fs/reader.h"
#include "lib/clock.h"
#include "lib/http_client.h"
#include "tests/unit/fs_fixture.h"

#include <errno.h>
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define OTHER_KEY   "00ee" /* has another value */
#define BLOCK       (1024 * 1024)
#define VALUE_BYTES (5 * BLOCK + 1000)
#define READ_BYTES  (128 * 1024)
#define PATIENCE_MS 10000
#define THREADS     2

struct store {
	struct fs_router router;
	struct prefetch *prefetch;
	struct reader *reader;
	uint64_t sequence; /* of the version that is there */
	bool renamed; /* it is read by the other name */
	bool comes_short; /* of each range the most is missing */
	unsigned ranges; /* requests that were served */
	uint64_t longest;
	bool silent;
	uint8_t *data;
};

static uint8_t pattern(uint64_t offset, uint64_t sequence)
{
	return (uint8_t)(offset * 31 + (offset >> 10) + sequence);
}

static enum fs_answer serve_range(void *state, const char *request, struct buf *ret_answer)
{
	struct store *store = state;
	char etag[64];
	bool by_other_name = strstr(request, OTHER_KEY) != NULL;
	uint64_t first, last, len;

	if (store->silent)
		return FS_SILENCE;
	if (sscanf(fs_request_field(request, "Range"), "bytes=%" SCNu64 "-%" SCNu64, &first,
		   &last) != 2 ||
	    first > last || last >= VALUE_BYTES) {
		fs_write_answer(ret_answer, 400, "", NULL, 0);
		return FS_ANSWER;
	}
	snprintf(etag, sizeof(etag), "\"%x-%" PRIx64 "\"", FS_EPOCH, store->sequence);
	if (strcmp(fs_request_field(request, "If-Match"), etag) != 0) {
		fs_write_answer(ret_answer, 412, "", NULL, 0);
		return FS_ANSWER;
	}
	len = last - first + 1;
	store->ranges++;
	store->longest = len > store->longest ? len : store->longest;
	for (uint64_t i = 0; i < len; i++)
		store->data[i] = pattern(first + i, store->sequence + by_other_name);
	fs_write_answer(ret_answer, 206, "", store->data, store->comes_short ? len / 4 : len);
	return FS_ANSWER;
}

static int setup_with(void **state, unsigned blocks_max)
{
	struct store *store = calloc(1, sizeof(*store));

	if (!store)
		return -1;
	store->sequence = 1;
	store->data = malloc(VALUE_BYTES);
	fs_router_start(&store->router, serve_range, store, PATIENCE_MS);
	if (!store->data || prefetch_new(THREADS, blocks_max, &store->prefetch) < 0 ||
	    reader_new(store->router.remote, store->prefetch, &store->reader) < 0)
		return -1;
	*state = store;
	return 0;
}

static int setup(void **state)
{
	return setup_with(state, 16);
}

static int setup_without_memory(void **state)
{
	return setup_with(state, 0);
}

static int teardown(void **state)
{
	struct store *store = *state;

	reader_free(store->reader);
	prefetch_free(store->prefetch);
	fs_router_stop(&store->router);
	free(store->data);
	free(store);
	return 0;
}

static int read_at(struct store *store, uint64_t sequence, uint64_t offset, size_t len,
		   uint8_t *data)
{
	const struct reader_want want = { .key = store->renamed ? OTHER_KEY : "00ff",
					  .version = { .epoch = FS_EPOCH, .sequence = sequence },
					  .value_bytes = VALUE_BYTES,
					  .offset = offset,
					  .len = len };

	return reader_copy(store->reader, &want, data, NULL);
}

static void check_read(struct store *store, uint64_t offset, size_t len)
{
	uint8_t *data = malloc(len);
	uint64_t sequence;

	assert_non_null(data);
	pthread_mutex_lock(&store->router.lock);
	sequence = store->sequence;
	pthread_mutex_unlock(&store->router.lock);
	assert_int_equal(read_at(store, sequence, offset, len, data), 0);
	for (size_t i = 0; i < len; i++)
		if (data[i] != pattern(offset + i, sequence))
			fail_msg("byte %zu of the read at %" PRIu64 " is wrong", i, offset);
	free(data);
}

static void read_all(struct store *store)
{
	for (uint64_t offset = 0; offset < VALUE_BYTES; offset += READ_BYTES)
		check_read(store, offset,
			   VALUE_BYTES - offset < READ_BYTES ? (size_t)(VALUE_BYTES - offset)
							     : READ_BYTES);
}

static void the_first_reads_ask_for_what_is_wanted_and_no_more(void **state)
{
	struct store *store = *state;

	check_read(store, 3 * BLOCK + 17, 4096);
	check_read(store, 0, 100);
	assert_int_equal(store->ranges, 2);
	assert_int_equal(store->longest, 4096);
}

static void sequential_reads_are_served_from_blocks(void **state)
{
	struct store *store = *state;

	read_all(store);
	/* 41 reads: the first ones one by one, then six blocks. */
	assert_true(store->ranges <= 10);
	assert_true(store->longest >= BLOCK);
}

static void a_read_across_blocks_is_put_together(void **state)
{
	struct store *store = *state;

	read_all(store);
	check_read(store, 4 * BLOCK - 1000, 2000);
	check_read(store, 3 * BLOCK - 1, 2 * BLOCK + 2);
	check_read(store, VALUE_BYTES - 1, 1);
}

static void random_reads_are_right_as_well(void **state)
{
	struct store *store = *state;
	unsigned seed = getenv("SEED") ? (unsigned)atoi(getenv("SEED")) : 1;

	print_message("SEED=%u\n", seed);
	srand(seed);
	for (int i = 0; i < 200; i++) {
		uint64_t offset = (uint64_t)rand() % VALUE_BYTES;
		size_t len = (size_t)rand() % READ_BYTES + 1;

		check_read(store, offset,
			   len < VALUE_BYTES - offset ? len : (size_t)(VALUE_BYTES - offset));
	}
}

static void without_memory_for_blocks_reads_are_still_right(void **state)
{
	struct store *store = *state;

	read_all(store);
	assert_int_equal(store->longest, READ_BYTES);
}

static void a_version_that_is_gone_is_not_mixed_with_the_next(void **state)
{
	struct store *store = *state;
	uint8_t *data = malloc(BLOCK);

	assert_non_null(data);
	read_all(store);
	pthread_mutex_lock(&store->router.lock);
	store->sequence = 2;
	pthread_mutex_unlock(&store->router.lock);
	/* Not in any block any more, or never. */
	assert_int_equal(read_at(store, 1, 0, 100, data), -ESTALE);
	read_all(store);
	check_read(store, 0, 100);
	free(data);
}

/* Leaders of two shards may both give a version. */
static void the_same_version_of_another_key_is_another_value(void **state)
{
	struct store *store = *state;
	uint8_t data[1000];

	for (uint64_t i = 0; i < 8; i++)
		check_read(store, i * READ_BYTES, READ_BYTES);
	store->renamed = true;
	for (uint64_t i = 8; i < 16; i++) {
		assert_int_equal(read_at(store, 1, i * READ_BYTES, sizeof(data), data), 0);
		assert_int_equal(data[0], pattern(i * READ_BYTES, 2));
	}
}

static void a_block_that_comes_short_is_an_error_and_not_kept(void **state)
{
	struct store *store = *state;
	uint8_t data[1000];

	for (uint64_t i = 0; i < 2; i++)
		check_read(store, i * 1000, 1000);
	pthread_mutex_lock(&store->router.lock);
	store->comes_short = true;
	pthread_mutex_unlock(&store->router.lock);
	for (uint64_t i = 2; i < 5; i++)
		assert_int_equal(read_at(store, 1, i * 1000, 1000, data), -EIO);
	pthread_mutex_lock(&store->router.lock);
	store->comes_short = false;
	pthread_mutex_unlock(&store->router.lock);
	read_all(store);
}

static bool is_raised(void *state)
{
	(void)state;
	return true;
}

static void an_interrupt_ends_a_read(void **state)
{
	struct store *store = *state;
	const struct interrupt interrupt = { .raised = is_raised };
	const struct reader_want want = { .key = "00ff",
					  .version = { .epoch = FS_EPOCH, .sequence = 1 },
					  .value_bytes = VALUE_BYTES,
					  .len = 10 };
	uint8_t data[10];

	store->silent = true;
	for (int i = 0; i < 5; i++)
		assert_int_equal(reader_copy(store->reader, &want, data, &interrupt), -EINTR);
}

static void closing_gives_up_what_is_on_its_way(void **state)
{
	struct store *store = *state;
	const struct interrupt interrupt = { .raised = is_raised };
	const struct reader_want want = { .key = "00ff",
					  .version = { .epoch = FS_EPOCH, .sequence = 1 },
					  .value_bytes = VALUE_BYTES,
					  .offset = 2000,
					  .len = 1000 };
	uint64_t begin = clock_monotonic_ms();
	uint8_t data[1000];

	for (uint64_t i = 0; i < 2; i++)
		check_read(store, i * 1000, 1000);
	pthread_mutex_lock(&store->router.lock);
	store->silent = true;
	pthread_mutex_unlock(&store->router.lock);
	assert_int_equal(reader_copy(store->reader, &want, data, &interrupt), -EINTR);
	store->reader = reader_free(store->reader);
	/* Waits for the blocks ahead: far less than their requests have time. */
	store->prefetch = prefetch_free(store->prefetch);
	assert_true(clock_monotonic_ms() - begin < PATIENCE_MS);
}

static void blocks_are_read_straight_from_their_memory(void **state)
{
	struct store *store = *state;
	const struct reader_want want = { .key = "00ff",
					  .version = { .epoch = FS_EPOCH, .sequence = 1 },
					  .value_bytes = VALUE_BYTES,
					  .offset = 3 * READ_BYTES,
					  .len = READ_BYTES };
	struct reader_bytes bytes = { 0 };
	const uint8_t *data;

	for (uint64_t i = 0; i < 3; i++)
		check_read(store, i * READ_BYTES, READ_BYTES);
	assert_int_equal(reader_read(store->reader, &want, NULL, &bytes), 0);
	assert_int_equal(bytes.count, 1);
	assert_non_null(bytes.blocks[0]);
	/* Whatever becomes of the reader meanwhile. */
	store->reader = reader_free(store->reader);
	data = bytes.parts[0].iov_base;
	for (size_t i = 0; i < READ_BYTES; i++)
		assert_int_equal(data[i], pattern(want.offset + i, 1));
	reader_bytes_deinit(&bytes);
}

struct counted {
	struct prefetch_job job;
	_Atomic unsigned *count;
};

static void count_one(struct prefetch_job *job)
{
	(*((struct counted *)job)->count)++;
}

static void what_is_queued_runs_before_the_threads_end(void **state)
{
	struct prefetch *prefetch;
	struct counted jobs[100];
	_Atomic unsigned count = 0;

	(void)state;
	assert_int_equal(prefetch_new(THREADS, 0, &prefetch), 0);
	for (int i = 0; i < 100; i++) {
		jobs[i] = (struct counted){ .job = { .run = count_one }, .count = &count };
		prefetch_submit(prefetch, &jobs[i].job);
	}
	prefetch_free(prefetch);
	assert_int_equal(count, 100);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(the_first_reads_ask_for_what_is_wanted_and_no_more),
		TEST(sequential_reads_are_served_from_blocks),
		TEST(a_read_across_blocks_is_put_together),
		TEST(random_reads_are_right_as_well),
		cmocka_unit_test_setup_teardown(without_memory_for_blocks_reads_are_still_right,
						setup_without_memory, teardown),
		TEST(a_version_that_is_gone_is_not_mixed_with_the_next),
		TEST(the_same_version_of_another_key_is_another_value),
		TEST(a_block_that_comes_short_is_an_error_and_not_kept),
		TEST(an_interrupt_ends_a_read),
		TEST(closing_gives_up_what_is_on_its_way),
		TEST(blocks_are_read_straight_from_their_memory),
		cmocka_unit_test(what_is_queued_runs_before_the_threads_end),
	};

	if (http_client_global_init() < 0)
		return 1;
	return cmocka_run_group_tests_name("fs_reader", tests, NULL, NULL);
}
