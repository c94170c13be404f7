/* SPDX-License-Identifier: MIT */
/*
 * What an engine does, for measuring several alike: hexkv's store and the peers it is compared
 * with, each through its C API. Keys have 16 bytes; a value begins with its key.
 *
 * Threads: all calls but open and close from any thread. Errors: negative errno; what a peer says
 * is printed and becomes -EIO.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define BENCH_KEY_BYTES 16

struct bench_config {
	const char *dir; /* exists */
	uint64_t buffer_bytes; /* memtable; 0: the engine's default */
	uint64_t cache_bytes; /* blocks */
	bool keeps_deletions; /* hexkv's */
};

enum { BENCH_NOT_FOUND = 1 };

struct bench_engine {
	const char *name;
	int (*open)(const struct bench_config *config, void **ret_state);
	void (*close)(void *state);
	/* Returns once it is in the log, or with @sync on stable storage. */
	int (*put)(void *state, const uint8_t *key, const void *value, size_t len, bool sync);
	int (*remove)(void *state, const uint8_t *key);
	/* 0 if it is there, is whole and begins with its key; or BENCH_NOT_FOUND. */
	int (*get)(void *state, const uint8_t *key, size_t len);
	/* The next names behind @key, which becomes the last one seen; @all: from the start. */
	int (*list)(void *state, uint8_t *key, bool all, size_t limit, size_t *ret_count,
		    bool *ret_more);
	/* Sorted runs, or files of the first level; 0: it does not say. */
	unsigned (*runs)(void *state);
};

extern const struct bench_engine bench_hexkv;
#ifdef BENCH_PEERS
extern const struct bench_engine bench_leveldb;
extern const struct bench_engine bench_rocksdb;
#endif
