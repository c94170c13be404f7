/* SPDX-License-Identifier: MIT */
/* The text of the file .stats: a line 'NAME VALUE' a figure, named as the samples of the router's
 * /metrics are. What never happened has no line. Threads: any. */
#pragma once

#include "fs/mount.h"
#include "lib/buf.h"

/* 0 or -ENOMEM. Asks the router nothing. */
int stats_text(struct mount *mount, struct buf *out);
