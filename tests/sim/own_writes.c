/* SPDX-License-Identifier: MIT */
#include "tests/sim/own_writes.h"

#include "node/checkpoint.h"
#include "node/store_batch.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define VALUE_MAX 5000

static int64_t simulated_ns = 1700000000000000000;

static int64_t simulated_clock(void)
{
	return simulated_ns += 1000000;
}

static uint64_t pick(struct own_writes *own, uint64_t below)
{
	own->random = own->random * 6364136223846793005u + 1442695040888963407u;
	return (own->random >> 33) % below;
}

static struct key key_number(unsigned number)
{
	return (struct key){ .len = 2, .bytes = { 'k', (uint8_t)number } };
}

static size_t value_number(uint32_t number, uint8_t out[VALUE_MAX])
{
	size_t len = number % 3 ? 1 + number % 90 : 1000 + number * 37 % 4000;

	for (size_t i = 0; i < len; i++)
		out[i] = (uint8_t)(number * 31 + i * 7 + i / 100);
	return len;
}

void own_writes_init(struct own_writes *own, uint64_t seed)
{
	*own = (struct own_writes){ .dir = "/data", .node = "n1", .random = seed };
	own->crash = crash_vfs_new(seed);
	own->vfs = crash_vfs_base(own->crash);
	own->retain_bytes = 65536;
	own->held = calloc(OWN_WRITES, sizeof(*own->held));
	assert_non_null(own->held);
}

void own_writes_init_beside(struct own_writes *own, struct own_writes *beside)
{
	*own = *beside;
	own->dir = "/own";
	own->node = "n2";
	own->is_beside = true;
	own->store = NULL;
	own->last = (struct version){ 0 };
	own->held = calloc(OWN_WRITES, sizeof(*own->held));
	assert_non_null(own->held);
}

void own_writes_deinit(struct own_writes *own)
{
	free(own->held);
	if (!own->is_beside)
		crash_vfs_free(own->crash);
}

int own_writes_try_open(struct own_writes *own, const char *dir, struct store **ret_store)
{
	struct store_options options = {
		.vfs = own->vfs,
		.dir = dir,
		.cluster = "sim",
		.node = own->node,
		.memtable_bytes = 2048,
		.cache_bytes = 65536,
		.inline_bytes = 512,
		.log_retain_bytes = own->retain_bytes,
		.log_retain_s = 600,
		.realtime_ns = simulated_clock,
	};
	char *why = NULL;
	int r = store_open(&options, ret_store, &why);

	if (r < 0)
		print_message("%s: %d: %s\n", dir, r, why);
	free(why);
	return r;
}

void own_writes_open(struct own_writes *own)
{
	assert_int_equal(own_writes_try_open(own, own->dir, &own->store), 0);
	assert_int_equal(store_lead_next(own->store, 1), 0);
}

void own_writes_close(struct own_writes *own)
{
	own->store = store_close(own->store);
}

struct call {
	struct store_write write;
	bool answered;
};

static void on_done(struct store_write *write)
{
	((struct call *)write->state)->answered = true;
}

static void submit(struct own_writes *own, struct call *call)
{
	call->write.done = on_done;
	call->write.state = call;
	store_submit(own->store, &call->write);
	assert_true(call->answered);
}

static void attach_file(struct own_writes *own, struct store_write *write, const void *data,
			size_t len)
{
	struct value_writer *writer;

	assert_int_equal(value_writer_new(store_values(own->store), &writer), 0);
	assert_int_equal(value_writer_append(writer, data, len), 0);
	assert_int_equal(value_writer_finish(writer, &write->file, &write->file_size,
					     &write->file_hash, &write->file_utf8),
			 0);
}

static void put(struct own_writes *own, struct call *call, unsigned key)
{
	uint32_t number = (uint32_t)own->last.sequence + 1;
	uint8_t data[VALUE_MAX];
	size_t len = value_number(number, data);

	call->write.kind = WRITE_PUT;
	call->write.key = key_number(key);
	if (len > 512) {
		attach_file(own, &call->write, data, len);
	} else {
		call->write.value = data;
		call->write.value_len = len;
	}
	submit(own, call);
	assert_true(outcome_is_success(call->write.outcome));
	own->last = call->write.meta.version;
	assert_int_equal(own->last.sequence, number);
	memcpy(own->held[number], own->held[number - 1], sizeof(*own->held));
	own->held[number][key] = number;
}

