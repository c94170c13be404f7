/* SPDX-License-Identifier: MIT */
#include "node/request_ids_file.h"

#include "lib/cleanup.h"
#include "node/atomic_file.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define HEADER_BYTES 32
#define ID_BYTES     96
#define HASH_BYTES   8
#define MAX_BYTES    (HEADER_BYTES + ID_BYTES * (size_t)REQUEST_IDS_MAX + HASH_BYTES)

enum {
	FLAG_REPLACED = 1,
	FLAG_TOMBSTONE = 2,
	FLAG_UTF8 = 4,
	FLAGS_KNOWN = 7,
};

static const uint8_t magic[8] = { 'H', 'E', 'X', 'K', 'V', 'I', 'D', 'S' };

struct dump {
	uint64_t last_sequence;
	uint64_t count;
	struct buf *out;
};

static int dump_one(const struct request_id *id, int64_t time_ns,
		    const struct request_answer *answer, void *state)
{
	struct dump *dump = state;
	uint8_t bytes[ID_BYTES] = { 0 };
	int r;

	if (answer->version.sequence > dump->last_sequence)
		return 0;
	memcpy(bytes, id->bytes, 16);
	put_u64(bytes + 16, (uint64_t)time_ns);
	put_u64(bytes + 24, answer->key_hash);
	put_u64(bytes + 32, (answer->replaced ? FLAG_REPLACED : 0) |
				    (answer->tombstone ? FLAG_TOMBSTONE : 0) |
				    (answer->utf8 ? FLAG_UTF8 : 0));
	put_u64(bytes + 40, answer->version.epoch);
	put_u64(bytes + 48, answer->version.sequence);
	put_u64(bytes + 56, (uint64_t)answer->mtime_ns);
	put_u64(bytes + 64, answer->size_bytes);
	put_u64(bytes + 72, answer->hash.low);
	put_u64(bytes + 80, answer->hash.high);
	r = buf_append(dump->out, bytes, sizeof(bytes));
	dump->count += r == 0;
	return r;
}

int request_ids_encode(struct request_ids *ids, uint64_t last_sequence, struct buf *out)
{
	struct dump dump = { .last_sequence = last_sequence, .out = out };
	uint8_t header[HEADER_BYTES] = { 0 };
	int r;

	memcpy(header, magic, 8);
	put_u32(header + 8, 1);
	r = buf_append(out, header, sizeof(header));
	if (r == 0)
		r = request_ids_each(ids, dump_one, &dump);
	if (r < 0)
		return r;
	put_u64(out->data + 24, dump.count);
	return buf_append_u64(out, hash64(out->data, out->len, 0));
}

static int decode_one(const uint8_t *bytes, struct request_ids *ids, int64_t *newest_ns)
{
	int64_t time_ns = (int64_t)get_u64(bytes + 16);
	uint64_t flags = get_u64(bytes + 32);
	struct request_answer answer = {
		.key_hash = get_u64(bytes + 24),
		.replaced = flags & FLAG_REPLACED,
		.tombstone = flags & FLAG_TOMBSTONE,
		.utf8 = flags & FLAG_UTF8,
		.version = { get_u64(bytes + 40), get_u64(bytes + 48) },
		.mtime_ns = (int64_t)get_u64(bytes + 56),
		.size_bytes = get_u64(bytes + 64),
		.hash = { .low = get_u64(bytes + 72), .high = get_u64(bytes + 80) },
	};
	struct request_id id;

	if ((flags & ~(uint64_t)FLAGS_KNOWN) || get_u64(bytes + 88) != 0 || time_ns < 0)
		return -EBADMSG;
	if (time_ns > *newest_ns)
		*newest_ns = time_ns;
	memcpy(id.bytes, bytes, 16);
	return request_ids_add(ids, &id, &answer, time_ns);
}

int request_ids_decode(struct request_ids *ids, const void *data, size_t len,
		       int64_t *ret_newest_ns)
{
	const uint8_t *bytes = data;
	int64_t newest_ns = 0;
	uint64_t count;
	int r = 0;

	if (len < HEADER_BYTES + HASH_BYTES || memcmp(bytes, magic, 8) != 0 ||
	    get_u64(bytes + len - HASH_BYTES) != hash64(bytes, len - HASH_BYTES, 0))
		return -EBADMSG;
	if (get_u32(bytes + 8) != 1 || get_u64(bytes + 16) != 0)
		return -EPROTONOSUPPORT;
	count = get_u64(bytes + 24);
	if (count != (len - HEADER_BYTES - HASH_BYTES) / ID_BYTES ||
	    len != HEADER_BYTES + count * ID_BYTES + HASH_BYTES)
		return -EBADMSG;
	for (uint64_t i = 0; i < count && r == 0; i++)
		r = decode_one(bytes + HEADER_BYTES + i * ID_BYTES, ids, &newest_ns);
	if (r == 0)
		*ret_newest_ns = newest_ns;
	return r;
}

int request_ids_save(struct request_ids *ids, struct vfs *vfs, const char *dir,
		     uint64_t last_sequence)
{
	_cleanup_(buf_deinit) struct buf out = { 0 };
	int r = request_ids_encode(ids, last_sequence, &out);

	return r == 0 ? atomic_file_write(vfs, dir, REQUEST_IDS_NAME, out.data, out.len) : r;
}

int request_ids_load(struct request_ids *ids, struct vfs *vfs, const char *dir,
		     int64_t *ret_newest_ns)
{
	_cleanup_(buf_deinit) struct buf in = { 0 };
	int r;

	*ret_newest_ns = INT64_MAX;
	r = atomic_file_read(vfs, dir, REQUEST_IDS_NAME, MAX_BYTES, &in);
	if (r == -ENOENT)
		return 0;
	if (r == 0)
		r = request_ids_decode(ids, in.data, in.len, ret_newest_ns);
	return r == -EFBIG ? -EBADMSG : r;
}

void request_ids_tidy(struct vfs *vfs, const char *dir, int64_t newest_ns, int64_t now_ns)
{
	_cleanup_(freep) char *path = NULL;

	if (now_ns <= newest_ns || now_ns - newest_ns <= REQUEST_IDS_AGE_NS)
		return;
	if (asprintf(&path, "%s/%s", dir, REQUEST_IDS_NAME) < 0)
		path = NULL;
	else
		vfs_unlink(vfs, path);
}
