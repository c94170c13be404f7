/* SPDX-License-Identifier: MIT */
#include "node/segment_index.h"

#include "lib/container_of.h"
#include "node/key_order.h"

#include <errno.h>
#include <stdlib.h>

/* One allocation holds all nodes, each followed by its separator. */
struct index_node {
	struct rbnode node;
	uint64_t offset;
	uint32_t len;
	uint8_t key_len;
	uint8_t key[];
};

static size_t node_size(uint8_t key_len)
{
	return (offsetof(struct index_node, key) + key_len + 7) & ~(size_t)7;
}

static const struct index_node *node_of(const struct rbnode *node)
{
	return (const struct index_node *)(const void *)((const char *)node -
							 offsetof(struct index_node, node));
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
		    next.offset > blocks_end || next.len > SEGMENT_BLOCK_BYTES_MAX ||
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
	node->offset = reference.offset;
	node->len = reference.len;
	node->key_len = reference.key_len;
	if (node->key_len > 0)
		memcpy(node->key, reference.key, node->key_len);
	build->at += node_size(node->key_len);
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

	while (node) {
		const struct index_node *block = node_of(node);
		bool right = key_order(block->key, block->key_len, key, key_len) <= 0;

		if (right)
			found = node;
		node = node->child[right];
	}
	/* Below the first separator: no block holds it, the first one comes closest. */
	return found ? found : rbtree_first(&index->tree);
}

struct segment_range segment_index_range(const struct rbnode *node)
{
	return (struct segment_range){ .offset = node_of(node)->offset, .len = node_of(node)->len };
}

const uint8_t *segment_index_key(const struct rbnode *node, size_t *ret_len)
{
	*ret_len = node_of(node)->key_len;
	return node_of(node)->key;
}