static void delete (struct own_writes *own, struct call *call, unsigned key)
{
	uint64_t sequence = own->last.sequence;

	call->write.kind = WRITE_DELETE;
	call->write.key = key_number(key);
	submit(own, call);
	assert_int_equal(call->write.outcome, OUTCOME_NO_CONTENT);
	own->last.sequence++;
	memcpy(own->held[sequence + 1], own->held[sequence], sizeof(*own->held));
	own->held[sequence + 1][key] = 0;
}

void own_writes_one(struct own_writes *own)
{
	unsigned key = (unsigned)pick(own, OWN_KEYS);
	struct call call = { 0 };

	assert_true(own->last.sequence + 1 < OWN_WRITES);
	call.write.request.durability = pick(own, 3) ? DURABILITY_DISK : DURABILITY_MEMORY;
	if (pick(own, 4) == 0 && own->held[own->last.sequence][key] > 0)
		delete (own, &call, key);
	else
		put(own, &call, key);
}

void own_writes_put_with_id(struct own_writes *own, struct request_id *ret_id, struct key *ret_key)
{
	struct call call = { 0 };

	request_id_generate(ret_id);
	*ret_key = key_number(0);
	call.write.request.request_id = *ret_id;
	put(own, &call, 0);
}

static void on_batch_done(struct store_batch *batch)
{
	*(bool *)batch->state = true;
}

static void apply(struct own_writes *own, struct store_batch *batch)
{
	bool answered = false;

	batch->done = on_batch_done;
	batch->state = &answered;
	store_apply_batch(own->store, batch);
	assert_true(answered);
	assert_int_equal(batch->result, 0);
}

static void repair_key(struct own_writes *own, unsigned key, uint64_t sequence)
{
	uint32_t number = own->held[sequence][key];
	struct key name = key_number(key);
	uint8_t data[VALUE_MAX];
	struct entry entry = {
		.kind = number > 0 ? ENTRY_INLINE : ENTRY_TOMBSTONE,
		.key = name.bytes,
		.key_len = name.len,
		.version = { own->last.epoch, number > 0 ? number : sequence },
		.size_bytes = number > 0 ? value_number(number, data) : 0,
		.value = number > 0 ? data : NULL,
	};
	struct store_batch batch = {
		.kind = BATCH_REPAIR,
		.entries = &entry,
		.count = 1,
		.epoch = own->last.epoch,
		.first_sequence = own->last.sequence + 1,
	};

	apply(own, &batch);
}

void own_writes_repair(struct own_writes *own, uint64_t sequence)
{
	assert_int_equal(store_follow(own->store), 0);
	for (unsigned i = 0; i < OWN_KEYS; i++)
		if (own->held[sequence][i] != own->held[own->last.sequence][i])
			repair_key(own, i, sequence);
}

void own_writes_reset(struct own_writes *own, uint64_t sequence)
{
	struct store_batch batch = {
		.kind = BATCH_RESET,
		.epoch = own->last.epoch,
		.first_sequence = sequence,
	};

	apply(own, &batch);
	own->last.sequence = sequence;
}

static bool try_barrier(struct own_writes *own)
{
	struct call call = { .write = { .kind = WRITE_BARRIER, .key = key_number(0) } };

	submit(own, &call);
	return call.write.outcome == OUTCOME_NOT_FOUND || outcome_is_success(call.write.outcome);
}

void own_writes_barrier(struct own_writes *own)
{
	assert_true(try_barrier(own));
}

void own_writes_settle(struct own_writes *own)
{
	bool settled = false;

	for (int i = 0; i < 20 && !settled; i++) {
		simulated_ns += INT64_C(2000000000);
		settled = try_barrier(own);
	}
	assert_true(settled);
}

