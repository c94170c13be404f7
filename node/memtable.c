/* SPDX-License-Identifier: MIT */
/*
 * Entries are copied into an arena by the one applier without the lock; the lock is held only to
 * link them. Readers do without it, too: they count on it that nothing changes while they descend,
 * and look again if something did; only one that is out of luck too often takes the lock. A
 * replaced version leaves the tree but stays in the arena, so that readers need no reference of
 * their own to it. Its links are stale then: an iterator that began before the seal finds its next
 * entry by key.
 */
#include "node/memtable.h"

#include "lib/cleanup.h"
#include "lib/container_of.h"
#include "node/arena.h"
#include "node/key_order.h"
#include "node/rbtree.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>

/* A red-black tree of all that memory can hold is not as deep. */
#define DEPTH_MAX 128
/* To descend without the lock: a small group is linked within a few. */
#define TRIES 32

struct memtable_entry {
	struct rbnode node;
	uint64_t prefix;
	struct value_file *file; /* one of the memtable's references */
	struct memtable_entry *next; /* of the same group, or of the list of those with a file */
	uint32_t len;
	uint16_t key_at; /* in encoded */
	uint8_t key_len;
	uint8_t encoded[];
};

struct memtable {
	struct pin pin;
	atomic_uint references;
	struct value_files *values;
	atomic_bool sealed;
	pthread_rwlock_t lock;
	struct rbtree tree; /* changed under the write lock */
	atomic_uint changes; /* of the tree; odd: one is under way */

	/* The applier's. */
	struct arena arena;
	_Atomic size_t bytes;
	_Atomic uint64_t count;
	uint64_t position;
	struct memtable_entry *with_file;
};

static void release_pin(struct pin *pin)
{
	memtable_unref(container_of(pin, struct memtable, pin));
}

int memtable_new(struct value_files *values, struct memtable **ret_memtable)
{
	struct memtable *memtable = calloc(1, sizeof(*memtable));
	pthread_rwlockattr_t attr;
	int r;

	if (!memtable)
		return -ENOMEM;
	memtable->pin.release = release_pin;
	atomic_init(&memtable->references, 1);
	memtable->values = values;
	pthread_rwlockattr_init(&attr);
	/* The applier must not starve under a stream of readers. */
	pthread_rwlockattr_setkind_np(&attr, PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP);
	r = pthread_rwlock_init(&memtable->lock, &attr);
	pthread_rwlockattr_destroy(&attr);
	if (r != 0) {
		free(memtable);
		return -r;
	}
	*ret_memtable = memtable;
	return 0;
}

struct memtable *memtable_ref(struct memtable *memtable)
{
	atomic_fetch_add_explicit(&memtable->references, 1, memory_order_relaxed);
	return memtable;
}

struct memtable *memtable_unref(struct memtable *memtable)
{
	if (!memtable || atomic_fetch_sub(&memtable->references, 1) != 1)
		return NULL;
	for (struct memtable_entry *entry = memtable->with_file; entry; entry = entry->next)
		value_file_unref(entry->file);
	arena_deinit(&memtable->arena);
	pthread_rwlock_destroy(&memtable->lock);
	free(memtable);
	return NULL;
}

struct pin *memtable_pin(struct memtable *memtable)
{
	return &memtable_ref(memtable)->pin;
}

static struct memtable_entry *entry_of(struct rbnode *node)
{
	return container_of(node, struct memtable_entry, node);
}

static const uint8_t *key_of(const struct memtable_entry *entry)
{
	return entry->encoded + entry->key_at;
}

/* Order of the key (@prefix, @key) against that of @entry. */
static int compare(uint64_t prefix, const void *key, size_t key_len,
		   const struct memtable_entry *entry)
{
	if (prefix != entry->prefix)
		return prefix < entry->prefix ? -1 : 1;
	return key_order(key, key_len, key_of(entry), entry->key_len);
}

/* Copies @entry into the arena. It takes a reference to its value file, which the memtable drops
 * when it is freed, also if the group is not inserted in the end. */
