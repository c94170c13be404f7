/* SPDX-License-Identifier: MIT */
#include "fs/absent.h"

#include "lib/clock.h"

#include <stddef.h>

#define WITHIN_MS 1000

void absent_note(struct absent *absent, pid_t pid, uint64_t st_ino)
{
	size_t slot = (size_t)pid % ABSENT_SLOTS;

	/* A process of another name space has no number here. */
	if (pid <= 0)
		return;
	absent->slots[slot].pid = pid;
	absent->slots[slot].st_ino = st_ino;
	absent->slots[slot].at_ms = clock_monotonic_ms();
}

bool absent_take(struct absent *absent, pid_t pid, uint64_t st_ino)
{
	size_t slot = (size_t)pid % ABSENT_SLOTS;

	if (pid <= 0 || absent->slots[slot].pid != pid)
		return false;
	absent->slots[slot].pid = 0;
	return absent->slots[slot].st_ino == st_ino &&
	       clock_monotonic_ms() - absent->slots[slot].at_ms < WITHIN_MS;
}
