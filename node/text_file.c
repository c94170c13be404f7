/* SPDX-License-Identifier: MIT */
#include "node/text_file.h"

#include "lib/hash.h"
#include "lib/hex.h"
#include "node/atomic_file.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BYTES_MAX 2048

int text_file_take(const char **at, const char *name, char *ret_value, size_t size)
{
	const char *end = strchr(*at, '\n');
	size_t name_len = strlen(name), len;

	if (!end || strncmp(*at, name, name_len) != 0 || (*at)[name_len] != ' ')
		return -EBADMSG;
	*at += name_len + 1;
	if (end < *at)
		return -EBADMSG;
	len = (size_t)(end - *at);
	if (len >= size)
		return -EBADMSG;
	memcpy(ret_value, *at, len);
	ret_value[len] = '\0';
	*at = end + 1;
	return 0;
}

int text_file_take_number(const char **at, const char *name, int base, uint64_t *ret_number)
{
	const char *digits = base == 16 ? "0123456789abcdef" : "0123456789";
	char text[24];
	int r = text_file_take(at, name, text, sizeof(text));

	if (r < 0)
		return r;
	if (!*text || text[strspn(text, digits)])
		return -EBADMSG;
	errno = 0;
	*ret_number = strtoull(text, NULL, base);
	return errno == 0 ? 0 : -EBADMSG;
}

int text_file_take_head(const char **at, uint8_t ret_store_id[16])
{
	char format[32], features[32], store[40];
	int r;

	r = text_file_take(at, "format", format, sizeof(format));
	if (r == 0)
		r = text_file_take(at, "features", features, sizeof(features));
	if (r == 0 && (strcmp(format, "1") != 0 || strcmp(features, "0") != 0))
		return -EPROTONOSUPPORT;
	if (r == 0)
		r = text_file_take(at, "store", store, sizeof(store));
	if (r == 0 && (strlen(store) != 32 || hex_decode(store, 32, ret_store_id) < 0))
		r = -EBADMSG;
	return r;
}

static int check_hash(const char *text)
{
	const char *line = strstr(text, "\nhash ");
	char expect[17];

	if (!line)
		return -EBADMSG;
	line++;
	snprintf(expect, sizeof(expect), "%016" PRIx64, hash64(text, (size_t)(line - text), 0));
	if (strncmp(line + 5, expect, 16) != 0 || strcmp(line + 21, "\n") != 0)
		return -EBADMSG;
	return 0;
}

int text_file_read(struct vfs *vfs, const char *dir, const char *name, const char *first,
		   struct buf *ret_text)
{
	int r = atomic_file_read(vfs, dir, name, BYTES_MAX, ret_text);

	if (r == -EFBIG)
		r = -EBADMSG;
	if (r == 0)
		r = buf_append_u8(ret_text, 0);
	if (r == 0 && strlen((char *)ret_text->data) + 1 != ret_text->len)
		r = -EBADMSG;
	if (r == 0)
		r = check_hash((char *)ret_text->data);
	if (r == 0 && strncmp((char *)ret_text->data, first, strlen(first)) != 0)
		r = -EBADMSG;
	return r;
}

int text_file_write(struct vfs *vfs, const char *dir, const char *name, struct buf *text)
{
	int r = buf_printf(text, "hash %016" PRIx64 "\n", hash64(text->data, text->len, 0));

	return r < 0 ? r : atomic_file_write(vfs, dir, name, text->data, text->len);
}
