/* SPDX-License-Identifier: MIT */
#include "fs/names.h"

#include "lib/record.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>

/*
 * The names under which programs write a file before they rename it over a key, or keep one beside
 * it. %n is a key's hex, %x a letter or digit, %? any character, %* the rest; everything else
 * stands for itself.
 */
static const char *const temporary_names[] = {
	".%n.%x%x%x%x%x%x", /* rsync */
	".%n.sw%?", /* vim's swap file */
	".%n.sw%?x",        ".tmp%*", ".fuse_hidden%*", "%n~", /* editors' backup */
	"%n-journal", /* sqlite */
	"%n-wal",           "%n-shm", "%n.tmp%*",       "sed%x%x%x%x%x%x", /* sed -i */
	"XX%x%x%x%x%x%x", /* perl -i */
};

static bool is_hex_digit(char c)
{
	return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f');
}

static bool is_alphanumeric(char c)
{
	return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

/* Length of the key's hex at the start of @name, 0 if there is none. */
static size_t key_prefix(const char *name)
{
	size_t len = 0;

	while (is_hex_digit(name[len]))
		len++;
	return len % 2 == 0 && len <= KEY_HEX_MAX ? len : 0;
}

static bool matches(const char *pattern, const char *name)
{
	for (; *pattern; pattern++) {
		if (*pattern != '%') {
			if (*name++ != *pattern)
				return false;
			continue;
		}
		switch (*++pattern) {
		case '*':
			return true;
		case 'n': {
			size_t len = key_prefix(name);

			if (len == 0)
				return false;
			name += len;
			break;
		}
		case 'x':
			if (!is_alphanumeric(*name++))
				return false;
			break;
		default:
			if (*name++ == '\0')
				return false;
		}
	}
	return *name == '\0';
}

enum name_kind name_classify(const char *name)
{
	size_t len = strlen(name);

	if (len > NAME_BYTES_MAX)
		return NAME_TOO_LONG;
	if (len > 0 && key_prefix(name) == len)
		return NAME_KEY;
	for (size_t i = 0; i < sizeof(temporary_names) / sizeof(temporary_names[0]); i++)
		if (matches(temporary_names[i], name))
			return NAME_TEMPORARY;
	return NAME_REFUSED;
}

int name_lookup_error(enum name_kind kind)
{
	if (kind == NAME_TOO_LONG)
		return -ENAMETOOLONG;
	return kind == NAME_REFUSED ? -ENOENT : 0;
}

int name_create_error(enum name_kind kind)
{
	if (kind == NAME_TOO_LONG)
		return -ENAMETOOLONG;
	return kind == NAME_REFUSED ? -EPERM : 0;
}
