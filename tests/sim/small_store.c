/* SPDX-License-Identifier: MIT */
#include "tests/sim/small_store.h"

#include "lib/log.h"
#include "tests/sim/fates.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define VALUE_LEN     20
#define LATE_FILE_LEN (VALUE_CHUNK_BYTES + 3000)
#define WRITES        512

/* What was written, by sequence. */
static struct {
	unsigned key;
	bool deleted;
} written[WRITES];
static uint64_t written_last;

uint64_t small_store_last(void)
{
	return written_last;
}

struct store_options small_store_options(struct crash_vfs *crash)
{
	struct store_options options = fates_options(crash);

	options.memtable_bytes = 1024;
	options.cache_bytes = 0;
	return options;
}

struct store *small_store_open(struct crash_vfs *crash)
{
	struct store_options options = small_store_options(crash);
	struct store *store;
	char *why = NULL;

	assert_int_equal(fates_open(&options, &store, &why), 0);
	return store;
}

struct store *small_store_new(struct crash_vfs *crash)
{
	written_last = 0;
	return small_store_open(crash);
}

static void note_write(unsigned key, bool deleted)
{
	assert_true(written_last + 1 < WRITES);
	written_last++;
	written[written_last].key = key;
	written[written_last].deleted = deleted;
}

/* Of the version of @key that a store whose log ends at @end holds; 0: none. */
static uint64_t sequence_at(uint64_t end, unsigned key)
{
	for (uint64_t at = end; at > 0; at--)
		if (written[at].key == key)
			return written[at].deleted ? 0 : at;
	return 0;
}

static size_t value_len(unsigned key)
{
	switch (key) {
	case SMALL_FILE_KEY:
		return FATE_FILE_BYTES;
	case SMALL_EMPTY_KEY:
		return 0;
	case SMALL_LATE_KEY:
		return LATE_FILE_LEN;
	default:
		return VALUE_LEN;
	}
}

static void run_put(struct store *store, struct fate_call *call, unsigned key)
{
	request_id_generate(&call->write.request.request_id);
	assert_int_equal(fate_run(store, call, FATE_PRESENT, FATE_ABSENT), FATE_PRESENT);
	note_write(key, false);
	assert_int_equal(call->write.meta.version.sequence, written_last);
}

void small_store_put(struct store *store, unsigned key)
{
	struct fate_call call;

	fate_call_init(&call, WRITE_PUT, key, DURABILITY_DISK);
	memset(call.data, (int)key, VALUE_LEN);
	call.write.value = call.data;
	call.write.value_len = VALUE_LEN;
	run_put(store, &call, key);
}

void small_store_put_file(struct store *store, unsigned key)
{
	static uint8_t data[LATE_FILE_LEN];
	struct value_writer *writer;
	struct fate_call call;

	fate_call_init(&call, WRITE_PUT, key, DURABILITY_DISK);
	memset(data, (int)key, sizeof(data));
	assert_int_equal(value_writer_new(store_values(store), &writer), 0);
	assert_int_equal(value_writer_append(writer, data, value_len(key)), 0);
	assert_int_equal(value_writer_finish(writer, &call.write.file, &call.write.file_size,
					     &call.write.file_hash, &call.write.file_utf8),
			 0);
	run_put(store, &call, key);
}

void small_store_delete(struct store *store, unsigned key)
{
	assert_int_equal(fate_delete(store, key, FATE_PRESENT), FATE_ABSENT);
	note_write(key, true);
}

static void note_problem(const char *sentence, void *state)
{
	struct verdict *verdict = state;
	size_t len = strlen(verdict->said);

	snprintf(verdict->said + len, sizeof(verdict->said) - len, "%s\n", sentence);
}

static struct verdict *listener;

/* What the store logs, which the linker sends here. */
void __wrap_log_write(enum log_level level, const char *event, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

void __wrap_log_write(enum log_level level, const char *event, const char *format, ...)
{
	char line[512];
	va_list args;

	(void)event;
	if (!listener || level > LOG_LEVEL_WARN)
		return;
	va_start(args, format);
	vsnprintf(line, sizeof(line), format, args);
	va_end(args);
	note_problem(line, listener);
}

/* False: it can't be read. */
static bool read_value(struct store_record *record, unsigned key)
{
	static uint8_t chunk[VALUE_CHUNK_BYTES];
	uint64_t len = value_len(key), done = 0;
	const uint8_t *data = store_record_inline(record);

	assert_int_equal(record->meta.size_bytes, len);
	while (done < len) {
		const uint8_t *at = data ? data + done : chunk;
		ssize_t n = data ? (ssize_t)len
				 : value_file_read_chunk(record->held.file, len,
							 done / VALUE_CHUNK_BYTES, chunk, 0);

		if (n <= 0)
			return false;
		for (ssize_t i = 0; i < n; i++)
			assert_int_equal(at[i], key);
		done += (uint64_t)n;
	}
	return true;
}

/* Never a wrong value, and all that was written up to the end. */
static void read_key(struct store *store, unsigned key, struct verdict *verdict)
{
	struct store_record record;
	int r = fate_get(store, key, &record);

	if (r < 0) {
		verdict->read_error = true;
		return;
	}
	assert_int_equal(r == 0, sequence_at(verdict->end, key) > 0);
	if (r == STORE_NOT_FOUND)
		return;
	assert_int_equal(record.meta.version.sequence, sequence_at(verdict->end, key));
	if (!read_value(&record, key))
		verdict->read_error = true;
	store_record_release(&record);
}

struct verdict small_store_try(const struct image *image)
{
	struct verdict verdict = { 0 };
	struct crash_vfs *crash = crash_vfs_new(1);
	struct store_options options = small_store_options(crash);
	struct store_standing standing;
	struct store *store;
	char *why = NULL;

	image_put(image, options.vfs, FATE_DIR);
	listener = &verdict;
	verdict.checked = store_check(options.vfs, FATE_DIR, note_problem, &verdict);
	assert_true(verdict.checked >= 0);
	verdict.opened = fates_open(&options, &store, &why);
	if (verdict.opened == 0) {
		assert_int_equal(store_standing(store, &standing), 0);
		verdict.end = standing.end.sequence;
		assert_true(verdict.end <= written_last);
		for (unsigned key = 0; key < SMALL_KEYS; key++)
			read_key(store, key, &verdict);
		store_close(store);
	} else {
		note_problem(why, &verdict);
	}
	listener = NULL;
	free(why);
	crash_vfs_free(crash);
	return verdict;
}