static int prepare(struct memtable *memtable, const struct entry *entry,
		   struct memtable_entry **ret_copy)
{
	size_t len = entry_encoded_size(entry);
	struct memtable_entry *copy = NULL;
	struct buf encoded = { 0 };
	struct entry peek;
	int r;

	if (len <= UINT32_MAX)
		copy = arena_alloc(&memtable->arena, sizeof(*copy) + len);
	if (!copy)
		return -ENOMEM;
	/* Where it stays: it has the room, so it does not move. */
	encoded.data = copy->encoded;
	encoded.cap = len;
	r = entry_encode(entry, &encoded);
	if (r < 0)
		return r;
	copy->len = (uint32_t)len;
	if (!entry_peek(copy->encoded, copy->len, &peek))
		return -EINVAL;
	copy->key_at = (uint16_t)(peek.key - copy->encoded);
	copy->key_len = peek.key_len;
	copy->prefix = key_prefix(peek.key, peek.key_len);
	copy->next = NULL;
	copy->file = NULL;
	*ret_copy = copy;
	return entry->kind == ENTRY_FILE
		       ? value_file_get(memtable->values, entry->file_id, &copy->file)
		       : 0;
}

/* True if the key is new. */
static bool link_entry(struct memtable *memtable, struct memtable_entry *entry)
{
	struct rbnode **link = &memtable->tree.root, *parent = NULL;
	enum rbtree_side side = RBTREE_LEFT;

	while (*link) {
		int order = compare(entry->prefix, key_of(entry), entry->key_len, entry_of(*link));

		if (order == 0) {
			rbtree_replace(&memtable->tree, *link, &entry->node);
			return false;
		}
		parent = *link;
		side = order < 0 ? RBTREE_LEFT : RBTREE_RIGHT;
		link = &parent->child[side];
	}
	rbtree_insert(&memtable->tree, parent, side, &entry->node);
	return true;
}

static void link_group(struct memtable *memtable, struct memtable_entry *group)
{
	uint64_t fresh = 0;

	pthread_rwlock_wrlock(&memtable->lock);
	atomic_fetch_add(&memtable->changes, 1);
	for (; group; group = group->next)
		fresh += link_entry(memtable, group);
	atomic_fetch_add(&memtable->changes, 1);
	pthread_rwlock_unlock(&memtable->lock);
	atomic_store_explicit(&memtable->count, memtable->count + fresh, memory_order_relaxed);
}

/* Moves those with a value file from @group to the list that frees their references. */
static void keep_files(struct memtable *memtable, struct memtable_entry *group)
{
	while (group) {
		struct memtable_entry *next = group->next;

		if (group->file) {
			group->next = memtable->with_file;
			memtable->with_file = group;
		}
		group = next;
	}
}

int memtable_insert(struct memtable *memtable, const struct entry *entries, size_t count)
{
	struct memtable_entry *first = NULL, **last = &first;
	size_t before = memtable->arena.bytes - memtable->arena.left;
	int r = 0;

	assert(!atomic_load_explicit(&memtable->sealed, memory_order_relaxed));
	for (size_t i = 0; i < count && r == 0; i++) {
		struct memtable_entry *copy;

		r = prepare(memtable, &entries[i], &copy);
		if (r < 0)
			break;
		*last = copy;
		last = &copy->next;
	}
	if (r == 0) {
		link_group(memtable, first);
		if (count > 0)
			memtable->position = entries[count - 1].position;
	}
	keep_files(memtable, first);
	atomic_store_explicit(&memtable->bytes,
			      memtable->bytes + memtable->arena.bytes - memtable->arena.left -
				      before,
			      memory_order_relaxed);
	return r;
}

void memtable_seal(struct memtable *memtable)
{
	atomic_store_explicit(&memtable->sealed, true, memory_order_release);
}

size_t memtable_bytes(const struct memtable *memtable)
{
	return atomic_load_explicit(&memtable->bytes, memory_order_relaxed);
}

uint64_t memtable_count(const struct memtable *memtable)
{
	return atomic_load_explicit(&memtable->count, memory_order_relaxed);
}

