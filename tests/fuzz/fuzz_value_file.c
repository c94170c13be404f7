/* SPDX-License-Identifier: MIT */
/* The input as value file 1, read as values of several sizes. Checksums as in fuzz_segment.c. */
#include "node/value_file.h"
#include "tests/fuzz/memory_vfs.h"

#include <assert.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	const uint64_t sizes[] = {
		0, 1, len, VALUE_CHUNK_BYTES, 3 * (uint64_t)VALUE_CHUNK_BYTES + 7, UINT64_MAX
	};
	static uint8_t chunk[VALUE_CHUNK_BYTES];
	struct memory_vfs vfs;
	struct value_files *files;
	struct value_file *file;

	memory_vfs_init(&vfs, data, len);
	if (value_files_open(&vfs.base, "", &files) < 0)
		return 0;
	if (value_file_get(files, 1, &file) == 0) {
		for (int i = 0; i < 6; i++)
			for (uint64_t index = 0; index < 5; index++) {
				ssize_t n = value_file_read_chunk(file, sizes[i], index, chunk, 0);

				assert(n < 0 || (uint64_t)n <= sizes[i]);
			}
		value_file_unref(file);
	}
	value_files_free(files);
	return 0;
}
