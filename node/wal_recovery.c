/* SPDX-License-Identifier: MIT */
/*
 * The files that count are found from the newest backwards, by the predecessor that each header
 * names. A file whose header is not valid was never used if no record in it is valid: the header is
 * synced before the first record is written. A file that no successor names is one that a failed
 * start left behind, or that was trimmed and came back with a power cut.
 *
 * Every file but the last must be whole up to the length its successor names. The last one ends at
 * its first invalid record; if a record behind it says that the file was synced beyond that place,
 * or if the file was closed, something promised is damaged.
 */
#include "node/wal_recovery.h"

#include "lib/cleanup.h"
#include "node/wal_reader.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct id_list {
	uint64_t *ids;
	size_t count, cap;
};

static int id_list_add(struct id_list *list, uint64_t id)
{
	if (list->count == list->cap) {
		size_t cap = list->cap ? list->cap * 2 : 16;
		uint64_t *ids = realloc(list->ids, cap * sizeof(*ids));

		if (!ids)
			return -ENOMEM;
		list->ids = ids;
		list->cap = cap;
	}
	list->ids[list->count++] = id;
	return 0;
}

int wal_say(char **ret_why, const char *format, ...)
{
	va_list args;
	int r;

	va_start(args, format);
	r = vasprintf(ret_why, format, args);
	va_end(args);
	if (r < 0)
		*ret_why = NULL;
	return r < 0 ? -ENOMEM : 0;
}

static int damaged(char **ret_why, uint64_t file_id, uint64_t offset, const char *what)
{
	wal_say(ret_why, "log file %08" PRIx64 ".wal is damaged at offset %" PRIu64 ": %s", file_id,
		offset, what);
	return -EBADMSG;
}

static int found_name(const char *name, void *state)
{
	uint64_t id = wal_file_id_parse(name);

	return id > 0 ? id_list_add(state, id) : 0;
}

