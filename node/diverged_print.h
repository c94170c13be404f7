/* SPDX-License-Identifier: MIT */
/* hexkv-node --diverged FILE: what a diverged log holds, for the operator who wants it back. */
#pragma once

#include "node/vfs.h"

#include <stdio.h>

/*
 * One JSON object a line, in the order in which the writes were made:
 *   what PUT / takes, for a record that fits there;
 *   {"key":..,"deleted":true};
 *   {"key":..,"content_type":..,"encoding":..,"size":..,"value_file":PATH} for one that does not:
 *   its bytes are written to a file of their own in @values_dir (made if missing; without one there
 *   is no value_file, and it counts as left out);
 *   the same with "damaged":true instead of the file, if the value was damaged when it was saved.
 * The program's exit status: 0 everything was printed; 1 something was left out, the file is
 * damaged or can't be written, as sentences on stderr say; 2 it is not there, or no diverged log.
 */
int diverged_print(struct vfs *vfs, const char *path, const char *values_dir, FILE *out);
