/* SPDX-License-Identifier: MIT */
/*
 * Random operations on the merge tree, with thresholds of a few kilobytes, against an array of the
 * newest version of each key. Reopening loses what was not flushed: the model replays it, as the
 * store does from its log.
 *   test_lsm_model [SEEDS [FIRST_SEED]]
 */
#include "lib/bytes.h"
#include "lib/cleanup.h"
#include "lib/hash.h"
#include "node/lsm.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define KEYS      400
#define STEPS     3000
#define HISTORY   (STEPS * 4)
#define BYTES_MAX 9000

static uint64_t seeds = 3, first_seed = 1;

struct version_of {
	uint64_t position;
	uint32_t key;
	uint32_t seed; /* the value's bytes */
	uint32_t len;
	enum entry_kind kind;
	uint64_t file_id;
};

struct model {
	char dir[64];
	uint64_t random;
	struct lsm_options options;
	struct value_files *values;
	struct lsm *lsm;
	struct version_of history[HISTORY];
	size_t count;
	struct version_of newest[KEYS];
	/* As the log would. */
	struct value_file *held[HISTORY];
	size_t held_count;
	uint8_t chunk[VALUE_CHUNK_BYTES];
};

static uint64_t next_random(struct model *m)
{
	m->random ^= m->random << 13;
	m->random ^= m->random >> 7;
	m->random ^= m->random << 17;
	return m->random;
}

static uint64_t below(struct model *m, uint64_t bound)
{
	return next_random(m) % bound;
}

/* Keys of different lengths, many a prefix of another. */
static struct key key_of(uint32_t number)
{
	struct key key = { 0 };

	key.len = (uint8_t)snprintf((char *)key.bytes, sizeof(key.bytes), "%x%s%u", number % 7,
				    number % 3 ? "" : "shared-by-many-of-them", number);
	if (number % 11 == 0)
		key.bytes[key.len++] = '\0';
	return key;
}

static void fill(uint8_t *data, const struct version_of *version)
{
	for (uint32_t i = 0; i < version->len; i++)
		data[i] = (uint8_t)(version->seed * 31 + i * 7 + i / 256);
}

static void open_tree(struct model *m)
{
	uint64_t flushed;
	int r;

	assert_int_equal(value_files_open(m->options.vfs, m->dir, &m->values), 0);
	m->options.values = m->values;
	r = lsm_open(&m->options, &m->lsm, &flushed);
	assert_int_equal(r, 0);
	for (size_t i = 0; i < m->count; i++) {
		struct version_of *v = &m->history[i];
		struct key key = key_of(v->key);
		uint8_t data[BYTES_MAX];
		struct entry entry = {
			.kind = v->kind,
			.key = key.bytes,
			.key_len = key.len,
			.position = v->position,
			.content_type = "text/plain",
			.content_type_len = 10,
			.encoding = "utf-8",
			.encoding_len = 5,
			.size_bytes = v->len,
			.value = data,
			.file_id = v->file_id,
		};

		fill(data, v);
		if (v->kind == ENTRY_FILE)
			assert_int_equal(
				value_file_get(m->values, v->file_id, &m->held[m->held_count++]),
				0);
		if (v->position > flushed)
			assert_int_equal(lsm_apply(m->lsm, &entry, 1), 0);
	}
	assert_int_equal(lsm_sweep(m->lsm), 0);
	assert_int_equal(value_files_sweep(m->values), 0);
}

static void close_tree(struct model *m)
{
	value_files_hold(m->values);
	while (m->held_count > 0)
		value_file_unref(m->held[--m->held_count]);
	m->lsm = lsm_free(m->lsm);
	m->values = value_files_free(m->values);
}

