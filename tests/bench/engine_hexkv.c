/* SPDX-License-Identifier: MIT */
#include "tests/bench/engine.h"

#include "lib/outcome.h"
#include "node/store.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct hexkv {
	struct store *store;
	_Atomic uint64_t requests;
};

static void hexkv_close(void *state)
{
	struct hexkv *hexkv = state;

	store_close(hexkv->store);
	free(hexkv);
}

/* As hexkv-node has it when nothing is said. */
static int hexkv_open(const struct bench_config *config, void **ret_state)
{
	struct store_options options = {
		.vfs = vfs_posix(),
		.dir = config->dir,
		.cluster = "bench",
		.node = "a",
		.memtable_bytes = config->buffer_bytes > 0 ? config->buffer_bytes : 1 << 20,
		.cache_bytes = config->cache_bytes,
		.inline_bytes = 64 << 10,
		.log_retain_bytes = 64 << 20,
		.log_retain_s = 600,
		.keeps_deletions = config->keeps_deletions,
		.threads = true,
	};
	struct hexkv *hexkv = calloc(1, sizeof(*hexkv));
	char *why = NULL;
	int r;

	if (!hexkv)
		return -ENOMEM;
	r = store_open(&options, &hexkv->store, &why);
	if (r < 0)
		fprintf(stderr, "hexkv: %s\n", why ? why : strerror(-r));
	free(why);
	if (r == 0)
		r = store_lead_next(hexkv->store, 1);
	if (r < 0) {
		hexkv_close(hexkv);
		return r;
	}
	*ret_state = hexkv;
	return 0;
}

/* Every request of the node has an id. */
static int commit(struct hexkv *hexkv, struct store_write *write, const uint8_t *key)
{
	uint64_t number = atomic_fetch_add_explicit(&hexkv->requests, 1, memory_order_relaxed) + 1;
	uint64_t hash = hash64(&number, sizeof(number), 0);

	memcpy(write->request.request_id.bytes, &number, sizeof(number));
	memcpy(write->request.request_id.bytes + 8, &hash, sizeof(hash));
	write->key.len = BENCH_KEY_BYTES;
	memcpy(write->key.bytes, key, BENCH_KEY_BYTES);
	store_commit(hexkv->store, write);
	if (outcome_is_success(write->outcome))
		return 0;
	if (write->outcome == OUTCOME_NOT_FOUND)
		return BENCH_NOT_FOUND;
	fprintf(stderr, "hexkv: a write was refused: %d\n", (int)write->outcome);
	return -EIO;
}

static int hexkv_put(void *state, const uint8_t *key, const void *value, size_t len, bool sync)
{
	struct store_write write;

	memset(&write, 0, sizeof(write));
	write.kind = WRITE_PUT;
	write.value = value;
	write.value_len = len;
	write.request.durability = sync ? DURABILITY_DISK : DURABILITY_MEMORY;
	return commit(state, &write, key);
}

static int hexkv_remove(void *state, const uint8_t *key)
{
	struct store_write write;

	memset(&write, 0, sizeof(write));
	write.kind = WRITE_DELETE;
	write.request.durability = DURABILITY_MEMORY;
	return commit(state, &write, key);
}

static int hexkv_get(void *state, const uint8_t *key, size_t len)
{
	struct hexkv *hexkv = state;
	struct key name = { .len = BENCH_KEY_BYTES };
	struct store_record record;
	const uint8_t *value;
	int r;

	memcpy(name.bytes, key, BENCH_KEY_BYTES);
	r = store_get(hexkv->store, &name, 0, &record);
	if (r != 0)
		return r;
	value = store_record_inline(&record);
	if (record.meta.size_bytes != len || !value || memcmp(value, key, BENCH_KEY_BYTES) != 0)
		r = -EBADMSG;
	store_record_release(&record);
	return r;
}

static int count_name(const struct entry *entry, void *state)
{
	(void)entry;
	++*(size_t *)state;
	return 0;
}

static int hexkv_list(void *state, uint8_t *key, bool all, size_t limit, size_t *ret_count,
		      bool *ret_more)
{
	struct hexkv *hexkv = state;
	struct key after = { .len = all ? 0 : BENCH_KEY_BYTES }, last = after;
	int r;

	memcpy(after.bytes, key, after.len);
	*ret_count = 0;
	r = store_list(hexkv->store, &after, limit, count_name, ret_count, ret_more, &last);
	memcpy(key, last.bytes, BENCH_KEY_BYTES);
	return r;
}

static unsigned hexkv_runs(void *state)
{
	struct hexkv *hexkv = state;
	struct store_stats stats;

	store_stats(hexkv->store, &stats);
	return (unsigned)stats.lsm.runs;
}

const struct bench_engine bench_hexkv = {
	.name = "hexkv",
	.open = hexkv_open,
	.close = hexkv_close,
	.put = hexkv_put,
	.remove = hexkv_remove,
	.get = hexkv_get,
	.list = hexkv_list,
	.runs = hexkv_runs,
};
