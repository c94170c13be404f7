/* SPDX-License-Identifier: MIT */
/* The input as a diverged log, read to its end or its damage. Checksums as in fuzz_segment.c. */
#include "node/diverged.h"
#include "tests/fuzz/memory_vfs.h"

#include <assert.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	static uint8_t chunk[VALUE_CHUNK_BYTES];
	struct diverged_reader *reader;
	struct diverged_about about;
	struct memory_vfs vfs;
	struct entry entry;
	bool read_value = len % 2;

	memory_vfs_init(&vfs, data, len);
	if (diverged_reader_open(&vfs.base, "file", &about, &reader) < 0)
		return 0;
	while (diverged_reader_next(reader, &entry) > 0) {
		ssize_t n = 1;

		while (read_value && n > 0) {
			n = diverged_reader_value(reader, chunk);
			assert(n <= VALUE_CHUNK_BYTES);
		}
		read_value = !read_value;
	}
	diverged_reader_close(reader);
	return 0;
}
