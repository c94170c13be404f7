/* SPDX-License-Identifier: MIT */
#include "tests/bench/engine.h"

#include <errno.h>
#include <leveldb/c.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BITS_A_KEY 10

struct peer {
	leveldb_t *db;
	leveldb_options_t *options;
	leveldb_cache_t *cache;
	leveldb_filterpolicy_t *filter;
	leveldb_writeoptions_t *writes, *synced;
	leveldb_readoptions_t *reads;
};

static int said(char *error)
{
	if (!error)
		return 0;
	fprintf(stderr, "leveldb: %s\n", error);
	leveldb_free(error);
	return -EIO;
}

static void peer_close(void *state)
{
	struct peer *peer = state;

	if (peer->db)
		leveldb_close(peer->db);
	leveldb_options_destroy(peer->options);
	leveldb_cache_destroy(peer->cache);
	leveldb_filterpolicy_destroy(peer->filter);
	leveldb_writeoptions_destroy(peer->writes);
	leveldb_writeoptions_destroy(peer->synced);
	leveldb_readoptions_destroy(peer->reads);
	free(peer);
}

static int peer_open(const struct bench_config *config, void **ret_state)
{
	struct peer *peer = calloc(1, sizeof(*peer));
	char *error = NULL;

	if (!peer)
		return -ENOMEM;
	peer->options = leveldb_options_create();
	peer->cache = leveldb_cache_create_lru((size_t)config->cache_bytes);
	peer->filter = leveldb_filterpolicy_create_bloom(BITS_A_KEY);
	peer->writes = leveldb_writeoptions_create();
	peer->synced = leveldb_writeoptions_create();
	peer->reads = leveldb_readoptions_create();
	leveldb_writeoptions_set_sync(peer->synced, 1);
	leveldb_options_set_create_if_missing(peer->options, 1);
	leveldb_options_set_compression(peer->options, leveldb_no_compression);
	leveldb_options_set_cache(peer->options, peer->cache);
	leveldb_options_set_filter_policy(peer->options, peer->filter);
	if (config->buffer_bytes > 0)
		leveldb_options_set_write_buffer_size(peer->options, (size_t)config->buffer_bytes);
	peer->db = leveldb_open(peer->options, config->dir, &error);
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

	leveldb_put(peer->db, sync ? peer->synced : peer->writes, (const char *)key,
		    BENCH_KEY_BYTES, value, len, &error);
	return said(error);
}

static int peer_remove(void *state, const uint8_t *key)
{
	struct peer *peer = state;
	char *error = NULL;

	leveldb_delete(peer->db, peer->writes, (const char *)key, BENCH_KEY_BYTES, &error);
	return said(error);
}

static int peer_get(void *state, const uint8_t *key, size_t len)
{
	struct peer *peer = state;
	char *error = NULL, *value;
	size_t got;
	int r;

	value = leveldb_get(peer->db, peer->reads, (const char *)key, BENCH_KEY_BYTES, &got,
			    &error);
	if (error)
		return said(error);
	if (!value)
		return BENCH_NOT_FOUND;
	r = got == len && memcmp(value, key, BENCH_KEY_BYTES) == 0 ? 0 : -EBADMSG;
	leveldb_free(value);
	return r;
}

static int peer_list(void *state, uint8_t *key, bool all, size_t limit, size_t *ret_count,
		     bool *ret_more)
{
	struct peer *peer = state;
	leveldb_iterator_t *it = leveldb_create_iterator(peer->db, peer->reads);
	char *error = NULL;
	size_t len;

	*ret_count = 0;
	if (all)
		leveldb_iter_seek_to_first(it);
	else
		leveldb_iter_seek(it, (const char *)key, BENCH_KEY_BYTES);
	if (!all && leveldb_iter_valid(it) &&
	    memcmp(leveldb_iter_key(it, &len), key, BENCH_KEY_BYTES) == 0)
		leveldb_iter_next(it);
	for (; leveldb_iter_valid(it) && *ret_count < limit; leveldb_iter_next(it)) {
		memcpy(key, leveldb_iter_key(it, &len), BENCH_KEY_BYTES);
		++*ret_count;
	}
	*ret_more = leveldb_iter_valid(it);
	leveldb_iter_get_error(it, &error);
	leveldb_iter_destroy(it);
	return said(error);
}

static unsigned peer_runs(void *state)
{
	struct peer *peer = state;
	char *text = leveldb_property_value(peer->db, "leveldb.num-files-at-level0");
	unsigned runs = text ? (unsigned)strtoul(text, NULL, 10) : 0;

	leveldb_free(text);
	return runs;
}

const struct bench_engine bench_leveldb = {
	.name = "leveldb",
	.open = peer_open,
	.close = peer_close,
	.put = peer_put,
	.remove = peer_remove,
	.get = peer_get,
	.list = peer_list,
	.runs = peer_runs,
};
