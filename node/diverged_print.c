/* SPDX-License-Identifier: MIT */
/* A value is either small enough for one line, and then in memory, or streamed to a file. */
#include "node/diverged_print.h"

#include "lib/base64.h"
#include "lib/cleanup.h"
#include "lib/utf8.h"
#include "node/diverged.h"

#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <string.h>

/* What PUT / takes as a body. */
#define LINE_BYTES_MAX ((size_t)16 * 1024 * 1024)

DEFINE_CLEANUP(struct diverged_reader *, diverged_reader_close)

struct printer {
	struct vfs *vfs;
	const char *values_dir;
	FILE *out;
	struct diverged_reader *reader;
	struct buf value;
	uint8_t *chunk;
	uint64_t left_out, damaged;
};

static int __attribute__((format(printf, 2, 3))) complain(int status, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	fputs("hexkv-node: ", stderr);
	vfprintf(stderr, format, args);
	fputc('\n', stderr);
	va_end(args);
	return status;
}

/* Members that all lines about a value have; NULL if memory is out. */
static json_t *describe(const struct entry *entry)
{
	struct record_meta meta;
	char hex[KEY_HEX_MAX + 1];
	struct key key;

	if (key_from_bytes(entry->key, entry->key_len, &key) < 0)
		return NULL;
	key_to_hex(&key, hex);
	if (entry->kind == ENTRY_TOMBSTONE)
		return json_pack("{s:s, s:b}", "key", hex, "deleted", 1);
	entry_to_meta(entry, &meta);
	return json_pack("{s:s, s:s, s:s}", "key", hex, "content_type", meta.content_type.text,
			 "encoding", meta.encoding.text);
}

/* Takes the reference to @json. -EMSGSIZE: the line would be longer than @max; nothing is printed.
 */
static int print_line(struct printer *printer, json_t *json, size_t max)
{
	_cleanup_(freep) char *text = json ? json_dumps(json, JSON_COMPACT) : NULL;

	json_decref(json);
	if (!text)
		return -ENOMEM;
	if (strlen(text) > max)
		return -EMSGSIZE;
	return fprintf(printer->out, "%s\n", text) < 0 ? -EIO : 0;
}

static int set(json_t *object, const char *name, json_t *value)
{
	return object && json_object_set_new(object, name, value) == 0 ? 0 : -ENOMEM;
}

static int print_inline(struct printer *printer, const struct entry *entry, const void *value,
			size_t len)
{
	json_t *line = describe(entry);
	struct buf text = { 0 };
	int r;

	if (utf8_is_valid(value, len)) {
		r = set(line, "value", json_stringn_nocheck(value, len));
	} else {
		r = base64_encode(value, len, &text);
		if (r == 0)
			r = set(line, "value", json_stringn_nocheck((char *)text.data, text.len));
		if (r == 0)
			r = set(line, "value_base64", json_true());
		buf_deinit(&text);
	}
	if (r < 0) {
		json_decref(line);
		return r;
	}
	return print_line(printer, line, LINE_BYTES_MAX);
}

/* A line about a value that is not in it. */
static int print_apart(struct printer *printer, const struct entry *entry, const char *name,
		       json_t *value)
{
	json_t *line = describe(entry);
	int r = set(line, "size", json_integer((json_int_t)entry->size_bytes));

	if (r == 0 && value)
		r = set(line, name, value);
	if (r < 0) {
		json_decref(line);
		return r;
	}
	return print_line(printer, line, SIZE_MAX);
}

static char *value_path(const struct printer *printer, const struct entry *entry)
{
	char *path;

	/* Keys may be as long as file names; versions are unique too. */
	if (asprintf(&path, "%s/%" PRIx64 "-%" PRIx64, printer->values_dir, entry->version.epoch,
		     entry->version.sequence) < 0)
		return NULL;
	return path;
}

/* The rest of the value, behind what is in printer->value. */
static int copy_value(struct printer *printer, struct vfs_file *file)
{
	uint64_t at = printer->value.len;
	struct iovec part = { printer->value.data, printer->value.len };
	int r = vfs_pwritev(file, &part, 1, 0);

	while (r == 0) {
		ssize_t n = diverged_reader_value(printer->reader, printer->chunk);

		if (n <= 0)
			return (int)n;
		part = (struct iovec){ printer->chunk, (size_t)n };
		r = vfs_pwritev(file, &part, 1, at);
		at += (uint64_t)n;
	}
	return r;
}

