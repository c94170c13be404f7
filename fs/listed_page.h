/* SPDX-License-Identifier: MIT */
/*
 * One page of names as the router told it. Ownership: reference-counted. Threads: any; immutable.
 */
#pragma once

#include "fs/interrupt.h"
#include "fs/names.h"
#include "fs/remote.h"
#include "lib/name_page.h"

#include <stdatomic.h>

struct listed_page {
	atomic_uint references;
	char *from; /* the cursor it was asked for with, NULL: the start */
	struct name_page lines; /* its prefix, and the cursor behind it ("": there is no more) */
	struct buf text;
	uint32_t *starts; /* of the lines, in the text; one more than there are names */
	size_t count;
	uint64_t asked_ms;
	uint64_t asked_at; /* of the remote's changes */
	struct remote_age age;
};

/* A name as its page tells it. */
struct listed_name {
	char name[NAME_BYTES_MAX + 1];
	struct remote_name record; /* its key is the name */
};

/* Whether something newer is known of a name, which the page tells in @version (NULL: which it does
 * not have). */
bool listed_page_is_behind(const struct listed_page *page, struct remote *remote, const char *name,
			   const struct version *version);

/* Asks the router. What remote_list() says; -EIO for what is no page. */
int listed_page_fetch(struct remote *remote, const char *from, const struct interrupt *interrupt,
		      struct listed_page **ret_page);
struct listed_page *listed_page_ref(struct listed_page *page);
struct listed_page *listed_page_unref(struct listed_page *page);

void listed_page_get(const struct listed_page *page, size_t i, struct listed_name *ret_name);
/* The name alone, not terminated. */
const char *listed_page_key(const struct listed_page *page, size_t i, size_t *ret_len);
/* Its index; -ENOENT. */
ssize_t listed_page_find(const struct listed_page *page, const char *name);
