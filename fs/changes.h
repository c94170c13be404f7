/* SPDX-License-Identifier: MIT */
/*
 * Which names were changed through this mount, or asked about one by one, and when, so that a page
 * of names that was asked for before is not believed about them any more. May say so of a name that
 * shares a slot with one. Threads: any; no locks.
 */
#pragma once

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#define CHANGES_SLOTS 32768

struct changes {
	_Atomic uint64_t count;
	_Atomic uint64_t last[CHANGES_SLOTS]; /* by hash of the name */
};

/* Something newer is known of @name from now on. For a change: both before and behind it, since a
 * page that was asked for in between may show either state. */
void changes_note(struct changes *changes, const char *name);
/* The moment before a page is asked for. */
uint64_t changes_now(struct changes *changes);
bool changes_since(struct changes *changes, const char *name, uint64_t then);
