/* SPDX-License-Identifier: MIT */
/*
 * What a name in the mount's one directory stands for. The only place that knows which names are
 * temporary. Threads: immutable.
 */
#pragma once

#include <stddef.h>

#define NAME_BYTES_MAX 255

enum name_kind {
	NAME_KEY, /* lower-case hex of a key: a record */
	NAME_TEMPORARY, /* a volatile file, local to this mount */
	NAME_REFUSED, /* can't be stored: ENOENT on look-up, EPERM on create */
	NAME_TOO_LONG, /* ENAMETOOLONG */
};

enum name_kind name_classify(const char *name);
/* What to answer to an attempt to find or to make such a name: 0 for keys and temporaries. */
int name_lookup_error(enum name_kind kind);
int name_create_error(enum name_kind kind);
