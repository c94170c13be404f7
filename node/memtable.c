/* SPDX-License-Identifier: MIT */
/*
 * Entries are copied into an arena by the one applier without the lock; the lock is held only to
 * link them. A replaced version leaves the tree but stays in the arena, so that readers need no
 * reference of their own to it. Its links are stale then: an iterator that began before the seal
 * finds its next entry by key.
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

	/* The applier's. */
	struct arena arena;
	_Atomic size_t bytes;
	_Atomic uint64_t count;
	uint64_t position;
	struct buf scratch;
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
	buf_deinit(&memtable->scratch);
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
	struct entry peek;
	struct memtable_entry *copy;
	int r;

	buf_clear(&memtable->scratch);
	r = entry_encode(entry, &memtable->scratch);
	if (r < 0)
		return r;
	copy = arena_alloc(&memtable->arena, sizeof(*copy) + memtable->scratch.len);
	if (!copy)
		return -ENOMEM;
	memcpy(copy->encoded, memtable->scratch.data, memtable->scratch.len);
	copy->len = (uint32_t)memtable->scratch.len;
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
	for (; group; group = group->next)
		fresh += link_entry(memtable, group);
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

/* Whether the lock was taken. */
static bool read_lock(struct memtable *memtable)
{
	if (atomic_load_explicit(&memtable->sealed, memory_order_acquire))
		return false;
	pthread_rwlock_rdlock(&memtable->lock);
	return true;
}

static void read_unlock(struct memtable *memtable, bool locked)
{
	if (locked)
		pthread_rwlock_unlock(&memtable->lock);
}

const struct memtable_entry *memtable_get(struct memtable *memtable, const void *key,
					  size_t key_len)
{
	uint64_t prefix = key_prefix(key, key_len);
	bool locked = read_lock(memtable);
	struct rbnode *node = memtable->tree.root;

	while (node) {
		int order = compare(prefix, key, key_len, entry_of(node));

		if (order == 0)
			break;
		node = node->child[order > 0];
	}
	read_unlock(memtable, locked);
	return node ? entry_of(node) : NULL;
}

static const struct memtable_entry *seek(struct memtable *memtable, const void *after,
					 size_t after_len)
{
	uint64_t prefix = key_prefix(after, after_len);
	const struct memtable_entry *found = NULL;
	bool locked = read_lock(memtable);
	struct rbnode *node = memtable->tree.root;

	while (node) {
		bool larger = compare(prefix, after, after_len, entry_of(node)) < 0;

		if (larger)
			found = entry_of(node);
		node = node->child[!larger];
	}
	read_unlock(memtable, locked);
	return found;
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
	it->at = seek(memtable, after, after_len);
}

void memtable_next(struct memtable_iterator *it)
{
	struct rbnode *next;

	if (!it->sealed) {
		it->at = seek(it->memtable, key_of(it->at), it->at->key_len);
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
