/* SPDX-License-Identifier: MIT */
#include "fs/names.h"

#include "lib/record.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>

/*
 * The names under which programs write a file before they rename it over a key, or keep one beside
 * it. %n is a key's hex, %x a letter or digit, %w one or an underscore, %? any character, %* the
 * rest; everything else stands for itself.
 */
/* clang-format off */
static const char *const temporary_names[] = {
	/* being written, to be renamed over a key */
	".%n.%x%x%x%x%x%x", /* rsync */
	"sed%x%x%x%x%x%x", /* sed -i */
	"XX%x%x%x%x%x%x", /* perl -i */
	"tmp%w%w%w%w%w%w%w%w", /* Python's tempfile */
	"tmp.%x%x%x%x%x%x%x%x%x%x", /* mktemp */
	".goutputstream-%x%x%x%x%x%x", /* GNOME's editors */
	"%n.tmp%*",
	".tmp%*",
	".fuse_hidden%*",
	/* kept beside a key */
	"%n~", /* editors' backup */
	".%n.sw%?", /* vim's swap file */
	".%n.sw%?x",
	".%n.un~", /* vim's undo file */
	"#%n#", /* Emacs's unsaved changes */
	".#%n", /* Emacs's lock */
	".#-emacs%x%x%x%x%x%x",
	"%n-journal", /* SQLite */
	"%n-wal",
	"%n-shm",
};
/* clang-format on */

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
		case 'w':
			if (!is_alphanumeric(*name) && *name != '_')
				return false;
			name++;
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
