/* SPDX-License-Identifier: MIT */
/*
 * The merge tree on a disk that loses power, fails calls, fills up and rots. The test keeps every
 * entry, as the log does, and hands back those above the flushed position after each reopening;
 * then every key must have its newest version, and every value file that a record names its bytes.
 */
#include "lib/cleanup.h"
#include "node/lsm.h"
#include "tests/sim/crash_vfs.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define KEYS      60
#define ENTRIES   4000
#define VALUE_MAX 6000
#define DIR       "/data"

struct written {
	uint32_t key;
	uint32_t len;
	enum entry_kind kind;
	uint64_t file_id;
};

struct sim {
	struct crash_vfs *disk;
	struct value_files *values;
	struct lsm *lsm;
	uint64_t seed, random;
	struct written log[ENTRIES + 1]; /* by position, from 1 */
	uint64_t position;
	uint64_t newest[KEYS]; /* positions, 0: never written */
	struct value_file *held[ENTRIES];
	size_t held_count;
	uint64_t flushed; /* as told */
	uint32_t value_max;
	uint8_t chunk[VALUE_CHUNK_BYTES];
};

static uint64_t below(struct sim *sim, uint64_t bound)
{
	sim->random ^= sim->random << 13;
	sim->random ^= sim->random >> 7;
	sim->random ^= sim->random << 17;
	return sim->random % bound;
}

static void flushed(void *state, uint64_t position)
{
	struct sim *sim = state;

	assert_true(position > sim->flushed && position <= sim->position + 1);
	sim->flushed = position;
}

static void fill(uint8_t *data, uint64_t position, uint32_t len)
{
	for (uint32_t i = 0; i < len; i++)
		data[i] = (uint8_t)(position * 13 + i * 5 + i / 256);
}

static size_t key_of(uint32_t number, char key[32])
{
	return (size_t)snprintf(key, 32, "key-%03u", number);
}

/* Room for key and value is the caller's. */
static struct entry entry_of(const struct sim *sim, uint64_t position, char *key, uint8_t *data)
{
	const struct written *w = &sim->log[position];
	struct entry entry = { .kind = w->kind,
			       .key = (uint8_t *)key,
			       .key_len = (uint8_t)key_of(w->key, key),
			       .position = position,
			       .content_type = "text/plain",
			       .content_type_len = 10,
			       .encoding = "binary",
			       .encoding_len = 6,
			       .size_bytes = w->len,
			       .value = data,
			       .file_id = w->file_id };

	fill(data, position, w->len);
	return entry;
}

static void close_tree(struct sim *sim)
{
	if (sim->values)
		value_files_hold(sim->values);
	while (sim->held_count > 0)
		value_file_unref(sim->held[--sim->held_count]);
	sim->lsm = lsm_free(sim->lsm);
	sim->values = value_files_free(sim->values);
}

/* What store does: open, replay, sweep. */
static int open_tree(struct sim *sim)
{
	struct lsm_options options = { .vfs = crash_vfs_base(sim->disk),
				       .dir = DIR,
				       .memtable_bytes = 8192,
				       .cache_bytes = sim->seed % 2 ? 0 : 65536,
				       .flushed = flushed,
				       .state = sim };
	uint8_t data[VALUE_MAX];
	char key[32];
	int r;

	sim->held_count = 0;
	r = value_files_open(options.vfs, DIR, &sim->values);
	options.values = sim->values;
	if (r == 0)
		r = lsm_open(&options, &sim->lsm, &sim->flushed);
	for (uint64_t i = 1; i <= sim->position && r == 0; i++) {
		struct entry entry = entry_of(sim, i, key, data);

		if (entry.kind == ENTRY_FILE)
			r = value_file_get(sim->values, entry.file_id,
					   &sim->held[sim->held_count++]);
		if (r == 0 && i > sim->flushed)
			r = lsm_apply(sim->lsm, &entry, 1);
	}
	if (r == 0)
		r = lsm_sweep(sim->lsm);
	if (r == 0)
		r = value_files_sweep(sim->values);
	return r;
}

