/* SPDX-License-Identifier: MIT */
/*
 * The kernel does not say why it looks a name up, but while it waits for the answer /proc shows the
 * system call that the thread is in.
 *
 * The numbers are those of this program's kind. A process of another kind (32 bits) has others, but
 * none of its calls by the same number looks a name up. A worker of io_uring shows the call that
 * its maker was in, and an instruction pointer of 0. openat2() has its flags in memory: not seen.
 */
#include "fs/asker.h"

#include "lib/cleanup.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

enum {
	LINE_NUMBER,
	LINE_ARGUMENTS,
	LINE_STACK = LINE_ARGUMENTS + 6,
	LINE_INSTRUCTION,
	LINE_COUNT,
};

/* "NUMBER ARGUMENT*6 STACK INSTRUCTION"; "running" and lines of threads outside of a call are
 * shorter. */
static bool parse_line(const char *line, unsigned long long ret_fields[LINE_COUNT])
{
	for (int i = 0; i < LINE_COUNT; i++) {
		char *end;

		ret_fields[i] = strtoull(line, &end, i == LINE_NUMBER ? 10 : 16);
		if (end == line)
			return false;
		line = end;
	}
	return true;
}

bool asker_line_creates_exclusively(const char *line)
{
	unsigned long long fields[LINE_COUNT];
	int flags;

	if (!parse_line(line, fields) || fields[LINE_INSTRUCTION] == 0)
		return false;
	if (fields[LINE_NUMBER] == SYS_openat)
		flags = (int)fields[LINE_ARGUMENTS + 2];
#ifdef SYS_open
	else if (fields[LINE_NUMBER] == SYS_open)
		flags = (int)fields[LINE_ARGUMENTS + 1];
#endif
	else
		return false;
	return (flags & (O_CREAT | O_EXCL)) == (O_CREAT | O_EXCL) && !(flags & O_PATH);
}

static bool proc_is_ours;

/* In a container /proc may be that of another name space, with other numbers. */
static void look_at_proc(void)
{
	char target[32];
	ssize_t len = readlink("/proc/self", target, sizeof(target) - 1);

	if (len <= 0)
		return;
	target[len] = '\0';
	proc_is_ours = atoi(target) == (int)getpid();
}

bool asker_creates_exclusively(pid_t pid)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;
	_cleanup_(closep) int fd = -1;
	char path[64], line[256];
	ssize_t len;

	pthread_once(&once, look_at_proc);
	/* The kernel does not say who asks, or not in our name space. */
	if (!proc_is_ours || pid <= 0)
		return false;
	snprintf(path, sizeof(path), "/proc/%d/syscall", (int)pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return false;
	len = read(fd, line, sizeof(line) - 1);
	if (len <= 0)
		return false;
	line[len] = '\0';
	return asker_line_creates_exclusively(line);
}