static int print_value_file(struct printer *printer, const struct entry *entry)
{
	_cleanup_(freep) char *path = printer->values_dir ? value_path(printer, entry) : NULL;
	_cleanup_(vfs_closep) struct vfs_file *file = NULL;
	int r;

	if (!printer->values_dir) {
		printer->left_out++;
		return print_apart(printer, entry, NULL, NULL);
	}
	if (!path)
		return -ENOMEM;
	r = vfs_unlink(printer->vfs, path);
	if (r == 0 || r == -ENOENT)
		r = vfs_open(printer->vfs, path, VFS_WRITE | VFS_CREATE, &file);
	if (r == 0)
		r = copy_value(printer, file);
	if (r == 0)
		r = vfs_sync(file);
	if (r < 0 && file)
		vfs_unlink(printer->vfs, path);
	if (r < 0 && r != -ENODATA && r != -EBADMSG)
		complain(1, "%s can't be written: %s", path, strerror(-r));
	return r == 0 ? print_apart(printer, entry, "value_file", json_string(path)) : r;
}

/* Into printer->value, as long as it may fit into a line. 1: it is longer. */
static int gather_value(struct printer *printer)
{
	buf_clear(&printer->value);
	while (printer->value.len <= LINE_BYTES_MAX) {
		ssize_t n = diverged_reader_value(printer->reader, printer->chunk);
		int r;

		if (n <= 0)
			return (int)n;
		r = buf_append(&printer->value, printer->chunk, (size_t)n);
		if (r < 0)
			return r;
	}
	return 1;
}

static int print_file_entry(struct printer *printer, const struct entry *entry)
{
	int r = gather_value(printer);

	if (r == 0)
		r = print_inline(printer, entry,
				 printer->value.data ? printer->value.data : (void *)"",
				 printer->value.len);
	if (r == -EMSGSIZE || r == 1)
		r = print_value_file(printer, entry);
	if (r != -ENODATA)
		return r;
	printer->damaged++;
	return print_apart(printer, entry, "damaged", json_true());
}

static int print_entry(struct printer *printer, const struct entry *entry)
{
	switch (entry->kind) {
	case ENTRY_TOMBSTONE:
		return print_line(printer, describe(entry), SIZE_MAX);
	case ENTRY_INLINE:
		/* At most 1 MiB: it fits whatever it holds. */
		return print_inline(printer, entry,
				    entry->size_bytes > 0 ? (const void *)entry->value : "",
				    (size_t)entry->size_bytes);
	default:
		return print_file_entry(printer, entry);
	}
}

static int print_all(struct printer *printer)
{
	struct entry entry;
	int r;

	while ((r = diverged_reader_next(printer->reader, &entry)) > 0) {
		r = print_entry(printer, &entry);
		if (r < 0)
			return r;
	}
	if (fflush(printer->out) != 0)
		r = -errno;
	return r;
}

static int report(const struct printer *printer, const char *path, int r)
{
	if (r == -EBADMSG)
		return complain(1,
				"%s is damaged: what stands before the damage was printed, the "
				"rest is lost",
				path);
	if (r < 0)
		return complain(1, "%s was not printed to its end: %s", path, strerror(-r));
	if (printer->left_out > 0)
		complain(1,
			 "%" PRIu64 " value%s too large for a line: name a directory for them with "
			 "--diverged-values",
			 printer->left_out, printer->left_out == 1 ? " is" : "s are");
	if (printer->damaged > 0)
		complain(1, "%" PRIu64 " value%s damaged before this file was written",
			 printer->damaged, printer->damaged == 1 ? " was" : "s were");
	return printer->left_out > 0 || printer->damaged > 0;
}

int diverged_print(struct vfs *vfs, const char *path, const char *values_dir, FILE *out)
{
	_cleanup_(diverged_reader_closep) struct diverged_reader *reader = NULL;
	struct printer printer = { .vfs = vfs, .values_dir = values_dir, .out = out };
	struct diverged_about about;
	int r = diverged_reader_open(vfs, path, &about, &reader);

	if (r == -EBADMSG)
		return complain(2, "%s is no diverged log, or its beginning is damaged", path);
	if (r < 0)
		return complain(2, "%s can't be read: %s", path, strerror(-r));
	if (values_dir) {
		r = vfs_mkdir(vfs, values_dir);
		if (r < 0 && r != -EEXIST)
			return complain(2, "%s can't be made: %s", values_dir, strerror(-r));
	}
	printer.reader = reader;
	printer.chunk = malloc(VALUE_CHUNK_BYTES);
	r = printer.chunk ? print_all(&printer) : -ENOMEM;
	buf_deinit(&printer.value);
	free(printer.chunk);
	return report(&printer, path, r);
}
