/* SPDX-License-Identifier: MIT */
#include "fs/reopen.h"

#include "lib/clock.h"

/* The kernel tries again at once, but a busy machine may take its time. */
#define AGAIN_WITHIN_MS 10000

void reopen_note(struct reopen *reopen, pid_t pid, uint64_t st_ino, uint64_t since)
{
	size_t slot = (size_t)pid % REOPEN_SLOTS;

	/* A process of another name space has no number here. */
	if (pid <= 0)
		return;
	reopen->slots[slot].pid = pid;
	reopen->slots[slot].st_ino = st_ino;
	reopen->slots[slot].since = since;
	reopen->slots[slot].looked = false;
	reopen->slots[slot].at_ms = clock_monotonic_ms();
}

static bool expects(const struct reopen *reopen, pid_t pid, uint64_t st_ino)
{
	size_t slot = (size_t)pid % REOPEN_SLOTS;

	return pid > 0 && reopen->slots[slot].pid == pid && reopen->slots[slot].st_ino == st_ino &&
	       clock_monotonic_ms() - reopen->slots[slot].at_ms <= AGAIN_WITHIN_MS;
}

bool reopen_looks(struct reopen *reopen, pid_t pid, uint64_t st_ino, bool found)
{
	if (!expects(reopen, pid, st_ino))
		return false;
	reopen->slots[(size_t)pid % REOPEN_SLOTS].looked = found;
	return true;
}

bool reopen_take(struct reopen *reopen, pid_t pid, uint64_t st_ino, uint64_t *ret_since)
{
	size_t slot = (size_t)pid % REOPEN_SLOTS;
	bool expected = expects(reopen, pid, st_ino) && reopen->slots[slot].looked;

	if (pid <= 0 || reopen->slots[slot].pid != pid)
		return false;
	reopen->slots[slot].pid = 0;
	if (expected)
		*ret_since = reopen->slots[slot].since;
	return expected;
}

void reopen_forget(struct reopen *reopen, pid_t pid)
{
	size_t slot = (size_t)pid % REOPEN_SLOTS;

	if (pid > 0 && reopen->slots[slot].pid == pid)
		reopen->slots[slot].pid = 0;
}
