/* SPDX-License-Identifier: MIT */
/*
 * One engine, one size of values: fills a new directory, and does to it what --phases names, in
 * order. Prints one line a phase:
 *
 *   PHASE ops=N seconds=S p50_us=.. p99_us=.. p999_us=.. max_us=.. [NAME=NUMBER ...]
 *
 * PHASE:SECONDS does so for that long, however many operations it takes; of a list ops are names
 * and the times those of pages. What writes waits for the engine's background work at its end,
 * outside the time: written is what it has given to write(2) until then, for each byte of keys and
 * values.
 */
#include "tests/bench/engine.h"

#include "lib/bytes.h"
#include "lib/clock.h"
#include "lib/options.h"
#include "tests/bench/histogram.h"
#include "tests/bench/names.h"
#include "tests/bench/resources.h"

#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define THREADS_MAX 16
#define PAGE        1000
#define RUNS_EVERY  512 /* puts */
#define LOADERS     8
/* So many at most in a phase that is bounded by time. */
#define OPERATIONS_MAX ((uint64_t)1 << 40)
#define VALUE_MAX      (64 * 1024)

struct bench {
	const struct bench_engine *engine;
	struct bench_config config;
	void *state;
	unsigned records, operations, seconds, value_bytes;
	unsigned phase_seconds; /* 0: it is bounded by the two above */
	uint64_t begun_with; /* resident bytes before it was opened */
	uint8_t *noise; /* VALUE_MAX */
	_Atomic bool stop; /* of what another thread does meanwhile */
};

enum work { FILL, OVERWRITE, SYNCED, READ, MISSING, REMOVE };

/* What one thread does. */
struct worker {
	struct bench *bench;
	enum work work;
	uint64_t first, count; /* of the numbers whose names are used */
	bool until_stopped;
	unsigned runs_most;
	int result;
	struct histogram times;
	uint8_t value[VALUE_MAX];
};

static void name_key(uint64_t number, uint8_t *key)
{
	put_u64(key, bench_scramble(number));
	put_u64(key + 8, bench_scramble(~number));
}

/* One of those that fill() has written. */
static uint64_t some_number(const struct bench *b, uint64_t i)
{
	return bench_scramble(i + ((uint64_t)1 << 40)) % b->records;
}

static int put(struct worker *worker, uint64_t number, bool sync)
{
	struct bench *b = worker->bench;
	uint8_t key[BENCH_KEY_BYTES];

	name_key(number, key);
	memcpy(worker->value, key, sizeof(key));
	return b->engine->put(b->state, key, worker->value, b->value_bytes, sync);
}

static int get(struct worker *worker, uint64_t number, int expected)
{
	struct bench *b = worker->bench;
	uint8_t key[BENCH_KEY_BYTES];
	int r;

	name_key(number, key);
	r = b->engine->get(b->state, key, b->value_bytes);
	return r == expected ? 0 : r < 0 ? r : -ENODATA;
}

static int work_once(struct worker *worker, uint64_t i)
{
	struct bench *b = worker->bench;
	uint8_t key[BENCH_KEY_BYTES];
	int r;

	switch (worker->work) {
	case FILL:
		return put(worker, i, false);
	case OVERWRITE:
		return put(worker, some_number(b, i), false);
	case SYNCED:
		return put(worker, i, true);
	case READ:
		return get(worker, some_number(b, i), 0);
	case MISSING:
		return get(worker, i + ((uint64_t)1 << 41), BENCH_NOT_FOUND);
	default:
		name_key(i, key);
		r = b->engine->remove(b->state, key);
		return r < 0 ? r : 0;
	}
}

/* When a phase that began at @begun is over. */
static uint64_t end_of(const struct bench *b, uint64_t begun)
{
	unsigned seconds = b->phase_seconds > 0 ? b->phase_seconds : b->seconds;

	return seconds > 0 ? begun + (uint64_t)seconds * 1000000000 : UINT64_MAX;
}

static uint64_t operations(const struct bench *b)
{
	return b->phase_seconds > 0 ? OPERATIONS_MAX : b->operations;
}

