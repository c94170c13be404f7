/* SPDX-License-Identifier: MIT */
/*
 * Memory that runs out at the N-th request. Programs that link this with the linker's --wrap (see
 * meson.build) get all their memory from here, but for the libraries.
 *
 * Threads: one.
 */
#pragma once

#include <stdint.h>

/* The @nth request from now (1 = the next) is refused, and so are @times - 1 behind it. */
void failing_memory_set(uint64_t nth, uint64_t times);
/* No more is refused. How many were. */
uint64_t failing_memory_stop(void);
