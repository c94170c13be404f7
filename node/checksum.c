/* SPDX-License-Identifier: MIT */
#include "node/checksum.h"

#include "lib/bytes.h"
#include "lib/hash.h"
#include "lib/log.h"

#include <errno.h>

enum {
	AT_VERSION = 8,
	AT_FEATURES = 12,
	AT_FILE_ID = 16,
	AT_CHECKSUM = 56, /* of all before it; what lies between is zero */
};

uint64_t checksum(uint64_t file_id, uint64_t place, const void *data, size_t len)
{
	uint8_t name[16];

#ifdef HEXKV_FUZZ_CHECKSUM
	/* So that a fuzzer gets past the door; no program is built like this. */
	return 0;
#endif
	put_u64(name, file_id);
	put_u64(name + 8, place);
	return hash64(data, len, hash64(name, sizeof(name), 0));
}

void file_header_encode(const struct file_kind *kind, uint64_t file_id,
			uint8_t ret_header[FILE_HEADER_BYTES])
{
	memset(ret_header, 0, FILE_HEADER_BYTES);
	memcpy(ret_header, kind->magic, 8);
	put_u32(ret_header + AT_VERSION, kind->version);
	put_u32(ret_header + AT_FEATURES, 0);
	put_u64(ret_header + AT_FILE_ID, file_id);
	put_u64(ret_header + AT_CHECKSUM, checksum(file_id, 0, ret_header, AT_CHECKSUM));
}

static int damaged(const struct file_kind *kind, const char *path, const char *why)
{
	log_error("damaged file", "kind=%s file=%s offset=0 why=\"%s\"", kind->name, path, why);
	return -EBADMSG;
}

int file_header_check(const struct file_kind *kind, uint64_t file_id, const uint8_t *header,
		      size_t len, const char *path)
{
	uint32_t version, features;

	if (len < FILE_HEADER_BYTES)
		return damaged(kind, path, "it is shorter than its header");
	if (memcmp(header, kind->magic, 8) != 0)
		return damaged(kind, path, "its header has another magic number");
	if (get_u64(header + AT_CHECKSUM) != checksum(file_id, 0, header, AT_CHECKSUM))
		return damaged(kind, path, "its header fails its checksum");
	version = get_u32(header + AT_VERSION);
	features = get_u32(header + AT_FEATURES) & ~kind->features;
	if (version > kind->version || features != 0) {
		log_error("file of a newer program",
			  "kind=%s file=%s version=%u unknown_features=%#x "
			  "why=\"it needs a newer hexkv; start that one\"",
			  kind->name, path, version, features);
		return -ENOTSUP;
	}
	return get_u64(header + AT_FILE_ID) == file_id
		       ? 0
		       : damaged(kind, path, "its header names another file");
}