static void *run_worker(void *state)
{
	struct worker *worker = state;
	struct bench *b = worker->bench;
	uint64_t before = clock_monotonic_ns(), end = end_of(b, before);

	for (uint64_t i = 0; i < worker->count && worker->result == 0; i++) {
		uint64_t after;

		worker->result = work_once(worker, worker->first + i);
		after = clock_monotonic_ns();
		histogram_add(&worker->times, after - before);
		before = after;
		if (worker->until_stopped && atomic_load(&b->stop))
			break;
		/* A store is always filled to the end. */
		if (after > end && worker->work != FILL && !worker->until_stopped)
			break;
		if (worker->work == OVERWRITE && i % RUNS_EVERY == 0) {
			unsigned runs = b->engine->runs(b->state);

			worker->runs_most = runs > worker->runs_most ? runs : worker->runs_most;
			before = clock_monotonic_ns();
		}
	}
	return NULL;
}

/* ---- phases ---- */

static void report(const char *phase, uint64_t ops, const struct histogram *times, uint64_t ns)
{
	printf("%s ops=%" PRIu64 " seconds=%.6f p50_us=%.2f p99_us=%.2f p999_us=%.2f max_us=%.2f",
	       phase, ops, (double)ns / 1e9, (double)histogram_quantile(times, 0.5) / 1e3,
	       (double)histogram_quantile(times, 0.99) / 1e3,
	       (double)histogram_quantile(times, 0.999) / 1e3, (double)times->most / 1e3);
}

static struct worker *worker_new(struct bench *b, enum work work, uint64_t first, uint64_t count)
{
	struct worker *worker = calloc(1, sizeof(*worker));

	if (!worker)
		abort();
	worker->bench = b;
	worker->work = work;
	worker->first = first;
	worker->count = count;
	memcpy(worker->value, b->noise, VALUE_MAX);
	return worker;
}

static void start(struct worker *worker, pthread_t *ret_thread)
{
	if (pthread_create(ret_thread, NULL, run_worker, worker) != 0)
		abort();
}

struct done {
	uint64_t operations;
	unsigned runs;
};

/* @count operations by @threads threads, and how long they took. Frees nothing. */
static int run_threads(struct bench *b, const char *phase, enum work work, unsigned threads,
		       uint64_t first, uint64_t count, struct done *ret_done)
{
	struct worker *workers[THREADS_MAX];
	pthread_t ids[THREADS_MAX];
	uint64_t begun = clock_monotonic_ns(), ns;
	int r = 0;

	for (unsigned i = 0; i < threads; i++) {
		uint64_t share = count / threads, rest = i + 1 == threads ? count % threads : 0;

		workers[i] = worker_new(b, work, first + share * i, share + rest);
		start(workers[i], &ids[i]);
	}
	for (unsigned i = 0; i < threads; i++)
		pthread_join(ids[i], NULL);
	ns = clock_monotonic_ns() - begun;
	*ret_done = (struct done){ 0 };
	for (unsigned i = 0; i < threads; i++) {
		r = workers[i]->result < 0 ? workers[i]->result : r;
		if (workers[i]->runs_most > ret_done->runs)
			ret_done->runs = workers[i]->runs_most;
		if (i > 0)
			histogram_merge(&workers[0]->times, &workers[i]->times);
	}
	ret_done->operations = workers[0]->times.total;
	report(phase, ret_done->operations, &workers[0]->times, ns);
	for (unsigned i = 0; i < threads; i++)
		free(workers[i]);
	return r;
}

/* What a phase that writes leaves behind. */
static int run_writes(struct bench *b, const char *phase, enum work work, unsigned threads,
		      uint64_t first, uint64_t count)
{
	uint64_t before = resources_written(), user = b->value_bytes + BENCH_KEY_BYTES;
	struct done done;
	int r = run_threads(b, phase, work, threads, first, count, &done);

	resources_settle();
	if (work == REMOVE)
		user = BENCH_KEY_BYTES;
	printf(" written=%.3f size=%" PRIu64 " runs=%u\n",
	       (double)(resources_written() - before) / (double)(user * done.operations),
	       resources_disk(b->config.dir), done.runs);
	return r;
}

static int run_reads(struct bench *b, const char *phase, enum work work)
{
	struct done done;
	int r = run_threads(b, phase, work, 1, 0, operations(b), &done);

	printf(" rss_a_key=%.1f\n",
	       (double)(resources_memory() - b->begun_with) / (double)b->records);
	return r;
}

