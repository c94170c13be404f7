/* SPDX-License-Identifier: MIT */
/*
 * Opens the input as segment 1, walks it, looks up what it finds and checks it. Checksums would
 * keep the fuzzer at the door, so it takes the checksum of its own bytes for right: built with
 * HEXKV_FUZZ_CHECKSUM, node/checksum.c yields 0 for all.
 */
#include "lib/hash.h"
#include "node/segment.h"
#include "tests/fuzz/memory_vfs.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static void ignore(const char *sentence, void *state)
{
	(void)sentence;
	(void)state;
}

static void look_up(struct segment *segment, const struct entry *key)
{
	struct block *block;
	struct entry found;

	if (segment_get(segment, key->key, key->key_len, hash64(key->key, key->key_len, 0), 0,
			&found, &block) == 0)
		block_unref(block);
}

static void walk(struct segment *segment)
{
	struct segment_iterator it;
	int r = segment_iterate(&it, segment, true, NULL, 0);

	while (r == 0 && !segment_iterator_ended(&it)) {
		struct entry entry;
		const uint8_t *data;
		size_t len;

		if (segment_iterator_peek(&it, &entry) == 0)
			look_up(segment, &entry);
		(void)segment_iterator_head(&it, &entry);
		(void)segment_iterator_encoded(&it, &data, &len);
		r = segment_next(&it);
	}
	segment_iterator_deinit(&it);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct memory_vfs vfs;
	struct segment_context context = { .vfs = &vfs.base, .dir = "" };
	struct segment *segment;

	memory_vfs_init(&vfs, data, len);
	if (value_files_open(&vfs.base, "", &context.values) < 0)
		return 0;
	if (block_cache_new(1 << 16, &context.cache) == 0 &&
	    segment_open(&context, 1, &segment) == 0) {
		walk(segment);
		(void)segment_check(segment, ignore, NULL);
		segment_unref(segment);
	}
	block_cache_free(context.cache);
	value_files_free(context.values);
	return 0;
}
