/* SPDX-License-Identifier: MIT */
/*
 * The command forks before there are threads. The child mounts and reports; the parent then asks
 * the mounted file system itself, so that it returns only when that has answered.
 */
#include "fs/start.h"

#include "fs/complain.h"
#include "fs/mountpoint.h"
#include "lib/cleanup.h"
#include "lib/log.h"

#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
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
	if (n <= 0) {
		complain("the program in the background ended before it had mounted '%s'",
			 options->mountpoint);
		return 1;
	}
	if (status != 0)
		return status;
	if (stat(options->mountpoint, &st) < 0) {
		complain("the mount at '%s' does not answer (%s) and is taken off again",
			 options->mountpoint, strerror(errno));
		mountpoint_detach(options->mountpoint);
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

/* Whoever reads our output must see its end when the command ends; a file, or the socket of a
 * service manager's log, goes on. */
static void leave_terminal(void)
{
	_cleanup_(closep) int fd = open("/dev/null", O_RDWR | O_CLOEXEC);
	struct stat st;

	if (fd < 0)
		return;
	dup2(fd, STDIN_FILENO);
	dup2(fd, STDOUT_FILENO);
	if (fstat(STDERR_FILENO, &st) < 0 || !(S_ISREG(st.st_mode) || S_ISSOCK(st.st_mode)))
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

void start_notify(const char *state)
{
	const char *path = getenv("NOTIFY_SOCKET");
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	_cleanup_(closep) int fd = -1;
	size_t len = path ? strlen(path) : 0;

	if (len == 0 || len >= sizeof(address.sun_path))
		return;
	memcpy(address.sun_path, path, len);
	/* A name that is no file's. */
	if (path[0] == '@')
		address.sun_path[0] = '\0';
	fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0 || sendto(fd, state, strlen(state), MSG_NOSIGNAL | MSG_DONTWAIT,
			     (const struct sockaddr *)&address,
			     (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len)) < 0)
		log_warn("service manager can't be told", "state=%s error=%d", state, errno);
}
