/* SPDX-License-Identifier: MIT */
/*
 * The cluster's space, for statfs: asked for in the background, now and then and when somebody
 * looks, so that nobody waits for it.
 * Threads: any.
 */
#pragma once

#include "fs/answer.h"
#include "fs/remote.h"

struct space;

/* Starts the thread that asks. */
int space_new(struct remote *remote, struct space **ret_space);
struct space *space_free(struct space *space);
/* The last figures known, or made-up ample ones while none are (copy tools refuse where nothing is
 * free), and a push for newer ones if they are old. A full cluster shows none free. */
void space_get(struct space *space, struct space_figures *ret_figures);
uint64_t space_free_bytes(struct space *space);
