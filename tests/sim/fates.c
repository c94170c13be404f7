/* SPDX-License-Identifier: MIT */
#include "tests/sim/fates.h"

#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define ATTEMPTS 50

static int64_t simulated_ns = 1700000000000000000;

static int64_t simulated_clock(void)
{
	return simulated_ns += 1000000;
}

struct store_options fates_options(struct crash_vfs *crash)
{
	return (struct store_options){
		.vfs = crash_vfs_base(crash),
		.dir = FATE_DIR,
		.cluster = "sim",
		.node = "n1",
		.memtable_bytes = 4096,
		.cache_bytes = 65536,
		.inline_bytes = FATE_INLINE_BYTES,
		.log_retain_bytes = 128 * 1024,
		.log_retain_s = 600,
		.realtime_ns = simulated_clock,
	};
}

int fates_open(const struct store_options *options, struct store **ret_store, char **ret_why)
{
	struct store *store = NULL;
	int r;

	*ret_store = NULL;
	r = store_open(options, &store, ret_why);
	if (r < 0)
		return r;
	r = store_lead_next(store, FATE_NODE_ID);
	if (r < 0) {
		store_close(store);
		return r;
	}
	*ret_store = store;
	return 0;
}

static void on_done(struct store_write *write)
{
	((struct fate_call *)write->state)->answered = true;
}

void fate_call_init(struct fate_call *call, enum write_kind kind, unsigned key,
		    enum durability durability)
{
	*call = (struct fate_call){ 0 };
	call->write.kind = kind;
	call->write.key = (struct key){ .len = 2, .bytes = { 'k', (uint8_t)key } };
	call->write.request.durability = durability;
	call->write.done = on_done;
	call->write.state = call;
}

enum fate fate_run(struct store *store, struct fate_call *call, enum fate on_success,
		   enum fate before)
{
	store_submit(store, &call->write);
	assert_true(call->answered);
	if (outcome_is_success(call->write.outcome))
		return on_success;
	return call->write.maybe_applied ? FATE_UNKNOWN : before;
}

static enum fate put_file(struct store *store, struct fate_call *call)
{
	struct value_writer *writer;
	int r = value_writer_new(store_values(store), &writer);

	if (r < 0)
		return FATE_ABSENT;
	r = value_writer_append(writer, call->data, FATE_FILE_BYTES);
	if (r < 0) {
		value_writer_abort(writer);
		return FATE_ABSENT;
	}
	if (value_writer_finish(writer, &call->write.file, &call->write.file_size,
				&call->write.file_hash, &call->write.file_utf8) < 0)
		return FATE_ABSENT;
	return fate_run(store, call, FATE_PRESENT, FATE_ABSENT);
}

enum fate fate_put(struct store *store, unsigned key, enum durability durability)
{
	static struct fate_call call;

	fate_call_init(&call, WRITE_PUT, key, durability);
	memset(call.data, (int)key, FATE_FILE_BYTES);
	if (key % 7 == 0)
		return put_file(store, &call);
	call.write.value = call.data;
	call.write.value_len = FATE_INLINE_BYTES;
	return fate_run(store, &call, FATE_PRESENT, FATE_ABSENT);
}

enum fate fate_delete(struct store *store, unsigned key, enum fate before)
{
	static struct fate_call call;

	fate_call_init(&call, WRITE_DELETE, key, DURABILITY_DISK);
	if (fate_run(store, &call, FATE_ABSENT, before) == FATE_ABSENT)
		return FATE_ABSENT;
	if (call.write.outcome == OUTCOME_NOT_FOUND)
		return before == FATE_PRESENT ? FATE_PRESENT : FATE_ABSENT;
	return call.write.maybe_applied ? FATE_UNKNOWN : before;
}

int fate_get(struct store *store, unsigned key, struct store_record *ret_record)
{
	struct key k = { .len = 2, .bytes = { 'k', (uint8_t)key } };

	return store_get(store, &k, 0, ret_record);
}

static void read_file(struct store_record *record, uint8_t *chunk)
{
	int attempts = 0;

	while (value_file_read_chunk(record->held.file, FATE_FILE_BYTES, 0, chunk, 0) !=
	       FATE_FILE_BYTES)
		assert_true(++attempts < ATTEMPTS);
}

void fates_check(struct store *store, const enum fate *fates, const char *when, uint64_t nth)
{
	static uint8_t chunk[VALUE_CHUNK_BYTES];

	for (unsigned key = 0; key < FATE_KEYS; key++) {
		struct store_record record;
		const uint8_t *data;
		int attempts = 0, r;

		/* The failing calls themselves. */
		while ((r = fate_get(store, key, &record)) < 0 && ++attempts < ATTEMPTS)
			;
		if (r < 0 || (r == 0 && fates[key] == FATE_ABSENT) ||
		    (r == STORE_NOT_FOUND && fates[key] == FATE_PRESENT)) {
			print_message("call %" PRIu64 ", %s: key %u: %d, fate %d\n", nth, when, key,
				      r, fates[key]);
			fail();
		}
		if (r != 0)
			continue;
		data = store_record_inline(&record);
		if (!data) {
			read_file(&record, chunk);
			data = chunk;
		}
		for (size_t i = 0; i < record.meta.size_bytes; i++)
			assert_int_equal(data[i], key);
		store_record_release(&record);
	}
}

/* Few calls in a row fail. */
static struct store_standing standing_of(struct store *store)
{
	struct store_standing standing;
	int attempts = 0;

	while (store_standing(store, &standing) < 0)
		assert_true(++attempts < ATTEMPTS);
	return standing;
}

/* False: the power is gone. */
static bool lead_again(struct store *store, struct crash_vfs *crash)
{
	struct store_standing before = standing_of(store), after;
	int attempts = 0;

	assert_int_equal(store_follow(store), 0);
	while (store_lead_next(store, FATE_NODE_ID) < 0) {
		simulated_ns += 2000000000;
		if (crash_vfs_is_cut(crash))
			return false;
		assert_true(++attempts < ATTEMPTS);
	}
	after = standing_of(store);
	assert_int_equal(after.role, STORE_LEADING);
	assert_true(after.epoch > before.epoch && after.epoch == after.promise);
	return true;
}

void fates_write(struct store *store, struct crash_vfs *crash, enum fate *fates)
{
	for (unsigned key = 0; key < FATE_KEYS && !crash_vfs_is_cut(crash); key++) {
		fates[key] = fate_put(store, key, key % 3 ? DURABILITY_DISK : DURABILITY_MEMORY);
		if (key % 5 == 4)
			fates[key - 2] = fate_delete(store, key - 2, fates[key - 2]);
		if (key % 10 == 0)
			simulated_ns += 2000000000; /* retries are due */
		if (key % 15 == 14 && !lead_again(store, crash))
			return;
	}
}

void fates_forget_unsynced(enum fate *fates)
{
	for (unsigned key = 0; key < FATE_KEYS; key += 3)
		if (fates[key] == FATE_PRESENT)
			fates[key] = FATE_UNKNOWN;
}

void fates_pass_time(int64_t ns)
{
	simulated_ns += ns;
}
