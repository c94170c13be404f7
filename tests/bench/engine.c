/* SPDX-License-Identifier: MIT */
/*
 * Speed of the merge tree by itself, without log and network: fills it with random keys, then reads
 * present and missing ones and lists all. Prints one line a phase.
 */
#include "lib/bytes.h"
#include "lib/clock.h"
#include "lib/options.h"
#include "node/lsm.h"

#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

struct bench {
	struct lsm *lsm;
	const char *dir;
	unsigned records;
	unsigned value_bytes;
	unsigned group; /* entries an apply */
	unsigned threads; /* readers */
	uint64_t memtable_bytes;
	uint64_t cache_bytes;
};

/* A bijection, so that every number is another key: the finalizer of MurmurHash3. */
static uint64_t scramble(uint64_t x)
{
	x ^= x >> 33;
	x *= UINT64_C(0xff51afd7ed558ccd);
	x ^= x >> 33;
	x *= UINT64_C(0xc4ceb9fe1a85ec53);
	return x ^ x >> 33;
}

static void key_of(uint64_t number, uint8_t key[16])
{
	put_u64(key, scramble(number));
	put_u64(key + 8, scramble(number + 1));
}

struct start {
	uint64_t wall_ns, cpu_ns;
};

/* Of all threads: on a machine that others use too, it says more than the wall clock. */
static uint64_t cpu_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

static struct start now(void)
{
	return (struct start){ .wall_ns = clock_monotonic_ns(), .cpu_ns = cpu_ns() };
}

static void report(const char *phase, uint64_t count, struct start start)
{
	double seconds = (double)(clock_monotonic_ns() - start.wall_ns) / 1e9;
	double cpu = (double)(cpu_ns() - start.cpu_ns) / 1e3 / (double)count;

	printf("%-16s %10.0f ops/s  %8.2f s  %6.2f us of CPU each\n", phase,
	       (double)count / seconds, seconds, cpu);
	fflush(stdout);
}

static int fill(struct bench *b, uint8_t *value)
{
	struct entry entries[64];
	uint8_t keys[64][16];
	uint64_t worst = 0;

	for (unsigned i = 0; i < b->records; i += b->group) {
		uint64_t start = clock_monotonic_ns();
		int r;

		for (unsigned j = 0; j < b->group; j++) {
			key_of(i + j, keys[j]);
			entries[j] = (struct entry){
				.kind = ENTRY_INLINE,
				.key = keys[j],
				.key_len = 16,
				.position = i + j + 1,
				.version = { .epoch = 65537, .sequence = i + j + 1 },
				.content_type = CONTENT_TYPE_DEFAULT,
				.content_type_len = sizeof(CONTENT_TYPE_DEFAULT) - 1,
				.encoding = ENCODING_DEFAULT,
				.encoding_len = sizeof(ENCODING_DEFAULT) - 1,
				.size_bytes = b->value_bytes,
				.value = value,
			};
			memcpy(entries[j].request_id.bytes, keys[j], 16);
			memcpy(value, keys[j], b->value_bytes < 16 ? b->value_bytes : 16);
		}
		r = lsm_apply(b->lsm, entries, b->group);
		if (r < 0)
			return r;
		if (clock_monotonic_ns() - start > worst)
			worst = clock_monotonic_ns() - start;
	}
	printf("worst apply %.1f ms\n", (double)worst / 1e6);
	return 0;
}

struct reader {
	struct bench *bench;
	uint64_t seed;
	bool missing;
	uint64_t wrong;
};

static void *read_random(void *state)
{
	struct reader *reader = state;
	struct bench *b = reader->bench;

	for (unsigned i = 0; i < b->records / b->threads; i++) {
		uint64_t number = scramble(i + reader->seed) % b->records;
		struct lsm_entry found;
		uint8_t key[16];
		int r;

		key_of(reader->missing ? number + ((uint64_t)1 << 40) : number, key);
		r = lsm_get(b->lsm, key, sizeof(key), 0, &found);
		reader->wrong += r != (reader->missing ? LSM_NOT_FOUND : 0);
		if (r == 0)
			lsm_entry_release(&found);
	}
	return NULL;
}

