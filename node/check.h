/* SPDX-License-Identifier: MIT */
/* hexkv-node --check DIR. */
#pragma once

/* Verifies every byte of a closed data directory and prints each fault to standard output. The
 * program's exit status: 0 only if it is sound. */
int check_run(const char *dir);
