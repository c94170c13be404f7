/* SPDX-License-Identifier: MIT */
/*
 * A log as a hostile disk could hold it. The first byte chooses:
 *   even: the rest is the file;
 *   odd: the rest becomes records whose hashes are right, so that what lies behind the hashes is
 *        reached too: 48 bytes of fields, then a payload, again and again.
 * Whatever is there, verifying must end, opening must find the same records or refuse, and what was
 * opened must verify.
 */
#include "lib/bytes.h"
#include "node/wal.h"
#include "tests/sim/crash_vfs.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

#define FIELD_BYTES 48

static const uint8_t store_id[16] = { 7 };

static void put(struct buf *out, const void *data, size_t len)
{
	if (buf_append(out, data, len) < 0)
		abort();
}

static void make_records(struct buf *out, const uint8_t *data, size_t len)
{
	struct wal_file_header file = { .file_id = 1, .store_id = { 7 } };
	uint8_t bytes[WAL_FILE_HEADER_BYTES];

	wal_file_header_encode(&file, bytes);
	put(out, bytes, sizeof(bytes));
	while (len >= FIELD_BYTES) {
		size_t payload_len = get_u16(data) % (len - FIELD_BYTES + 1);
		struct wal_record_header header = {
			.payload_len = (uint32_t)payload_len,
			.flags = data[2] & 7,
			.count = data[3],
			.epoch = get_u64(data + 8),
			/* Mostly those that continue the log. */
			.first_sequence = data[5] ? data[5] : get_u64(data + 16),
			.first_position = data[4] ? data[4] : get_u64(data + 24),
			.synced = get_u64(data + 32),
			.payload_hash = hash128(data + FIELD_BYTES, payload_len),
		};
		static const uint8_t padding[WAL_ALIGN];

		wal_record_header_encode(&header, wal_seed(store_id, 1, out->len), bytes);
		put(out, bytes, WAL_RECORD_HEADER_BYTES);
		put(out, data + FIELD_BYTES, payload_len);
		put(out, padding, (WAL_ALIGN - out->len % WAL_ALIGN) % WAL_ALIGN);
		data += FIELD_BYTES + payload_len;
		len -= FIELD_BYTES + payload_len;
	}
}

static int replay(const struct wal_record *record, void *state)
{
	struct bytes_reader reader = bytes_reader(record->payload, record->payload_len);
	struct entry entry;

	while (bytes_left(&reader) > 0 && entry_decode(&reader, &entry) == 0) {
		struct record_meta meta;
		struct buf again = { 0 };

		if (entry_encode(&entry, &again) < 0)
			abort();
		assert(again.len == entry_encoded_size(&entry));
		if (entry.kind != ENTRY_TOMBSTONE)
			entry_to_meta(&entry, &meta);
		buf_deinit(&again);
	}
	++*(unsigned *)state;
	return 0;
}

static void write_file(struct vfs *vfs, const struct buf *content)
{
	struct iovec part = { content->data, content->len };
	struct vfs_file *file;

	if (vfs_mkdir(vfs, "/d") < 0 || vfs_mkdir(vfs, "/d/log") < 0 ||
	    vfs_open(vfs, "/d/log/00000001.wal", VFS_WRITE | VFS_CREATE, &file) < 0 ||
	    vfs_pwritev(file, &part, 1, 0) < 0)
		abort();
	vfs_close(file);
}

static void check(struct vfs *vfs)
{
	struct wal_options options = {
		.vfs = vfs, .dir = "/d", .store_id = { 7 }, .file_bytes = 4096
	};
	unsigned verified = 0, opened = 0, again = 0;
	struct wal *wal;
	struct wal_mark end;
	char *why;
	int r;

	r = wal_verify(&options, replay, &verified, &end, &why);
	free(why);
	if (wal_open(&options, replay, &opened, &wal, &why) < 0) {
		/* It may refuse what verifying can't see: a promise that is no record's end. */
		free(why);
		return;
	}
	assert(r == 0 && opened == verified);
	wal_close(wal);
	r = wal_verify(&options, replay, &again, &end, &why);
	assert(r == 0 && again == verified);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct crash_vfs *crash = crash_vfs_new(1);
	struct buf content = { 0 };

	if (len > 0 && (data[0] & 1))
		make_records(&content, data + 1, len - 1);
	else if (len > 0)
		put(&content, data + 1, len - 1);
	write_file(crash_vfs_base(crash), &content);
	check(crash_vfs_base(crash));
	crash_vfs_free(crash);
	buf_deinit(&content);
	return 0;
}
