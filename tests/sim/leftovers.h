/* SPDX-License-Identifier: MIT */
/* Looks for files in a store's directory that the store does not know: a crash left them there, and
 * nobody would ever remove them. */
#pragma once

#include "node/store.h"

/* Right after an opening. True if there are none; otherwise a sentence in @why. */
bool leftovers_none(struct store *store, struct vfs *vfs, const char *dir, char *why,
		    size_t why_size);