static uint64_t read_all(struct bench *b, bool missing)
{
	struct reader readers[16];
	pthread_t threads[16];
	uint64_t wrong = 0;

	for (unsigned i = 0; i < b->threads; i++) {
		readers[i] = (struct reader){ .bench = b,
					      .seed = (uint64_t)(i + 1) << 32,
					      .missing = missing };
		if (pthread_create(&threads[i], NULL, read_random, &readers[i]) != 0)
			abort();
	}
	for (unsigned i = 0; i < b->threads; i++) {
		pthread_join(threads[i], NULL);
		wrong += readers[i].wrong;
	}
	return wrong;
}

static int count_name(const struct entry *entry, void *state)
{
	(void)entry;
	++*(uint64_t *)state;
	return 0;
}

static uint64_t list_all(struct bench *b)
{
	struct key last = { 0 };
	uint64_t names = 0;
	bool more = true;

	while (more && lsm_list(b->lsm, &last, 1000, count_name, &names, &more, &last) == 0)
		;
	return names;
}

static void print_stats(struct bench *b)
{
	struct lsm_stats stats;

	lsm_stats(b->lsm, &stats);
	printf("runs %" PRIu64 ", segment bytes %" PRIu64 ", flushes %" PRIu64 " (%" PRIu64
	       " bytes), compactions %" PRIu64 " (%" PRIu64 " bytes), filter %" PRIu64
	       ", index %" PRIu64 "\n",
	       stats.runs, stats.segment_bytes, stats.flushes, stats.flushed_bytes,
	       stats.compactions, stats.compacted_bytes, stats.filter_bytes, stats.index_bytes);
}

static int run(struct bench *b)
{
	uint8_t *value = calloc(1, b->value_bytes + 1);
	struct start start = now();
	uint64_t wrong, names;
	int r;

	r = value ? fill(b, value) : -ENOMEM;
	free(value);
	if (r < 0)
		return r;
	report("fill random", b->records, start);
	r = lsm_flush(b->lsm);
	if (r < 0)
		return r;
	report("fill and flush", b->records, start);
	print_stats(b);
	start = now();
	wrong = read_all(b, false);
	report("read random", b->records, start);
	start = now();
	wrong += read_all(b, true);
	report("read missing", b->records, start);
	start = now();
	names = list_all(b);
	report("list", names, start);
	print_stats(b);
	return wrong > 0 || names != b->records ? -EIO : 0;
}

int main(int argc, char **argv)
{
	struct bench b = { .records = 1000000,
			   .value_bytes = 100,
			   .group = 1,
			   .threads = 1,
			   .memtable_bytes = 1 << 20,
			   .cache_bytes = 64 << 20 };
	const struct option_spec specs[] = {
		{ "dir", 'd', OPTION_STRING, &b.dir, "DIR", "an empty directory to work in", 0, 0 },
		{ "records", 'n', OPTION_UNSIGNED, &b.records, "N", "records", 1, 0 },
		{ "value-bytes", 'v', OPTION_UNSIGNED, &b.value_bytes, "N", "size of a value", 0,
		  0 },
		{ "group", 'g', OPTION_UNSIGNED, &b.group, "N", "entries an apply", 1, 64 },
		{ "threads", 't', OPTION_UNSIGNED, &b.threads, "N", "readers", 1, 16 },
		{ "memtable-bytes", 0, OPTION_SIZE, &b.memtable_bytes, "SIZE", "memtable", 1, 0 },
		{ "cache-bytes", 0, OPTION_SIZE, &b.cache_bytes, "SIZE", "block cache", 0, 0 },
	};
	const struct options options = { .program = "bench-engine",
					 .summary = "measures the merge tree",
					 .specs = specs,
					 .spec_count = sizeof(specs) / sizeof(specs[0]) };
	struct lsm_options lsm_options = { .vfs = vfs_posix(), .threads = true };
	uint64_t flushed;
	int operand, status, r;

	if (options_parse(&options, argc, argv, &operand, &status))
		return status;
	if (!b.dir) {
		fprintf(stderr, "bench-engine: --dir is missing; name an empty directory\n");
		return 2;
	}
	b.records -= b.records % b.group;
	lsm_options.dir = b.dir;
	lsm_options.memtable_bytes = b.memtable_bytes;
	lsm_options.cache_bytes = b.cache_bytes;
	r = value_files_open(lsm_options.vfs, b.dir, &lsm_options.values);
	if (r == 0)
		r = lsm_open(&lsm_options, &b.lsm, &flushed);
	if (r == 0)
		r = run(&b);
	lsm_free(b.lsm);
	value_files_free(lsm_options.values);
	if (r < 0)
		fprintf(stderr, "bench-engine: %s\n", strerror(-r));
	return r < 0;
}