static void write_file(struct model *m, struct version_of *v, const uint8_t *data)
{
	struct value_writer *writer;
	struct hash128 hash;
	uint64_t size;
	bool utf8;

	assert_int_equal(value_writer_new(m->values, &writer), 0);
	assert_int_equal(value_writer_append(writer, data, v->len), 0);
	assert_int_equal(value_writer_finish(writer, &m->held[m->held_count], &size, &hash, &utf8),
			 0);
	assert_int_equal(size, v->len);
	v->file_id = value_file_id(m->held[m->held_count++]);
}

static void apply(struct model *m)
{
	size_t group = 1 + below(m, 4);
	struct entry entries[4];
	struct key keys[4];
	uint8_t data[4][BYTES_MAX];

	for (size_t i = 0; i < group; i++) {
		struct version_of v = { .position = m->count + 1, .key = (uint32_t)below(m, KEYS) };

		v.seed = (uint32_t)next_random(m);
		v.len = (uint32_t)below(m, below(m, 8) ? 120 : BYTES_MAX);
		v.kind = below(m, 4) == 0 ? ENTRY_TOMBSTONE : ENTRY_INLINE;
		if (v.kind == ENTRY_INLINE && below(m, 40) == 0)
			v.kind = ENTRY_FILE;
		keys[i] = key_of(v.key);
		fill(data[i], &v);
		if (v.kind == ENTRY_FILE)
			write_file(m, &v, data[i]);
		entries[i] = (struct entry){ .kind = v.kind,
					     .key = keys[i].bytes,
					     .key_len = keys[i].len,
					     .position = v.position,
					     .content_type = "text/plain",
					     .content_type_len = 10,
					     .encoding = "utf-8",
					     .encoding_len = 5,
					     .size_bytes = v.len,
					     .value = data[i],
					     .file_id = v.file_id };
		m->history[m->count++] = v;
		m->newest[v.key] = v;
	}
	assert_int_equal(lsm_apply(m->lsm, entries, group), 0);
}

static void get(struct model *m)
{
	uint32_t number = (uint32_t)below(m, KEYS + 20);
	struct key key = key_of(number);
	const struct version_of *v = number < KEYS ? &m->newest[number] : NULL;
	struct lsm_entry found;
	uint8_t data[BYTES_MAX];
	int r = lsm_get(m->lsm, key.bytes, key.len, 0, &found);

	if (r == LSM_NOT_FOUND) {
		/* Compaction may have dropped the tombstone. */
		assert_true(!v || v->position == 0 || v->kind == ENTRY_TOMBSTONE);
		return;
	}
	assert_int_equal(r, 0);
	assert_non_null(v);
	assert_int_equal(found.entry.position, v->position);
	assert_int_equal(found.entry.kind, v->kind);
	if (v->kind != ENTRY_TOMBSTONE) {
		fill(data, v);
		assert_int_equal(found.entry.size_bytes, v->len);
	}
	if (v->kind == ENTRY_INLINE)
		assert_memory_equal(found.entry.value, data, v->len);
	if (v->kind == ENTRY_FILE) {
		assert_int_equal(value_file_read_chunk(found.file, v->len, 0, m->chunk, 0), v->len);
		assert_memory_equal(m->chunk, data, v->len);
	}
	lsm_entry_release(&found);
}

struct listing {
	struct model *m;
	bool seen[KEYS];
	struct key last;
	size_t names;
};

static int see(const struct entry *entry, void *state)
{
	struct listing *listing = state;
	struct key key;

	assert_int_equal(key_from_bytes(entry->key, entry->key_len, &key), 0);
	assert_true(listing->last.len == 0 || key_compare(&listing->last, &key) < 0);
	listing->last = key;
	assert_null(entry->value);
	for (uint32_t i = 0; i < KEYS; i++) {
		struct key other = key_of(i);

		if (key_compare(&key, &other) != 0)
			continue;
		assert_int_equal(entry->position, listing->m->newest[i].position);
		assert_int_equal(entry->size_bytes, listing->m->newest[i].len);
		listing->seen[i] = true;
	}
	listing->names++;
	return 0;
}