static int run_mixed(struct bench *b)
{
	struct worker *reader = worker_new(b, READ, 0, operations(b));
	struct worker *writer = worker_new(b, OVERWRITE, (uint64_t)1 << 42, UINT64_MAX);
	uint64_t begun = clock_monotonic_ns(), ns;
	pthread_t reads, writes;
	int r;

	atomic_store(&b->stop, false);
	writer->until_stopped = true;
	start(writer, &writes);
	start(reader, &reads);
	pthread_join(reads, NULL);
	ns = clock_monotonic_ns() - begun;
	atomic_store(&b->stop, true);
	pthread_join(writes, NULL);
	report("mixed-read", reader->times.total, &reader->times, ns);
	printf("\n");
	report("mixed-write", writer->times.total, &writer->times, ns);
	printf(" runs=%u\n", writer->runs_most);
	r = reader->result < 0 ? reader->result : writer->result;
	free(reader);
	free(writer);
	resources_settle();
	return r;
}

/* All names, or as many pages as there is time for. */
static int run_list(struct bench *b, const char *phase, uint64_t expected)
{
	struct histogram *times = calloc(1, sizeof(*times));
	uint64_t begun = clock_monotonic_ns(), end = end_of(b, begun), now = begun, names = 0;
	uint8_t key[BENCH_KEY_BYTES] = { 0 };
	bool more = true, all = true;
	int r = times ? 0 : -ENOMEM;

	while (r == 0 && more && now < end) {
		uint64_t before = now;
		size_t count = 0;

		r = b->engine->list(b->state, key, all, PAGE, &count, &more);
		now = clock_monotonic_ns();
		histogram_add(times, now - before);
		names += count;
		all = false;
	}
	if (r == 0 && !more && names != expected)
		r = -ENODATA;
	if (times) {
		/* Of what is gone: the listing itself. */
		report(phase, names > 0 ? names : 1, times, now - begun);
		printf(" pages=%" PRIu64 "\n", times->total);
	}
	free(times);
	return r;
}

static int reopen(struct bench *b, const char *phase, bool cold)
{
	uint64_t begun = clock_monotonic_ns(), closed, before;
	int r;

	b->engine->close(b->state);
	b->state = NULL;
	closed = clock_monotonic_ns();
	if (cold)
		resources_cool(b->config.dir);
	before = clock_monotonic_ns();
	r = b->engine->open(&b->config, &b->state);
	before = clock_monotonic_ns() - before;
	printf("%s ops=1 seconds=%.6f close_ms=%.1f open_ms=%.1f size=%" PRIu64 "\n", phase,
	       (double)before / 1e9, (double)(closed - begun) / 1e6, (double)before / 1e6,
	       resources_disk(b->config.dir));
	return r;
}

static int run_phase(struct bench *b, const char *phase)
{
	uint64_t fresh = (uint64_t)1 << 43; /* numbers that no other phase uses */

	if (strcmp(phase, "fill") == 0)
		return run_writes(b, phase, FILL, 1, 0, b->records);
	if (strcmp(phase, "load") == 0)
		return run_writes(b, phase, FILL, LOADERS, 0, b->records);
	if (strcmp(phase, "overwrite") == 0)
		return run_writes(b, phase, OVERWRITE, 1, 0, operations(b));
	if (strcmp(phase, "sync-1") == 0)
		return run_writes(b, phase, SYNCED, 1, fresh, operations(b));
	if (strcmp(phase, "sync-8") == 0)
		return run_writes(b, phase, SYNCED, 8, 2 * fresh, operations(b));
	if (strcmp(phase, "read") == 0)
		return run_reads(b, phase, READ);
	if (strcmp(phase, "missing") == 0)
		return run_reads(b, phase, MISSING);
	if (strcmp(phase, "mixed") == 0)
		return run_mixed(b);
	if (strcmp(phase, "list") == 0)
		return run_list(b, phase, b->records);
	if (strcmp(phase, "delete") == 0)
		return run_writes(b, phase, REMOVE, 1, 0, b->records);
	if (strcmp(phase, "list-deleted") == 0)
		return run_list(b, phase, 0);
	if (strcmp(phase, "reopen") == 0)
		return reopen(b, phase, false);
	if (strcmp(phase, "reopen-cold") == 0)
		return reopen(b, phase, true);
	fprintf(stderr, "bench-engine: there is no phase '%s'\n", phase);
	return -EINVAL;
}

