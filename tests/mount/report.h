/* SPDX-License-Identifier: MIT */
/* What was done last, for the report of a failure. Threads: any. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

void report_init(uint64_t seed, bool trace);
/* The step that what is noted from now on belongs to. */
void report_step(uint64_t step);
void report_note(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* Prints the seed, the step and what was done last, and ends the process. */
_Noreturn void report_fail(const char *format, ...) __attribute__((format(printf, 1, 2)));