static void list(struct model *m)
{
	struct listing listing = { .m = m };
	size_t limit = 1 + below(m, 2 * KEYS);
	struct key after = { 0 };
	bool more = true;

	while (more) {
		struct key last;
		size_t before = listing.names;

		assert_int_equal(lsm_list(m->lsm, &after, limit, see, &listing, &more, &last), 0);
		assert_true(listing.names - before <= limit);
		after = last;
	}
	for (uint32_t i = 0; i < KEYS; i++) {
		bool live = m->newest[i].position > 0 && m->newest[i].kind != ENTRY_TOMBSTONE;

		assert_int_equal(listing.seen[i], live);
	}
}

static void problem(const char *sentence, void *state)
{
	(void)state;
	fail_msg("%s", sentence);
}

static void step(struct model *m)
{
	uint64_t what = below(m, 1000);

	if (what < 500)
		apply(m);
	else if (what < 985)
		get(m);
	else if (what < 990)
		list(m);
	else if (what < 993)
		assert_int_equal(lsm_flush(m->lsm), 0);
	else if (what < 995)
		assert_int_equal(lsm_check(m->lsm, problem, NULL), 0);
	else if (what < 996)
		assert_int_equal(lsm_reclaim(m->lsm, 1 + below(m, 400000), true), 0);
	else if (what < 998) {
		close_tree(m);
		open_tree(m);
	}
}

static int no_sync(struct vfs_file *file)
{
	(void)file;
	return 0;
}

static int no_sync_dir(struct vfs *vfs, const char *path)
{
	(void)vfs;
	(void)path;
	return 0;
}

/* Nothing here outlives a power cut, so a busy disk need not be waited for. */
static struct vfs *vfs_without_sync(void)
{
	static struct vfs_ops ops;
	static struct vfs vfs = { .ops = &ops };

	ops = *vfs_posix()->ops;
	ops.sync = no_sync;
	ops.sync_dir = no_sync_dir;
	return &vfs;
}

static void run(uint64_t seed, bool threads)
{
	_cleanup_(freep) struct model *m = calloc(1, sizeof(*m));
	char command[128];

	assert_non_null(m);
	m->random = seed * 0x9e3779b97f4a7c15u + 1;
	snprintf(m->dir, sizeof(m->dir), "/tmp/test_lsm_model.XXXXXX");
	assert_non_null(mkdtemp(m->dir));
	m->options = (struct lsm_options){
		.vfs = vfs_without_sync(),
		.dir = m->dir,
		.memtable_bytes = 4096 << below(m, 4),
		.cache_bytes = below(m, 3) ? 65536 << below(m, 5) : 0,
		.threads = threads,
	};
	printf("seed %llu threads %d memtable %llu cache %llu\n", (unsigned long long)seed, threads,
	       (unsigned long long)m->options.memtable_bytes,
	       (unsigned long long)m->options.cache_bytes);
	open_tree(m);
	for (int i = 0; i < STEPS; i++)
		step(m);
	list(m);
	close_tree(m);
	snprintf(command, sizeof(command), "rm -rf %s", m->dir);
	assert_int_equal(system(command), 0);
}

static void a_tree_without_threads_agrees_with_an_array(void **state)
{
	(void)state;
	for (uint64_t seed = first_seed; seed < first_seed + seeds; seed++)
		run(seed, false);
}

static void a_tree_with_threads_agrees_with_an_array(void **state)
{
	(void)state;
	for (uint64_t seed = first_seed; seed < first_seed + seeds; seed++)
		run(seed + 1000, true);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_tree_without_threads_agrees_with_an_array),
		cmocka_unit_test(a_tree_with_threads_agrees_with_an_array),
	};

	if (argc > 1)
		seeds = strtoull(argv[1], NULL, 10);
	if (argc > 2)
		first_seed = strtoull(argv[2], NULL, 10);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
