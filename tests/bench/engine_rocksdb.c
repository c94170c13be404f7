/* SPDX-License-Identifier: MIT */
#include "tests/bench/engine.h"

#include <errno.h>
#include <rocksdb/c.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BITS_A_KEY 10

struct peer {
	rocksdb_t *db;
	rocksdb_options_t *options;
	rocksdb_block_based_table_options_t *tables;
	rocksdb_cache_t *cache;
	rocksdb_writeoptions_t *writes, *synced;
	rocksdb_readoptions_t *reads;
};

static int said(char *error)
{
	if (!error)
		return 0;
	fprintf(stderr, "rocksdb: %s\n", error);
	rocksdb_free(error);
	return -EIO;
}

static void peer_close(void *state)
{
	struct peer *peer = state;

	if (peer->db)
		rocksdb_close(peer->db);
	rocksdb_options_destroy(peer->options);
	rocksdb_block_based_options_destroy(peer->tables);
	rocksdb_cache_destroy(peer->cache);
	rocksdb_writeoptions_destroy(peer->writes);
	rocksdb_writeoptions_destroy(peer->synced);
	rocksdb_readoptions_destroy(peer->reads);
	free(peer);
}

static int peer_open(const struct bench_config *config, void **ret_state)
{
	struct peer *peer = calloc(1, sizeof(*peer));
	char *error = NULL;

	if (!peer)
		return -ENOMEM;
	peer->options = rocksdb_options_create();
	peer->tables = rocksdb_block_based_options_create();
	peer->cache = rocksdb_cache_create_lru((size_t)config->cache_bytes);
	peer->writes = rocksdb_writeoptions_create();
	peer->synced = rocksdb_writeoptions_create();
	peer->reads = rocksdb_readoptions_create();
	rocksdb_writeoptions_set_sync(peer->synced, 1);
	rocksdb_options_set_create_if_missing(peer->options, 1);
	rocksdb_options_set_compression(peer->options, rocksdb_no_compression);
	/* The tables' options own the filter. */
	rocksdb_block_based_options_set_filter_policy(
		peer->tables, rocksdb_filterpolicy_create_bloom_full(BITS_A_KEY));
	rocksdb_block_based_options_set_block_cache(peer->tables, peer->cache);
	rocksdb_options_set_block_based_table_factory(peer->options, peer->tables);
	if (config->buffer_bytes > 0)
		rocksdb_options_set_write_buffer_size(peer->options, (size_t)config->buffer_bytes);
	peer->db = rocksdb_open(peer->options, config->dir, &error);
	if (error) {
		peer_close(peer);
		return said(error);
	}
	*ret_state = peer;
	return 0;
}

static int peer_put(void *state, const uint8_t *key, const void *value, size_t len, bool sync)
{
	struct peer *peer = state;
	char *error = NULL;

	rocksdb_put(peer->db, sync ? peer->synced : peer->writes, (const char *)key,
		    BENCH_KEY_BYTES, value, len, &error);
	return said(error);
}

static int peer_remove(void *state, const uint8_t *key)
{
	struct peer *peer = state;
	char *error = NULL;

	rocksdb_delete(peer->db, peer->writes, (const char *)key, BENCH_KEY_BYTES, &error);
	return said(error);
}

/* Pinned: without the copy. */
static int peer_get(void *state, const uint8_t *key, size_t len)
{
	struct peer *peer = state;
	rocksdb_pinnableslice_t *slice;
	char *error = NULL;
	const char *value;
	size_t got;
	int r;

	slice = rocksdb_get_pinned(peer->db, peer->reads, (const char *)key, BENCH_KEY_BYTES,
				   &error);
	if (error)
		return said(error);
	if (!slice)
		return BENCH_NOT_FOUND;
	value = rocksdb_pinnableslice_value(slice, &got);
	r = got == len && memcmp(value, key, BENCH_KEY_BYTES) == 0 ? 0 : -EBADMSG;
	rocksdb_pinnableslice_destroy(slice);
	return r;
}

static int peer_list(void *state, uint8_t *key, bool all, size_t limit, size_t *ret_count,
		     bool *ret_more)
{
	struct peer *peer = state;
	rocksdb_iterator_t *it = rocksdb_create_iterator(peer->db, peer->reads);
	char *error = NULL;
	size_t len;

	*ret_count = 0;
	if (all)
		rocksdb_iter_seek_to_first(it);
	else
		rocksdb_iter_seek(it, (const char *)key, BENCH_KEY_BYTES);
	if (!all && rocksdb_iter_valid(it) &&
	    memcmp(rocksdb_iter_key(it, &len), key, BENCH_KEY_BYTES) == 0)
		rocksdb_iter_next(it);
	for (; rocksdb_iter_valid(it) && *ret_count < limit; rocksdb_iter_next(it)) {
		memcpy(key, rocksdb_iter_key(it, &len), BENCH_KEY_BYTES);
		++*ret_count;
	}
	*ret_more = rocksdb_iter_valid(it);
	rocksdb_iter_get_error(it, &error);
	rocksdb_iter_destroy(it);
	return said(error);
}

static unsigned peer_runs(void *state)
{
	struct peer *peer = state;
	char *text = rocksdb_property_value(peer->db, "rocksdb.num-files-at-level0");
	unsigned runs = text ? (unsigned)strtoul(text, NULL, 10) : 0;

	rocksdb_free(text);
	return runs;
}

const struct bench_engine bench_rocksdb = {
	.name = "rocksdb",
	.open = peer_open,
	.close = peer_close,
	.put = peer_put,
	.remove = peer_remove,
	.get = peer_get,
	.list = peer_list,
	.runs = peer_runs,
};
