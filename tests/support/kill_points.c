/* SPDX-License-Identifier: MIT */
/*
 * hexkv-node-dying is hexkv-node in which every call that changes the disk goes through here (the
 * linker's --wrap, see meson.build):
 *   HEXKV_DIE_AT=N      the process is killed at the N-th of them: before it, behind it, or, if it
 *                       is a write, in the middle of it, by turns;
 *   HEXKV_FAIL_SYNC=N   the N-th sync of a file's data fails with EIO.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/uio.h>
#include <unistd.h>

ssize_t __real_pwritev64(int fd, const struct iovec *parts, int count, off_t offset);
ssize_t __real_pwrite64(int fd, const void *data, size_t len, off_t offset);
int __real_fdatasync(int fd);
int __real_fsync(int fd);
int __real_rename(const char *from, const char *to);
int __real_link(const char *from, const char *to);
int __real_unlink(const char *path);
int __real_fallocate64(int fd, int mode, off_t offset, off_t len);
int __real_ftruncate64(int fd, off_t len);

ssize_t __wrap_pwritev64(int fd, const struct iovec *parts, int count, off_t offset);
ssize_t __wrap_pwrite64(int fd, const void *data, size_t len, off_t offset);
int __wrap_fdatasync(int fd);
int __wrap_fsync(int fd);
int __wrap_rename(const char *from, const char *to);
int __wrap_link(const char *from, const char *to);
int __wrap_unlink(const char *path);
int __wrap_fallocate64(int fd, int mode, off_t offset, off_t len);
int __wrap_ftruncate64(int fd, off_t len);

enum moment { NOT_NOW, BEFORE, BEHIND, WITHIN };

static _Atomic long calls, syncs;

static long number_of(const char *name)
{
	const char *text = getenv(name);

	return text ? strtol(text, NULL, 10) : 0;
}

static void die(void)
{
	kill(getpid(), SIGKILL);
	for (;;)
		pause();
}

static enum moment next_call(void)
{
	static const enum moment turns[] = { BEFORE, BEHIND, WITHIN };
	long at = number_of("HEXKV_DIE_AT");

	if (at == 0 || ++calls != at)
		return NOT_NOW;
	if (turns[at % 3] == BEFORE)
		die();
	return turns[at % 3];
}

/* The result of a call that has been made. */
#define DIE_BEHIND(moment, type, call)                                                             \
	do {                                                                                       \
		type result_ = (call);                                                             \
		if ((moment) != NOT_NOW)                                                           \
			die();                                                                     \
		return result_;                                                                    \
	} while (0)

ssize_t __wrap_pwritev64(int fd, const struct iovec *parts, int count, off_t offset)
{
	enum moment moment = next_call();

	if (moment == WITHIN && count > 0) {
		__real_pwrite64(fd, parts[0].iov_base, parts[0].iov_len / 2, offset);
		die();
	}
	DIE_BEHIND(moment, ssize_t, __real_pwritev64(fd, parts, count, offset));
}

ssize_t __wrap_pwrite64(int fd, const void *data, size_t len, off_t offset)
{
	enum moment moment = next_call();

	if (moment == WITHIN) {
		__real_pwrite64(fd, data, len / 2, offset);
		die();
	}
	DIE_BEHIND(moment, ssize_t, __real_pwrite64(fd, data, len, offset));
}

int __wrap_fdatasync(int fd)
{
	enum moment moment = next_call();

	if (number_of("HEXKV_FAIL_SYNC") > 0 && ++syncs == number_of("HEXKV_FAIL_SYNC")) {
		errno = EIO;
		return -1;
	}
	DIE_BEHIND(moment, int, __real_fdatasync(fd));
}

int __wrap_fsync(int fd)
{
	DIE_BEHIND(next_call(), int, __real_fsync(fd));
}

int __wrap_rename(const char *from, const char *to)
{
	DIE_BEHIND(next_call(), int, __real_rename(from, to));
}

int __wrap_link(const char *from, const char *to)
{
	DIE_BEHIND(next_call(), int, __real_link(from, to));
}

int __wrap_unlink(const char *path)
{
	DIE_BEHIND(next_call(), int, __real_unlink(path));
}

int __wrap_fallocate64(int fd, int mode, off_t offset, off_t len)
{
	DIE_BEHIND(next_call(), int, __real_fallocate64(fd, mode, offset, len));
}

int __wrap_ftruncate64(int fd, off_t len)
{
	DIE_BEHIND(next_call(), int, __real_ftruncate64(fd, len));
}