uint64_t memtable_position(const struct memtable *memtable)
{
	return memtable->position;
}

struct look {
	uint64_t prefix;
	const void *key;
	size_t key_len;
	bool after; /* the first entry > key; else that of the key itself */
};

/* False: the tree changed so much meanwhile that this went round in circles. */
static bool descend(struct memtable *memtable, const struct look *look,
		    const struct memtable_entry **ret_found)
{
	struct rbnode *node = rbtree_root(&memtable->tree);

	*ret_found = NULL;
	for (unsigned depth = 0; node && depth < DEPTH_MAX; depth++) {
		struct memtable_entry *entry = entry_of(node);
		int order = compare(look->prefix, look->key, look->key_len, entry);

		if (order == 0 && !look->after) {
			*ret_found = entry;
			return true;
		}
		if (order < 0 && look->after)
			*ret_found = entry;
		node = rbtree_child(node, order > 0 || (order == 0 && look->after));
	}
	return !node;
}

/*
 * Whether nothing changed while this descended: then what it found is what the tree held at that
 * moment. Why that is so on any machine:
 *   - Every link is stored with release order behind the count that made it odd, and loaded with
 *     acquire order before the count is loaded again: whoever has seen a link of a change sees its
 *     count, too, so the counts differ.
 *   - The even count that was read first was stored behind all links of the changes before it, and
 *     was loaded with acquire order: none of them is missed.
 *   - What is read of a node behind a link (prefix, key, bytes, file) was written before the node
 *     was linked and never changes; parents, colours and next, which do, are the applier's. No node
 *     is freed before the memtable, so a link that is stale by now leads to a node all the same.
 *   - The count can't come round: a memtable has no room for 2^31 groups.
 */
static bool try_descend(struct memtable *memtable, const struct look *look,
			const struct memtable_entry **ret_found)
{
	unsigned before = atomic_load(&memtable->changes);

	return before % 2 == 0 && descend(memtable, look, ret_found) &&
	       atomic_load(&memtable->changes) == before;
}

static const struct memtable_entry *find(struct memtable *memtable, const void *key, size_t key_len,
					 bool after)
{
	struct look look = { key_prefix(key, key_len), key, key_len, after };
	const struct memtable_entry *found = NULL;

	if (atomic_load_explicit(&memtable->sealed, memory_order_acquire)) {
		descend(memtable, &look, &found);
		return found;
	}
	for (unsigned i = 0; i < TRIES; i++)
		if (try_descend(memtable, &look, &found))
			return found;
	pthread_rwlock_rdlock(&memtable->lock);
	descend(memtable, &look, &found);
	pthread_rwlock_unlock(&memtable->lock);
	return found;
}

const struct memtable_entry *memtable_get(struct memtable *memtable, const void *key,
					  size_t key_len)
{
	return find(memtable, key, key_len, false);
}

void memtable_decode(const struct memtable_entry *entry, struct entry *ret_entry)
{
	struct bytes_reader reader = bytes_reader(entry->encoded, entry->len);
	int r = entry_decode(&reader, ret_entry);

	/* It was encoded by this process. */
	assert(r == 0);
	(void)r;
}

struct value_file *memtable_file(const struct memtable_entry *entry)
{
	return entry->file;
}

void memtable_iterate(struct memtable_iterator *it, struct memtable *memtable, const void *after,
		      size_t after_len)
{
	it->memtable = memtable;
	it->sealed = atomic_load_explicit(&memtable->sealed, memory_order_acquire);
	it->at = find(memtable, after, after_len, true);
}

void memtable_next(struct memtable_iterator *it)
{
	struct rbnode *next;

	if (!it->sealed) {
		it->at = find(it->memtable, key_of(it->at), it->at->key_len, true);
		return;
	}
	next = rbtree_next(&it->at->node);
	it->at = next ? entry_of(next) : NULL;
}

const uint8_t *memtable_encoded(const struct memtable_entry *entry, size_t *ret_len)
{
	*ret_len = entry->len;
	return entry->encoded;
}
