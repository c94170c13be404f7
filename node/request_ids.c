/* SPDX-License-Identifier: MIT */
/* A ring in order of arrival, and a hash table of chains over its slots. */
#include "node/request_ids.h"

#include "lib/bytes.h"
#include "lib/mutex.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define NONE UINT32_MAX

struct slot {
	struct request_id id;
	int64_t time_ns;
	uint32_t next; /* in the chain of its bucket */
	struct request_answer answer;
};

struct request_ids {
	struct mutex lock; /* held where the one thread that changes the rest does so, and where
			      another looks */
	struct slot *slots; /* ring of cap */
	uint32_t *buckets; /* 2 * cap */
	uint32_t cap, first, count;
};

struct request_ids *request_ids_new(void)
{
	struct request_ids *ids = calloc(1, sizeof(*ids));

	if (ids)
		mutex_init(&ids->lock);
	return ids;
}

struct request_ids *request_ids_free(struct request_ids *ids)
{
	if (!ids)
		return NULL;
	mutex_deinit(&ids->lock);
	free(ids->slots);
	free(ids->buckets);
	free(ids);
	return NULL;
}

static uint32_t *bucket_of(struct request_ids *ids, const struct request_id *id)
{
	/* Clients choose ids: hashed, so that a poor choice makes no long chains. */
	return &ids->buckets[hash64(id->bytes, sizeof(id->bytes), 0) & (2 * ids->cap - 1)];
}

static void unlink_slot(struct request_ids *ids, uint32_t index)
{
	uint32_t *at = bucket_of(ids, &ids->slots[index].id);

	while (*at != NONE && *at != index)
		at = &ids->slots[*at].next;
	if (*at == index)
		*at = ids->slots[index].next;
}

/* The next one to go is long out of the processor's caches: it arrives while other things are
 * done. */
static void prefetch_oldest(struct request_ids *ids)
{
	const struct slot *next = &ids->slots[(ids->first + 1) & (ids->cap - 1)];

	__builtin_prefetch(next);
	if (ids->count > 0)
		__builtin_prefetch(bucket_of(ids, &ids->slots[ids->first].id));
}

static void drop_oldest(struct request_ids *ids)
{
	unlink_slot(ids, ids->first);
	ids->first = (ids->first + 1) & (ids->cap - 1);
	ids->count--;
	prefetch_oldest(ids);
}

static void expire(struct request_ids *ids, int64_t now_ns)
{
	while (ids->count > 0 && now_ns - ids->slots[ids->first].time_ns > REQUEST_IDS_AGE_NS)
		drop_oldest(ids);
}

static void insert(struct request_ids *ids, const struct slot *slot)
{
	uint32_t index = (ids->first + ids->count) & (ids->cap - 1);
	uint32_t *bucket = bucket_of(ids, &slot->id);

	ids->slots[index] = *slot;
	ids->slots[index].next = *bucket;
	*bucket = index;
	ids->count++;
}

static int grow(struct request_ids *ids)
{
	struct request_ids bigger = { .cap = ids->cap ? ids->cap * 2 : 1024 };

	bigger.slots = calloc(bigger.cap, sizeof(*bigger.slots));
	bigger.buckets = malloc(2 * sizeof(*bigger.buckets) * bigger.cap);
	if (!bigger.slots || !bigger.buckets) {
		free(bigger.slots);
		free(bigger.buckets);
		return -ENOMEM;
	}
	memset(bigger.buckets, 0xff, 2 * sizeof(*bigger.buckets) * bigger.cap);
	for (uint32_t i = 0; i < ids->count; i++)
		insert(&bigger, &ids->slots[(ids->first + i) & (ids->cap - 1)]);
	free(ids->slots);
	free(ids->buckets);
	ids->slots = bigger.slots;
	ids->buckets = bigger.buckets;
	ids->cap = bigger.cap;
	ids->first = 0;
	return 0;
}

static struct slot *find(struct request_ids *ids, const struct request_id *id)
{
	if (ids->count == 0)
		return NULL;
	for (uint32_t i = *bucket_of(ids, id); i != NONE; i = ids->slots[i].next)
		if (memcmp(&ids->slots[i].id, id, sizeof(*id)) == 0)
			return &ids->slots[i];
	return NULL;
}

const struct request_answer *request_ids_find(struct request_ids *ids, const struct request_id *id,
					      uint64_t key_hash, int64_t now_ns)
{
	struct slot *slot;

	mutex_lock(&ids->lock);
	expire(ids, now_ns);
	slot = find(ids, id);
	mutex_unlock(&ids->lock);
	return slot && slot->answer.key_hash == key_hash ? &slot->answer : NULL;
}