static struct sim *sim_new(uint64_t seed)
{
	struct sim *sim = calloc(1, sizeof(*sim));

	assert_non_null(sim);
	sim->seed = seed;
	sim->value_max = VALUE_MAX;
	sim->random = seed * 0x9e3779b97f4a7c15u + 1;
	sim->disk = crash_vfs_new(seed);
	assert_non_null(sim->disk);
	assert_int_equal(vfs_mkdir(crash_vfs_base(sim->disk), DIR), 0);
	assert_int_equal(vfs_sync_dir(crash_vfs_base(sim->disk), "/"), 0);
	return sim;
}

static void sim_free(struct sim *sim)
{
	close_tree(sim);
	crash_vfs_free(sim->disk);
	free(sim);
}

static int write_value(struct sim *sim, struct written *w, uint64_t position)
{
	struct value_writer *writer;
	struct hash128 hash;
	uint8_t data[VALUE_MAX];
	uint64_t size;
	bool utf8;
	int r;

	r = value_writer_new(sim->values, &writer);
	if (r < 0)
		return r;
	fill(data, position, w->len);
	r = value_writer_append(writer, data, w->len);
	if (r < 0) {
		value_writer_abort(writer);
		return r;
	}
	r = value_writer_finish(writer, &sim->held[sim->held_count], &size, &hash, &utf8);
	if (r == 0)
		w->file_id = value_file_id(sim->held[sim->held_count++]);
	return r;
}

/* What @key had is replaced by the newest entry. */
static void note_dead(struct sim *sim, uint32_t key)
{
	const struct written *old = &sim->log[sim->newest[key]];

	if (old->kind == ENTRY_FILE)
		lsm_note_dead(sim->lsm, old->file_id, old->len, sim->position);
	if (lsm_has_dead(sim->lsm) && below(sim, 30) == 0)
		(void)lsm_reclaim(sim->lsm, below(sim, 2) * below(sim, 100000), below(sim, 2));
}

/* One write: its value file, the log, the tree. */
static int write_one(struct sim *sim)
{
	uint64_t position = sim->position + 1;
	struct written w = { .key = (uint32_t)below(sim, KEYS) };
	uint8_t data[VALUE_MAX];
	struct entry entry;
	char key[32];
	int r = 0;

	if (position > ENTRIES)
		return 0;
	w.len = (uint32_t)below(sim, below(sim, 8) ? 300 : sim->value_max);
	w.kind = below(sim, 5) == 0 ? ENTRY_TOMBSTONE : ENTRY_INLINE;
	if (w.kind == ENTRY_INLINE && below(sim, 20) == 0)
		w.kind = ENTRY_FILE;
	if (w.kind == ENTRY_FILE)
		r = write_value(sim, &w, position);
	if (r < 0)
		return r;
	sim->log[position] = w;
	entry = entry_of(sim, position, key, data);
	r = lsm_apply(sim->lsm, &entry, 1);
	if (r < 0)
		return r;
	sim->position = position;
	note_dead(sim, w.key);
	sim->newest[w.key] = position;
	return 0;
}

/* The newest version, or an error if @may_fail. */
static void check_key(struct sim *sim, uint32_t number, bool may_fail)
{
	uint64_t position = sim->newest[number];
	const struct written *w = &sim->log[position];
	uint8_t data[VALUE_MAX];
	struct lsm_entry found;
	char key[32];
	size_t len = key_of(number, key);
	int r = lsm_get(sim->lsm, key, len, 0, &found);

	if (may_fail && r < 0)
		return;
	if (position == 0 || (w->kind == ENTRY_TOMBSTONE && r == LSM_NOT_FOUND)) {
		assert_int_equal(r, LSM_NOT_FOUND);
		return;
	}
	assert_int_equal(r, 0);
	assert_int_equal(found.entry.position, position);
	assert_int_equal(found.entry.kind, w->kind);
	fill(data, position, w->len);
	if (w->kind == ENTRY_INLINE)
		assert_memory_equal(found.entry.value, data, w->len);
	if (w->kind == ENTRY_FILE) {
		ssize_t n = value_file_read_chunk(found.file, w->len, 0, sim->chunk, 0);

		if (!may_fail || n >= 0) {
			assert_int_equal(n, w->len);
			assert_memory_equal(sim->chunk, data, w->len);
		}
	}
	lsm_entry_release(&found);
}

