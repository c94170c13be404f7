/* SPDX-License-Identifier: MIT */
#include "node/segment_index.h"

#include "lib/container_of.h"
#include "node/key_order.h"

#include <errno.h>
#include <stdlib.h>

/* One allocation holds all nodes. A separator is seldom longer than its prefix; the rest of one
 * that is follows its node. */
struct index_node {
	struct rbnode node;
	uint64_t prefix; /* key_prefix() of the separator */
	uint64_t place; /* offset: 40 bits, length: 16, length of the separator: 8 */
	uint8_t rest[];
};

static size_t rest_len(size_t key_len)
{
	return key_len > sizeof(uint64_t) ? key_len - sizeof(uint64_t) : 0;
}

static size_t node_size(size_t key_len)
{
	return (sizeof(struct index_node) + rest_len(key_len) + 7) & ~(size_t)7;
}

static const struct index_node *node_of(const struct rbnode *node)
{
	return (const struct index_node *)(const void *)((const char *)node -
							 offsetof(struct index_node, node));
}

static size_t separator_len(const struct index_node *node)
{
	return (size_t)(node->place & 0xff);
}

/* Order of the separator against the key. */
static int order(const struct index_node *node, uint64_t prefix, const uint8_t *key, size_t key_len)
{
	size_t len = separator_len(node);

	if (node->prefix != prefix)
		return node->prefix < prefix ? -1 : 1;
	if (len <= sizeof(prefix) || key_len <= sizeof(prefix))
		return (len > key_len) - (len < key_len);
	return key_order(node->rest, rest_len(len), key + sizeof(prefix), rest_len(key_len));
}

/* One block as the section has it. */
struct reference {
	uint64_t offset;
	uint32_t len;
	uint8_t key_len;
	const uint8_t *key;
};

static bool read_reference(struct bytes_reader *reader, struct reference *reference)
{
	reference->offset = bytes_read_u64(reader);
	reference->len = bytes_read_u32(reader);
	reference->key_len = bytes_read_u8(reader);
	reference->key = bytes_read(reader, reference->key_len);
	return !reader->bad && reference->key_len <= KEY_BYTES_MAX;
}

/* Checks order and bounds, and adds up the memory. */
static int measure(struct bytes_reader reader, uint64_t count, uint64_t blocks_end,
		   size_t *ret_bytes)
{
	struct reference last = { .offset = FILE_HEADER_BYTES }, next;
	uint64_t from = FILE_HEADER_BYTES;
	size_t bytes = 0;

	for (uint64_t i = 0; i < count; i++) {
		if (!read_reference(&reader, &next) || next.offset < from ||
		    next.offset > blocks_end || next.offset > SEGMENT_OFFSET_MAX ||
		    next.len > SEGMENT_INDEXED_BYTES_MAX ||
		    (uint64_t)next.len + SEGMENT_TRAILER_BYTES > blocks_end - next.offset)
			return -EBADMSG;
		if (i > 0 && key_order(last.key, last.key_len, next.key, next.key_len) >= 0)
			return -EBADMSG;
		from = next.offset + next.len + SEGMENT_TRAILER_BYTES;
		bytes += node_size(next.key_len);
		last = next;
	}
	if (bytes_left(&reader) > 0)
		return -EBADMSG;
	*ret_bytes = bytes;
	return 0;
}

struct build {
	struct bytes_reader reader;
	char *at;
};

static struct rbnode *next_node(void *state)
{
	struct build *build = state;
	struct index_node *node = (struct index_node *)(void *)build->at;
	struct reference reference;

	/* measure() has seen it. */
	read_reference(&build->reader, &reference);
	node->prefix = key_prefix(reference.key, reference.key_len);
	node->place = reference.offset << 24 | (uint64_t)reference.len << 8 | reference.key_len;
	if (rest_len(reference.key_len) > 0)
		memcpy(node->rest, reference.key + sizeof(uint64_t), rest_len(reference.key_len));
	build->at += node_size(reference.key_len);
	return &node->node;
}

int segment_index_build(struct segment_index *index, const void *data, size_t len, uint64_t count,
			uint64_t blocks_end)
{
	struct build build = { .reader = bytes_reader(data, len) };
	int r;

	/* A reference takes 13 bytes or more. */
	if (count == 0 || count > len / 13)
		return -EBADMSG;
	r = measure(build.reader, count, blocks_end, &index->bytes);
	if (r < 0)
		return r;
	index->nodes = malloc(index->bytes);
	if (!index->nodes)
		return -ENOMEM;
	build.at = index->nodes;
	rbtree_build(&index->tree, (size_t)count, next_node, &build);
	return 0;
}

void segment_index_deinit(struct segment_index *index)
{
	free(index->nodes);
	*index = (struct segment_index){ 0 };
}

const struct rbnode *segment_index_find(const struct segment_index *index, const void *key,
					size_t key_len)
{
	const struct rbnode *node = index->tree.root, *found = NULL;
	uint64_t prefix = key_prefix(key, key_len);

	while (node) {
		bool right;

		/* Both, since which of them is the next is a toss of a coin. */
		__builtin_prefetch(node->child[0]);
		__builtin_prefetch(node->child[1]);
		right = order(node_of(node), prefix, key, key_len) <= 0;
		if (right)
			found = node;
		node = node->child[right];
	}
	/* Below the first separator: no block holds it, the first one comes closest. */
	return found ? found : rbtree_first(&index->tree);
}

struct segment_range segment_index_range(const struct rbnode *node)
{
	uint64_t place = node_of(node)->place;

	return (struct segment_range){ .offset = place >> 24, .len = place >> 8 & UINT16_MAX };
}
