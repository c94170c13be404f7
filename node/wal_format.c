/* SPDX-License-Identifier: MIT */
#include "node/wal_format.h"

#include "lib/bytes.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static const uint8_t file_magic[8] = { 'H', 'E', 'X', 'K', 'V', 'W', 'A', 'L' };
#define RECORD_MAGIC     0x43455257u /* "WREC" */
#define FEATURES_KNOWN   0u
#define RECORD_FLAGS     (WAL_CLEAN_CLOSE | WAL_REPAIR | WAL_RESET)
#define FILE_HASH_OFFSET (WAL_FILE_HEADER_BYTES - 8)
#define HASH_OFFSET      72

uint64_t wal_seed(const uint8_t store_id[16], uint64_t file_id, uint64_t offset)
{
	uint8_t place[32];

	memcpy(place, store_id, 16);
	put_u64(place + 16, file_id);
	put_u64(place + 24, offset);
	return hash64(place, sizeof(place), 0);
}

void wal_file_header_encode(const struct wal_file_header *header,
			    uint8_t out[WAL_FILE_HEADER_BYTES])
{
	memset(out, 0, WAL_FILE_HEADER_BYTES);
	memcpy(out, file_magic, 8);
	put_u32(out + 8, WAL_FORMAT_VERSION);
	put_u64(out + 16, FEATURES_KNOWN);
	memcpy(out + 24, header->store_id, 16);
	put_u64(out + 40, header->file_id);
	put_u64(out + 48, header->predecessor_id);
	put_u64(out + 56, header->predecessor_bytes);
	put_u64(out + 64, header->base_position);
	put_u64(out + 72, header->base_sequence);
	put_u64(out + 80, (uint64_t)header->time_ns);
	put_u64(out + 88, header->base_epoch);
	put_u64(out + FILE_HASH_OFFSET, hash64(out, FILE_HASH_OFFSET, header->file_id));
}

int wal_file_header_decode(const uint8_t in[WAL_FILE_HEADER_BYTES], uint64_t file_id,
			   struct wal_file_header *ret_header)
{
	struct wal_file_header header;

	if (memcmp(in, file_magic, 8) != 0 ||
	    get_u64(in + FILE_HASH_OFFSET) != hash64(in, FILE_HASH_OFFSET, file_id))
		return -EBADMSG;
	if (get_u32(in + 8) != WAL_FORMAT_VERSION || (get_u64(in + 16) & ~(uint64_t)FEATURES_KNOWN))
		return -EPROTONOSUPPORT;
	memcpy(header.store_id, in + 24, 16);
	header.file_id = get_u64(in + 40);
	header.predecessor_id = get_u64(in + 48);
	header.predecessor_bytes = get_u64(in + 56);
	header.base_position = get_u64(in + 64);
	header.base_sequence = get_u64(in + 72);
	header.time_ns = (int64_t)get_u64(in + 80);
	header.base_epoch = get_u64(in + 88);
	if (header.file_id != file_id || header.predecessor_id >= file_id)
		return -EBADMSG;
	*ret_header = header;
	return 0;
}

void wal_record_header_encode(const struct wal_record_header *header, uint64_t seed,
			      uint8_t out[WAL_RECORD_HEADER_BYTES])
{
	put_u32(out, RECORD_MAGIC);
	put_u32(out + 4, header->payload_len);
	put_u16(out + 8, header->flags);
	put_u16(out + 10, 0);
	put_u32(out + 12, header->count);
	put_u64(out + 16, header->epoch);
	put_u64(out + 24, header->first_sequence);
	put_u64(out + 32, header->first_position);
	put_u64(out + 40, header->synced);
	put_u64(out + 48, (uint64_t)header->time_ns);
	put_u64(out + 56, header->payload_hash.low);
	put_u64(out + 64, header->payload_hash.high);
	put_u64(out + HASH_OFFSET, hash64(out, HASH_OFFSET, seed));
}

int wal_record_header_decode(const uint8_t in[WAL_RECORD_HEADER_BYTES], uint64_t seed,
			     struct wal_record_header *ret_header)
{
	struct wal_record_header header;

	if (get_u32(in) != RECORD_MAGIC ||
	    get_u64(in + HASH_OFFSET) != hash64(in, HASH_OFFSET, seed))
		return -EBADMSG;
	header.payload_len = get_u32(in + 4);
	header.flags = get_u16(in + 8);
	header.count = get_u32(in + 12);
	header.epoch = get_u64(in + 16);
	header.first_sequence = get_u64(in + 24);
	header.first_position = get_u64(in + 32);
	header.synced = get_u64(in + 40);
	header.time_ns = (int64_t)get_u64(in + 48);
	header.payload_hash.low = get_u64(in + 56);
	header.payload_hash.high = get_u64(in + 64);
	if ((header.flags & ~RECORD_FLAGS) || header.payload_len > WAL_PAYLOAD_BYTES_MAX)
		return -EBADMSG;
	*ret_header = header;
	return 0;
}

uint64_t wal_file_id_parse(const char *name)
{
	uint64_t id = 0;
	size_t digits = strspn(name, "0123456789abcdef");

	if (digits < 8 || digits > 16 || strcmp(name + digits, ".wal") != 0)
		return 0;
	if (digits > 8 && name[0] == '0')
		return 0;
	for (size_t i = 0; i < digits; i++)
		id = id << 4 | (uint64_t)(name[i] <= '9' ? name[i] - '0' : name[i] - 'a' + 10);
	return id;
}

char *wal_file_path(const char *dir, uint64_t file_id)
{
	char *path;

	return asprintf(&path, "%s/log/%08" PRIx64 ".wal", dir, file_id) < 0 ? NULL : path;
}