void own_writes_let_time_pass(struct own_writes *own)
{
	for (int i = 0; i < 5; i++) {
		simulated_ns += INT64_C(11000000000);
		own_writes_barrier(own);
	}
}

static void fetch_file(struct own_writes *own, struct checkpoint *checkpoint, size_t index,
		       uint64_t size, const char *path)
{
	struct hash_stream *hash = hash_stream_new();
	struct hash128 sum, expect;
	struct vfs_file *file;
	uint8_t piece[777];
	uint64_t at = 0;
	ssize_t n;
	int r;

	assert_non_null(hash);
	assert_int_equal(vfs_open(own->vfs, path, VFS_WRITE | VFS_CREATE, &file), 0);
	while ((n = checkpoint_read(checkpoint, index, at, piece, sizeof(piece))) > 0) {
		struct iovec part = { piece, (size_t)n };

		assert_int_equal(vfs_pwritev(file, &part, 1, at), 0);
		hash_stream_update(hash, piece, (size_t)n);
		at += (uint64_t)n;
	}
	assert_int_equal(n, 0);
	assert_int_equal(at, size);
	do {
		r = checkpoint_sum(checkpoint, index, 1000, &sum);
	} while (r > 0);
	assert_int_equal(r, 0);
	expect = hash_stream_digest(hash);
	assert_memory_equal(&sum, &expect, sizeof(sum));
	hash_stream_free(hash);
	vfs_close(file);
}

void own_writes_fetch(struct own_writes *own, struct checkpoint *checkpoint,
		      char *(*path_of)(const char *dir, const char *name), const char *dir)
{
	struct checkpoint_view view;

	checkpoint_view(checkpoint, &view);
	for (size_t i = 0; i < view.count; i++) {
		char *path = path_of(dir, view.files[i].name);

		assert_non_null(path);
		fetch_file(own, checkpoint, i, view.files[i].size, path);
		free(path);
	}
}

static void on_problem(const char *sentence, void *state)
{
	fail_msg("%s: %s", (const char *)state, sentence);
}

void own_writes_expect_sound(struct own_writes *own, const char *dir)
{
	assert_int_equal(store_check(own->vfs, dir, on_problem, (void *)(uintptr_t)dir), 0);
}

static void expect_number(struct store_record *record, uint32_t number)
{
	static uint8_t chunk[VALUE_CHUNK_BYTES];
	const uint8_t *data = store_record_inline(record);
	uint8_t expect[VALUE_MAX];
	size_t len = value_number(number, expect);

	assert_int_equal(record->meta.version.sequence, number);
	assert_int_equal(record->meta.size_bytes, len);
	if (!data) {
		assert_int_equal(value_file_read_chunk(record->held.file, len, 0, chunk, 0), len);
		data = chunk;
	}
	assert_memory_equal(data, expect, len);
}

void own_writes_expect_open_state(struct own_writes *own, struct store *store, uint64_t sequence)
{
	for (unsigned i = 0; i < OWN_KEYS; i++) {
		uint32_t number = own->held[sequence][i];
		struct key key = key_number(i);
		struct store_record record;
		int r = store_get(store, &key, 0, &record);

		if (number == 0) {
			assert_int_equal(r, STORE_NOT_FOUND);
			continue;
		}
		if (r != 0)
			fail_msg("key %u at sequence %u: %d", i, (unsigned)sequence, r);
		expect_number(&record, number);
		store_record_release(&record);
	}
}

void own_writes_expect_state(struct own_writes *own, const char *dir, uint64_t sequence)
{
	struct store_stats stats;
	struct store *store;

	assert_int_equal(own_writes_try_open(own, dir, &store), 0);
	store_stats(store, &stats);
	assert_int_equal(stats.last.sequence, sequence);
	own_writes_expect_open_state(own, store, sequence);
	store_close(store);
}

static int count_name(const char *name, void *state)
{
	(void)name;
	++*(int *)state;
	return 0;
}

int own_writes_count_names(struct own_writes *own, const char *dir)
{
	int count = 0;

	return vfs_list(own->vfs, dir, count_name, &count) < 0 ? -1 : count;
}
