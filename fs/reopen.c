/* SPDX-License-Identifier: MIT */
#include "fs/reopen.h"

#include "lib/clock.h"

/* The kernel tries again at once, but a busy machine may take its time. */
#define AGAIN_WITHIN_MS 10000

void reopen_note(struct reopen *reopen, pid_t pid, struct reopen_file file, uint64_t since)
{
	size_t slot = (size_t)pid % REOPEN_SLOTS;

	/* A process of another name space has no number here. */
	if (pid <= 0)
		return;
	reopen->slots[slot].pid = pid;
	reopen->slots[slot].file = file;
	reopen->slots[slot].since = since;
	reopen->slots[slot].looked = REOPEN_NOT_LOOKED;
	reopen->slots[slot].at_ms = clock_monotonic_ms();
}

static bool expects(const struct reopen *reopen, pid_t pid, uint64_t st_ino)
{
	size_t slot = (size_t)pid % REOPEN_SLOTS;

	return pid > 0 && reopen->slots[slot].pid == pid &&
	       reopen->slots[slot].file.st_ino == st_ino &&
	       clock_monotonic_ms() - reopen->slots[slot].at_ms <= AGAIN_WITHIN_MS;
}

bool reopen_looks(struct reopen *reopen, pid_t pid, uint64_t st_ino, bool found)
{
	if (!expects(reopen, pid, st_ino))
		return false;
	reopen->slots[(size_t)pid % REOPEN_SLOTS].looked = found ? REOPEN_FOUND : REOPEN_NOT_FOUND;
	return true;
}

enum reopen_try reopen_take(struct reopen *reopen, pid_t pid, struct reopen_file file,
			    uint64_t *ret_since)
{
	size_t slot = (size_t)pid % REOPEN_SLOTS;
	bool expected = expects(reopen, pid, file.st_ino);
	enum reopen_try try = REOPEN_FIRST;

	if (pid <= 0 || reopen->slots[slot].pid != pid)
		return REOPEN_FIRST;
	reopen->slots[slot].pid = 0;
	if (expected && reopen->slots[slot].looked == REOPEN_FOUND)
		try = REOPEN_BY_NAME;
	else if (expected && reopen->slots[slot].looked == REOPEN_NOT_LOOKED &&
		 reopen->slots[slot].file.birth == file.birth)
		try = REOPEN_PAST_NAME;
	if (try != REOPEN_FIRST)
		*ret_since = reopen->slots[slot].since;
	return try;
}

void reopen_forget(struct reopen *reopen, pid_t pid)
{
	size_t slot = (size_t)pid % REOPEN_SLOTS;

	if (pid > 0 && reopen->slots[slot].pid == pid)
		reopen->slots[slot].pid = 0;
}