/* PHASE or PHASE:SECONDS. */
static int run_for(struct bench *b, char *phase)
{
	char *colon = strchr(phase, ':');

	if (colon) {
		b->phase_seconds = (unsigned)strtoul(colon + 1, NULL, 10);
		*colon = '\0';
	}
	return run_phase(b, phase);
}

static int run_phases(struct bench *b, const char *phases)
{
	char *list = strdup(phases), *rest = list, *phase;
	int r = list ? 0 : -ENOMEM;

	while (r == 0 && (phase = strsep(&rest, ",")) != NULL) {
		b->phase_seconds = 0;
		r = run_for(b, phase);
		fflush(stdout);
		if (r < 0)
			fprintf(stderr, "bench-engine: %s: %s: %s\n", b->engine->name, phase,
				strerror(-r));
	}
	free(list);
	return r;
}

static const struct bench_engine *find_engine(const char *name)
{
	static const struct bench_engine *const engines[] = {
		&bench_hexkv,
#ifdef BENCH_PEERS
		&bench_leveldb,
		&bench_rocksdb,
#endif
	};

	for (size_t i = 0; i < sizeof(engines) / sizeof(engines[0]); i++)
		if (strcmp(engines[i]->name, name) == 0)
			return engines[i];
	return NULL;
}

static int run(struct bench *b, const char *phases)
{
	int r;

	b->noise = malloc(VALUE_MAX);
	if (!b->noise)
		return -ENOMEM;
	for (size_t i = 0; i < VALUE_MAX; i += 8)
		put_u64(b->noise + i, bench_scramble(i + 1));
	b->begun_with = resources_memory();
	r = b->engine->open(&b->config, &b->state);
	if (r == 0)
		r = run_phases(b, phases);
	if (b->state)
		b->engine->close(b->state);
	free(b->noise);
	return r;
}

int main(int argc, char **argv)
{
	const char *engine = "hexkv", *phases = "fill,overwrite,read,missing,mixed,list,delete";
	struct bench b = { .records = 1000000, .value_bytes = 100, .config.cache_bytes = 64 << 20 };
	const struct option_spec specs[] = {
		{ "engine", 'e', OPTION_STRING, &engine, "NAME",
		  "hexkv, leveldb or rocksdb (hexkv)", 0, 0 },
		{ "dir", 'd', OPTION_STRING, &b.config.dir, "DIR", "an empty directory", 0, 0 },
		{ "phases", 'p', OPTION_STRING, &phases, "LIST",
		  "of fill, load (by 8 threads), sync-1, sync-8, overwrite, read, missing, mixed, "
		  "list, delete, list-deleted, reopen, reopen-cold; NAME:SECONDS for a time",
		  0, 0 },
		{ "records", 'n', OPTION_UNSIGNED, &b.records, "N", "records (1000000)", 8, 0 },
		{ "operations", 'o', OPTION_UNSIGNED, &b.operations, "N",
		  "of a phase (as many as records)", 8, 0 },
		{ "seconds", 's', OPTION_UNSIGNED, &b.seconds, "N",
		  "that a phase lasts at most, except fill and load", 1, 3600 },
		{ "value-bytes", 'v', OPTION_UNSIGNED, &b.value_bytes, "N", "size of a value (100)",
		  BENCH_KEY_BYTES, VALUE_MAX },
		{ "buffer-bytes", 'b', OPTION_SIZE, &b.config.buffer_bytes, "SIZE",
		  "memtable or write buffer (the engine's default)", 1, 0 },
		{ "keep-deletions", 0, OPTION_FLAG, &b.config.keeps_deletions, NULL,
		  "hexkv: as if another node had not heard of them yet", 0, 0 },
		{ "cache-bytes", 'c', OPTION_SIZE, &b.config.cache_bytes, "SIZE",
		  "block cache (64M)", 0, 0 },
	};
	const struct options options = { .program = "bench-engine",
					 .summary = "measures a storage engine",
					 .specs = specs,
					 .spec_count = sizeof(specs) / sizeof(specs[0]) };
	int operand, status;

	if (options_parse(&options, argc, argv, &operand, &status))
		return status;
	b.engine = find_engine(engine);
	if (!b.engine || !b.config.dir) {
		fprintf(stderr, "bench-engine: %s\n",
			b.engine ? "--dir is missing; name an empty directory"
				 : "--engine names none that was built");
		return 2;
	}
	if (b.operations == 0)
		b.operations = b.records;
	return run(&b, phases) < 0;
}
