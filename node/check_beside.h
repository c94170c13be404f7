/* SPDX-License-Identifier: MIT */
/* What a data directory holds beside the store, for store_check(). */
#pragma once

#include "node/vfs.h"

/* Verifies the checkpoints that were saved in @dir, and the diverged logs. 0 sound, 1 faults (each
 * was given to @problem), negative errno. */
int check_beside(struct vfs *vfs, const char *dir,
		 void (*problem)(const char *sentence, void *state), void *state);