static void check_all(struct sim *sim, bool may_fail)
{
	for (uint32_t i = 0; i < KEYS; i++)
		check_key(sim, i, may_fail);
}

static void problem(const char *sentence, void *state)
{
	(void)state;
	fail_msg("%s", sentence);
}

static void say(const struct sim *sim, const char *what, uint64_t n)
{
	if (getenv("HEXKV_VERBOSE"))
		fprintf(stderr, "seed %llu: %s %llu, position %llu\n",
			(unsigned long long)sim->seed, what, (unsigned long long)n,
			(unsigned long long)sim->position);
}

static void nothing_is_lost_in_a_thousand_power_cuts(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= 40; seed++) {
		struct sim *sim = sim_new(seed);
		uint64_t calls;

		assert_int_equal(open_tree(sim), 0);
		for (int cut = 0; cut < 25; cut++) {
			calls = 1 + below(sim, 120);
			say(sim, "cut after", calls);
			crash_vfs_cut_after(sim->disk, calls);
			for (int i = 0; i < 150 && !crash_vfs_is_cut(sim->disk); i++)
				write_one(sim);
			crash_vfs_cut(sim->disk);
			close_tree(sim);
			crash_vfs_restart(sim->disk);
			/* Sometimes the power goes again while it recovers. */
			if (below(sim, 3) == 0) {
				crash_vfs_cut_after(sim->disk, 1 + below(sim, 40));
				(void)open_tree(sim);
				crash_vfs_cut(sim->disk);
				close_tree(sim);
				crash_vfs_restart(sim->disk);
			}
			assert_int_equal(open_tree(sim), 0);
			check_all(sim, false);
		}
		assert_int_equal(lsm_check(sim->lsm, problem, NULL), 0);
		sim_free(sim);
	}
}

/* Fails @times calls from the @nth on. Whether any did. */
static bool survive_failure(uint64_t nth, uint64_t times, int error)
{
	struct sim *sim = sim_new(nth);
	struct lsm_stats stats;
	bool fired;

	assert_int_equal(open_tree(sim), 0);
	say(sim, "fail from call", nth);
	crash_vfs_fail(sim->disk, nth, times, error);
	for (int i = 0; i < 400; i++) {
		write_one(sim);
		if (i % 16 == 0)
			check_all(sim, true);
	}
	fired = crash_vfs_failures(sim->disk) > 0;
	crash_vfs_fail(sim->disk, 0, 0, 0);
	/* It works again by itself, and nothing is lost or hidden. */
	assert_int_equal(lsm_flush(sim->lsm), 0);
	for (int i = 0; i < 50; i++)
		assert_int_equal(write_one(sim), 0);
	assert_int_equal(lsm_flush(sim->lsm), 0);
	lsm_stats(sim->lsm, &stats);
	assert_int_equal(stats.background_error, 0);
	check_all(sim, false);
	assert_int_equal(lsm_check(sim->lsm, problem, NULL), 0);
	close_tree(sim);
	crash_vfs_cut(sim->disk);
	crash_vfs_restart(sim->disk);
	assert_int_equal(open_tree(sim), 0);
	check_all(sim, false);
	sim_free(sim);
	return fired;
}

static void every_call_may_fail_once(void **state)
{
	(void)state;
	/* Opening call by call, then with gaps that meet every kind of call. */
	for (uint64_t nth = 1; nth < 3000; nth += nth < 60 ? 1 : 5)
		if (!survive_failure(nth, 1, nth % 2 ? EIO : ENOSPC))
			break;
}

