/* SPDX-License-Identifier: MIT */
/* What this process has used, as the system counts it. Threads: the caller serialises. */
#pragma once

#include <stdint.h>

uint64_t resources_written(void); /* bytes given to write(2) and its like */
uint64_t resources_memory(void); /* resident bytes; pages of mapped files are not its own */
uint64_t resources_disk(const char *dir); /* bytes of all files below it */

/* Waits until the process does nothing any more: its threads have ended what they had to do. */
void resources_settle(void);
/* What is read below @dir next comes from the disk. */
void resources_cool(const char *dir);
