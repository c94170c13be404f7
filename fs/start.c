/* SPDX-License-Identifier: MIT */
/*
 * The command forks before there are threads. The child mounts and reports; the parent then asks
 * the mounted file system itself, so that it returns only when that has answered.
 */
#include "fs/start.h"

#include "lib/cleanup.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static int wait_for_mount(const struct mount_options *options, int report_fd)
{
	struct stat st;
	uint8_t status = 1;
	ssize_t n;

	do
		n = read(report_fd, &status, 1);
	while (n < 0 && errno == EINTR);
	if (n <= 0)
		return 1;
	if (status != 0)
		return status;
	if (stat(options->mountpoint, &st) < 0) {
		fprintf(stderr, "hexkv-fs: the mount at '%s' does not answer (%s)\n",
			options->mountpoint, strerror(errno));
		return 1;
	}
	return 0;
}

int start_begin(const struct mount_options *options, struct start *ret_start, int *ret_exit)
{
	int ends[2];
	pid_t pid;

	ret_start->report_fd = -1;
	if (options->foreground)
		return 0;
	if (pipe2(ends, O_CLOEXEC) < 0)
		return -errno;
	pid = fork();
	if (pid < 0) {
		int r = -errno;

		close(ends[0]);
		close(ends[1]);
		return r;
	}
	if (pid > 0) {
		close(ends[1]);
		*ret_exit = wait_for_mount(options, ends[0]);
		close(ends[0]);
		return 1;
	}
	close(ends[0]);
	setsid();
	ret_start->report_fd = ends[1];
	return 0;
}

/* Whoever reads our output must see its end when the command ends. */
static void leave_terminal(void)
{
	_cleanup_(closep) int fd = open("/dev/null", O_RDWR | O_CLOEXEC);

	if (fd < 0)
		return;
	dup2(fd, STDIN_FILENO);
	dup2(fd, STDOUT_FILENO);
	if (isatty(STDERR_FILENO) || fcntl(STDERR_FILENO, F_GETFL) < 0)
		dup2(fd, STDERR_FILENO);
}

void start_report(struct start *start, int status)
{
	uint8_t byte = (uint8_t)status;

	if (start->report_fd < 0)
		return;
	if (status == 0)
		leave_terminal();
	/* If the command is gone there is nobody to tell. */
	(void)!write(start->report_fd, &byte, 1);
	close(start->report_fd);
	start->report_fd = -1;
}
