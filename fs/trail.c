/* SPDX-License-Identifier: MIT */
/*
 * A step is the names of one page, each ended by a NUL, behind the prefix of their cursors.
 */
#include "fs/trail.h"

#include "lib/cleanup.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define MEMORY_MAX (512 * 1024)
#define FILE_MAX   (INT64_C(1) << 30)

struct step {
	char *text; /* NULL: in the file at offset */
	int64_t offset;
	uint32_t len;
	uint32_t count;
};

struct trail {
	const char *dir;
	struct step *steps; /* from number first on */
	uint64_t first;
	size_t count, cap;
	size_t in_memory;
	int fd; /* -1: nothing needed one */
	int64_t file_start, file_end; /* what of the file is used */
};

int trail_new(const char *dir, struct trail **ret_trail)
{
	struct trail *trail = calloc(1, sizeof(*trail));

	if (!trail)
		return -ENOMEM;
	trail->dir = dir;
	trail->first = 1;
	trail->fd = -1;
	*ret_trail = trail;
	return 0;
}

struct trail *trail_free(struct trail *trail)
{
	if (!trail)
		return NULL;
	for (size_t i = 0; i < trail->count; i++)
		free(trail->steps[i].text);
	free(trail->steps);
	closep(&trail->fd);
	free(trail);
	return NULL;
}

static char *write_step(const struct listed_page *page, struct step *ret_step)
{
	const char *prefix = page->lines.prefix;
	size_t len = strlen(prefix) + 1, key_len;
	char *text, *at;

	for (size_t i = 0; i < page->count; i++) {
		listed_page_key(page, i, &key_len);
		len += key_len + 1;
	}
	text = malloc(len);
	if (!text)
		return NULL;
	at = stpcpy(text, prefix) + 1;
	for (size_t i = 0; i < page->count; i++) {
		const char *key = listed_page_key(page, i, &key_len);

		memcpy(at, key, key_len);
		at += key_len;
		*at++ = '\0';
	}
	*ret_step = (struct step){ .len = (uint32_t)len, .count = (uint32_t)page->count };
	return text;
}

static int open_file(struct trail *trail)
{
	if (trail->fd >= 0)
		return 0;
	trail->fd = open(trail->dir, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	return trail->fd < 0 ? -errno : 0;
}

static int spill(struct trail *trail, struct step *step, const char *text)
{
	size_t done = 0;
	int r = open_file(trail);

	while (r == 0 && done < step->len) {
		ssize_t n = pwrite(trail->fd, text + done, step->len - done,
				   trail->file_end + (int64_t)done);

		if (n < 0 && errno != EINTR)
			r = -errno;
		else if (n > 0)
			done += (size_t)n;
	}
	if (r < 0)
		return r;
	step->offset = trail->file_end;
	trail->file_end += (int64_t)step->len;
	return 0;
}

/* The file's blocks go back to the file system, where it can do that. */
static void drop_oldest(struct trail *trail)
{
	struct step *oldest = &trail->steps[0];
	int64_t end = oldest->offset + (int64_t)oldest->len;

	if (oldest->text) {
		trail->in_memory -= oldest->len;
		free(oldest->text);
	} else {
		(void)fallocate(trail->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
				trail->file_start, end - trail->file_start);
		trail->file_start = end;
	}
	trail->count--;
	trail->first++;
	memmove(trail->steps, trail->steps + 1, trail->count * sizeof(*trail->steps));
}

static int make_room(struct trail *trail)
{
	struct step *steps;
	size_t cap = trail->cap ? trail->cap * 2 : 16;

	if (trail->count < trail->cap)
		return 0;
	steps = realloc(trail->steps, cap * sizeof(*steps));
	if (!steps)
		return -ENOMEM;
	trail->steps = steps;
	trail->cap = cap;
	return 0;
}

int trail_add(struct trail *trail, const struct listed_page *page, uint64_t *ret_number)
{
	_cleanup_(freep) char *text = NULL;
	struct step step;
	int r;

	while (trail->count > 0 && trail->file_end - trail->file_start > FILE_MAX)
		drop_oldest(trail);
	r = make_room(trail);
	if (r < 0)
		return r;
	text = write_step(page, &step);
	if (!text)
		return -ENOMEM;
	if (trail->in_memory + step.len <= MEMORY_MAX) {
		trail->in_memory += step.len;
		step.text = take_ptr(text);
	} else {
		r = spill(trail, &step, text);
		if (r < 0)
			return r;
	}
	trail->steps[trail->count] = step;
	*ret_number = trail->first + trail->count++;
	return 0;
}

static int read_step(const struct trail *trail, const struct step *step, char *ret_text)
{
	size_t done = 0;

	while (done < step->len) {
		ssize_t n = pread(trail->fd, ret_text + done, step->len - done,
				  step->offset + (int64_t)done);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n < 0 ? -errno : -EIO;
		done += (size_t)n;
	}
	return 0;
}

int trail_cursor(struct trail *trail, uint64_t number, size_t i,
		 char ret_cursor[NAME_PAGE_CURSOR_MAX + NAME_BYTES_MAX + 1])
{
	_cleanup_(freep) char *read = NULL;
	const struct step *step;
	const char *text, *name;
	int r;

	if (number < trail->first || number - trail->first >= trail->count)
		return -EINVAL;
	step = &trail->steps[number - trail->first];
	if (i >= step->count)
		return -EINVAL;
	text = step->text;
	if (!text) {
		read = malloc(step->len);
		if (!read)
			return -ENOMEM;
		r = read_step(trail, step, read);
		if (r < 0)
			return r;
		text = read;
	}
	name = text + strlen(text) + 1;
	while (i-- > 0)
		name += strlen(name) + 1;
	strcpy(stpcpy(ret_cursor, text), name);
	return 0;
}