bool request_ids_contains(struct request_ids *ids, const struct request_id *id, uint64_t key_hash)
{
	struct slot *slot;
	bool found;

	mutex_lock(&ids->lock);
	slot = find(ids, id);
	found = slot && slot->answer.key_hash == key_hash;
	mutex_unlock(&ids->lock);
	return found;
}

static int add(struct request_ids *ids, const struct slot *slot)
{
	struct slot *old;
	int r;

	expire(ids, slot->time_ns);
	old = find(ids, &slot->id);
	if (old) {
		old->answer = slot->answer;
		return 0;
	}
	if (ids->count == REQUEST_IDS_MAX)
		drop_oldest(ids);
	if (ids->count == ids->cap) {
		r = grow(ids);
		if (r < 0)
			return r;
	}
	insert(ids, slot);
	return 0;
}

int request_ids_add(struct request_ids *ids, const struct request_id *id,
		    const struct request_answer *answer, int64_t now_ns)
{
	struct slot slot = { .id = *id, .time_ns = now_ns, .answer = *answer };
	int r;

	mutex_lock(&ids->lock);
	r = add(ids, &slot);
	mutex_unlock(&ids->lock);
	return r;
}

int request_ids_reserve(struct request_ids *ids, size_t count)
{
	int r = 0;

	mutex_lock(&ids->lock);
	/* Full, it drops the oldest. */
	while (r == 0 && ids->cap < REQUEST_IDS_MAX && ids->cap - ids->count < count)
		r = grow(ids);
	mutex_unlock(&ids->lock);
	return r;
}

void request_ids_add_entries(struct request_ids *ids, const struct entry *entries, size_t count,
			     int64_t now_ns)
{
	for (size_t i = 0; i < count;) {
		const struct entry *entry = &entries[i];
		size_t of_write = request_entries(entry, count - i);
		struct request_answer answer = request_answer_of(entry, of_write);

		if (request_id_is_set(&entry->request_id)) {
			int r = request_ids_add(ids, &entry->request_id, &answer, now_ns);

			assert(r == 0);
			(void)r;
		}
		i += of_write;
	}
}

/* In place: what is kept moves to the front of the ring. */
void request_ids_sweep(struct request_ids *ids, bool (*keep)(void *state, struct version version),
		       void *state)
{
	uint32_t count;

	mutex_lock(&ids->lock);
	count = ids->count;
	ids->count = 0;
	if (ids->cap > 0)
		memset(ids->buckets, 0xff, 2 * sizeof(*ids->buckets) * ids->cap);
	for (uint32_t i = 0; i < count; i++) {
		struct slot slot = ids->slots[(ids->first + i) & (ids->cap - 1)];

		if (keep(state, slot.answer.version))
			insert(ids, &slot);
	}
	mutex_unlock(&ids->lock);
}

int request_ids_each(struct request_ids *ids,
		     int (*found)(const struct request_id *id, int64_t time_ns,
				  const struct request_answer *answer, void *state),
		     void *state)
{
	int r = 0;

	mutex_lock(&ids->lock);
	for (uint32_t i = 0; i < ids->count && r == 0; i++) {
		const struct slot *slot = &ids->slots[(ids->first + i) & (ids->cap - 1)];

		r = found(&slot->id, slot->time_ns, &slot->answer, state);
	}
	mutex_unlock(&ids->lock);
	return r;
}

size_t request_ids_count(const struct request_ids *ids)
{
	return ids->count;
}

uint64_t request_key_hash(const void *key, size_t len)
{
	return hash64(key, len, 1);
}

size_t request_entries(const struct entry *entries, size_t count)
{
	bool is_move =
		count > 1 && entries[0].kind != ENTRY_TOMBSTONE &&
		entries[1].kind == ENTRY_TOMBSTONE && request_id_is_set(&entries[0].request_id) &&
		memcmp(&entries[0].request_id, &entries[1].request_id, sizeof(struct request_id)) ==
			0;

	return is_move ? 2 : 1;
}

struct request_answer request_answer_of(const struct entry *entries, size_t count)
{
	const struct entry *named = &entries[count - 1];

	return (struct request_answer){
		.key_hash = request_key_hash(named->key, named->key_len),
		.replaced = entries[0].replaced,
		.tombstone = entries[0].kind == ENTRY_TOMBSTONE,
		.utf8 = entries[0].utf8,
		.version = entries[0].version,
		.mtime_ns = entries[0].mtime_ns,
		.size_bytes = entries[0].size_bytes,
		.hash = entries[0].hash,
	};
}