static int compare_ids(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

static int list_ids(const struct wal_options *options, struct id_list *ids)
{
	_cleanup_(freep) char *path = NULL;
	int r;

	if (asprintf(&path, "%s/log", options->dir) < 0) {
		path = NULL;
		return -ENOMEM;
	}
	r = vfs_list(options->vfs, path, found_name, ids);
	if (r < 0)
		return r == -ENOENT ? 0 : r;
	if (ids->count > 0)
		qsort(ids->ids, ids->count, sizeof(*ids->ids), compare_ids);
	return 0;
}

/* 1: @ret_header; 0: the file was never used; negative errno. */
static int read_file_header(const struct wal_options *options, uint64_t id,
			    struct wal_file_header *ret_header, char **ret_why)
{
	struct wal_reader reader;
	uint64_t by;
	int r;

	r = wal_reader_open(&reader, options->vfs, options->dir, options->store_id, id);
	if (r < 0)
		return r;
	r = wal_reader_header(&reader, ret_header);
	if (r == -EBADMSG) {
		r = wal_reader_is_promised(&reader, 0, &by);
		if (r > 0)
			r = damaged(ret_why, id, 0, "its header is not valid");
		wal_reader_close(&reader);
		return r;
	}
	wal_reader_close(&reader);
	if (r == -EPROTONOSUPPORT)
		wal_say(ret_why, "log file %08" PRIx64 ".wal has a later format; use a later hexkv",
			id);
	if (r < 0)
		return r;
	if (memcmp(ret_header->store_id, options->store_id, 16) != 0)
		return damaged(ret_why, id, 0, "it belongs to another store");
	return 1;
}

struct chain {
	struct wal_file_header *headers; /* newest first */
	size_t count;
};

static bool has_id(const struct id_list *ids, uint64_t id)
{
	return ids->count > 0 &&
	       bsearch(&id, ids->ids, ids->count, sizeof(*ids->ids), compare_ids) != NULL;
}

/* Fills @chain from the newest used file back to the oldest that is there. */
static int find_chain(const struct wal_options *options, const struct id_list *ids,
		      struct chain *chain, char **ret_why)
{
	struct wal_file_header *header;
	int r = 0;

	chain->headers = calloc(ids->count + 1, sizeof(*chain->headers));
	if (!chain->headers)
		return -ENOMEM;
	header = chain->headers;
	for (size_t i = ids->count; i > 0 && r == 0; i--)
		r = read_file_header(options, ids->ids[i - 1], header, ret_why);
	if (r <= 0)
		return r;
	chain->count = 1;
	while (header->predecessor_id > 0 && has_id(ids, header->predecessor_id)) {
		struct wal_file_header *next = &chain->headers[chain->count];

		r = read_file_header(options, header->predecessor_id, next, ret_why);
		if (r == 0)
			r = damaged(ret_why, header->predecessor_id, 0, "its header is not valid");
		if (r < 0)
			return r;
		chain->count++;
		header = next;
	}
	return 0;
}

static int check_reach(const struct wal_options *options, const struct chain *chain, char **ret_why)
{
	const struct wal_file_header *oldest;

	/* Without it the log would seem to end with the file before. */
	if (options->known_file > 0 &&
	    (chain->count == 0 || chain->headers[0].file_id < options->known_file)) {
		wal_say(ret_why,
			"log file %08" PRIx64 ".wal is missing, or is damaged at offset 0; restore "
			"the directory from a copy",
			options->known_file);
		return -EBADMSG;
	}
	if (chain->count == 0) {
		if (options->flushed_position == 0)
			return 0;
		wal_say(ret_why, "the log is missing: log/ holds no file, but segments hold "
				 "records; restore the directory from a copy");
		return -EBADMSG;
	}
	oldest = &chain->headers[chain->count - 1];
	if (oldest->base_position <= options->flushed_position)
		return 0;
	wal_say(ret_why,
		"log file %08" PRIx64 ".wal is missing: records %" PRIu64 " to %" PRIu64
		" are nowhere else; restore the directory from a copy",
		oldest->predecessor_id, options->flushed_position + 1, oldest->base_position);
	return -EBADMSG;
}

struct file_scan {
	const struct wal_file_header *header;
	const struct wal_file_header *successor; /* NULL: the last file */
	struct wal_file_info info;
	struct wal_mark mark; /* behind the last record */
	uint64_t synced; /* newest promise */
	bool closed;
};

static int replay_record(struct file_scan *scan, const struct wal_record *record,
			 wal_replay_fn replay, void *state, char **ret_why)
{
	if (record->flags & WAL_CLEAN_CLOSE) {
		scan->closed = true;
		return 0;
	}
	if (scan->closed)
		return damaged(ret_why, record->file_id, record->offset,
			       "a record stands behind the mark of a clean close");
	if (!wal_mark_advance(&scan->mark, record))
		return damaged(ret_why, record->file_id, record->offset,
			       "the record does not continue the one before");
	scan->info.last_position = scan->mark.position;
	scan->info.last_time_ns = record->time_ns;
	return replay ? replay(record, state) : 0;
}

/* Every record of a file up to where it must, or can, be read. */
static int scan_records(struct file_scan *scan, struct wal_reader *reader, wal_replay_fn replay,
			void *state, char **ret_why)
{
	uint64_t stop = scan->successor ? scan->successor->predecessor_bytes : UINT64_MAX;
	struct wal_reader_record from;
	int r = 1;

	while (reader->offset < stop) {
		struct wal_record record;

		r = wal_reader_next(reader, &from);
		if (r <= 0)
			break;
		if (from.header.synced > scan->synced && from.header.synced <= from.offset)
			scan->synced = from.header.synced;
		record = wal_reader_to_record(reader, &from);
		r = replay_record(scan, &record, replay, state, ret_why);
		if (r != 0)
			return r;
	}
	return r < 0 ? r : 0;
}

static int scan_file(const struct wal_options *options, struct file_scan *scan,
		     wal_replay_fn replay, void *state, char **ret_why)
{
	uint64_t id = scan->header->file_id;
	struct wal_reader reader;
	uint64_t by;
	int r;

	r = wal_reader_open(&reader, options->vfs, options->dir, options->store_id, id);
	if (r < 0)
		return r;
	r = scan_records(scan, &reader, replay, state, ret_why);
	scan->info.bytes = reader.offset;
	if (r == 0 && scan->successor && reader.offset != scan->successor->predecessor_bytes)
		r = damaged(ret_why, id, reader.offset,
			    "its successor says that it goes on behind this place");
	if (r == 0 && !scan->successor) {
		r = wal_reader_is_promised(&reader, reader.offset, &by);
		if (r > 0)
			r = damaged(ret_why, id, reader.offset,
				    "a later record says that this place was on stable storage");
	}
	wal_reader_close(&reader);
	return r;
}

static int scan_chain(const struct wal_options *options, const struct chain *chain,
		      wal_replay_fn replay, void *state, struct wal_recovery *recovery,
		      char **ret_why)
{
	struct wal_mark mark = { 0 };

	for (size_t i = chain->count; i > 0; i--) {
		const struct wal_file_header *header = &chain->headers[i - 1];
		struct wal_mark base = { header->base_position, header->base_epoch,
					 header->base_sequence };
		struct file_scan scan = {
			.header = header,
			.successor = i > 1 ? header - 1 : NULL,
			.mark = base,
			.info = { .id = header->file_id,
				  .base = base,
				  .last_position = header->base_position,
				  .last_time_ns = header->time_ns },
			.synced = WAL_FILE_HEADER_BYTES,
		};
		int r;

		if (i < chain->count &&
		    (base.position != mark.position || base.epoch != mark.epoch ||
		     base.sequence != mark.sequence))
			return damaged(ret_why, header->file_id, 0,
				       "it does not continue the file before");
		r = scan_file(options, &scan, replay, state, ret_why);
		if (r != 0)
			return r;
		recovery->files[recovery->file_count++] = scan.info;
		mark = scan.mark;
		/* Not the mark of a clean close: it can be read, but was it synced? */
		recovery->synced = scan.synced;
		recovery->end = scan.info.bytes;
		recovery->end_mark = mark;
	}
	return 0;
}

/* One that is cut short looks like a log that ends there. */
static int check_end(const struct wal_options *options, const struct wal_recovery *recovery,
		     char **ret_why)
{
	if (recovery->end_mark.position >= options->known_position)
		return 0;
	wal_say(ret_why,
		"log file %08" PRIx64 ".wal ends at offset %" PRIu64 ", but records %" PRIu64
		" to %" PRIu64 " were behind it; restore the directory from a copy",
		recovery->file_count > 0 ? recovery->files[recovery->file_count - 1].id : 0,
		recovery->end, recovery->end_mark.position + 1, options->known_position);
	return -EBADMSG;
}

static int note_strays(const struct id_list *ids, const struct chain *chain,
		       struct wal_recovery *recovery)
{
	recovery->strays = calloc(ids->count + 1, sizeof(*recovery->strays));
	recovery->files = calloc(chain->count + 1, sizeof(*recovery->files));
	if (!recovery->strays || !recovery->files)
		return -ENOMEM;
	for (size_t i = 0; i < ids->count; i++) {
		bool in_chain = false;

		for (size_t j = 0; j < chain->count && !in_chain; j++)
			in_chain = chain->headers[j].file_id == ids->ids[i];
		if (!in_chain)
			recovery->strays[recovery->stray_count++] = ids->ids[i];
		recovery->last_id = ids->ids[i];
	}
	return 0;
}

int wal_recover(const struct wal_options *options, wal_replay_fn replay, void *state,
		struct wal_recovery *ret_recovery, char **ret_why)
{
	struct wal_recovery recovery = { 0 };
	struct id_list ids = { 0 };
	struct chain chain = { 0 };
	int r;

	*ret_why = NULL;
	r = list_ids(options, &ids);
	if (r == 0)
		r = find_chain(options, &ids, &chain, ret_why);
	if (r == 0)
		r = check_reach(options, &chain, ret_why);
	if (r == 0)
		r = note_strays(&ids, &chain, &recovery);
	if (r == 0)
		r = scan_chain(options, &chain, replay, state, &recovery, ret_why);
	if (r == 0)
		r = check_end(options, &recovery, ret_why);
	free(ids.ids);
	free(chain.headers);
	if (r != 0) {
		wal_recovery_deinit(&recovery);
		if (r < 0 && !*ret_why)
			wal_say(ret_why, "the log can't be read: %s", strerror(-r));
		return r;
	}
	*ret_recovery = recovery;
	return 0;
}

void wal_recovery_deinit(struct wal_recovery *recovery)
{
	free(recovery->files);
	free(recovery->strays);
	*recovery = (struct wal_recovery){ 0 };
}
