/* SPDX-License-Identifier: MIT */
/* The two clocks: monotonic for deadlines, real time for what people read. */
#pragma once

#include <stdint.h>

uint64_t clock_monotonic_ms(void);
uint64_t clock_monotonic_ns(void);
/* Since 1970, UTC. */
int64_t clock_realtime_ns(void);
