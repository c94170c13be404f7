/* SPDX-License-Identifier: MIT */
/*
 * The pages of names that were listed last, so that a stat of what was just listed needs no request
 * of its own: programs like find read a hundred thousand names before they look at the first.
 *
 * Ownership: holds references to pages. Threads: locks itself.
 */
#pragma once

#include "fs/listed_page.h"

struct listed;

int listed_new(struct listed **ret_listed);
struct listed *listed_free(struct listed *listed);
/* Instead of one that began where it does. */
void listed_add(struct listed *listed, struct listed_page *page);
/* The newest page with @name: true, with a reference for the caller. */
bool listed_find(struct listed *listed, const char *name, struct listed_name *ret_name,
		 struct listed_page **ret_page);
/* A name was wanted whose page is too old. True if that comes so often and so fast that its whole
 * page is worth asking for again. */
bool listed_too_old(struct listed *listed);
/* Somebody opens what he looks up: that needs a request of its own anyway. */
void listed_opened(struct listed *listed);