static void calls_may_fail_for_a_while(void **state)
{
	(void)state;
	for (uint64_t nth = 1; nth < 600; nth += 7)
		survive_failure(nth, 1 + nth % 90, ENOSPC);
}

static void a_full_disk_is_reported_and_recovers(void **state)
{
	struct sim *sim = sim_new(7);
	struct lsm_stats stats;
	int r = 0;

	(void)state;
	assert_int_equal(open_tree(sim), 0);
	crash_vfs_set_capacity(sim->disk, 100000);
	for (int i = 0; i < 3000 && r != -ENOSPC; i++)
		r = write_one(sim);
	assert_int_equal(r, -ENOSPC);
	check_all(sim, false);
	crash_vfs_set_capacity(sim->disk, 0);
	assert_int_equal(lsm_flush(sim->lsm), 0);
	lsm_stats(sim->lsm, &stats);
	assert_int_equal(stats.background_error, 0);
	check_all(sim, false);
	sim_free(sim);
}

struct names {
	char names[64][40];
	int count;
};

static int keep_name(const char *name, void *state)
{
	struct names *names = state;

	assert_true(names->count < 64);
	snprintf(names->names[names->count++], sizeof(names->names[0]), "%s", name);
	return 0;
}

/* Flips every bit of every file in @dir, one at a time. How often the tree opened all the same. */
static unsigned flip_all(struct sim *sim, const char *dir)
{
	struct names names = { 0 };
	unsigned opened = 0;
	char path[128];

	assert_int_equal(vfs_list(crash_vfs_base(sim->disk), dir, keep_name, &names), 0);
	for (int i = 0; i < names.count; i++) {
		snprintf(path, sizeof(path), "%s/%s", dir, names.names[i]);
		for (uint64_t bit = 0; crash_vfs_flip(sim->disk, path, bit / 8, bit % 8) == 0;
		     bit++) {
			struct value_files *values;
			int r = value_files_open(crash_vfs_base(sim->disk), DIR, &values);
			struct lsm_options options = { .vfs = crash_vfs_base(sim->disk),
						       .dir = DIR,
						       .memtable_bytes = 1 << 20,
						       .values = values };

			assert_int_equal(r, 0);
			sim->values = values;
			r = lsm_open(&options, &sim->lsm, &sim->flushed);
			/* An older state would be a wrong one. */
			assert_true(r < 0 || sim->flushed == sim->position);
			if (r == 0)
				check_all(sim, true);
			opened += r == 0;
			close_tree(sim);
			/* Opening began a new manifest: it is not part of the experiment. */
			if (crash_vfs_flip(sim->disk, path, bit / 8, bit % 8) < 0)
				break;
		}
	}
	return opened;
}

static void a_flipped_bit_is_an_error_or_harmless(void **state)
{
	struct sim *sim = sim_new(5);

	(void)state;
	/* The log is for people; thousands of lines about damage help nobody. */
	if (!getenv("HEXKV_VERBOSE"))
		assert_non_null(freopen("/dev/null", "w", stderr));
	sim->value_max = 300;
	assert_int_equal(open_tree(sim), 0);
	while (sim->position < 8 || sim->held_count == 0)
		assert_int_equal(write_one(sim), 0);
	assert_int_equal(lsm_flush(sim->lsm), 0);
	close_tree(sim);
	crash_vfs_cut(sim->disk);
	crash_vfs_restart(sim->disk);
	assert_true(flip_all(sim, DIR) > 500);
	assert_true(flip_all(sim, DIR "/value") > 500);
	assert_int_equal(open_tree(sim), 0);
	check_all(sim, false);
	sim_free(sim);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(nothing_is_lost_in_a_thousand_power_cuts),
		cmocka_unit_test(every_call_may_fail_once),
		cmocka_unit_test(calls_may_fail_for_a_while),
		cmocka_unit_test(a_full_disk_is_reported_and_recovers),
		cmocka_unit_test(a_flipped_bit_is_an_error_or_harmless),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
