/* SPDX-License-Identifier: MIT */
#include "tests/mount/site.h"

#include "lib/clock.h"
#include "tests/mount/report.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define PATIENCE_MS 60000

static pid_t run(char *const arguments[], const char *log)
{
	pid_t parent = getpid(), pid = fork();

	if (pid != 0)
		return pid;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != parent)
		_exit(127);
	if (log) {
		int fd = open(log, O_WRONLY | O_CREAT | O_APPEND, 0600);

		if (fd >= 0)
			dup2(fd, STDERR_FILENO);
	}
	execvp(arguments[0], arguments);
	_exit(127);
}

static int wait_for(pid_t pid)
{
	int status = 0;

	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		continue;
	return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

static void take_off(const struct site *site, bool lazily)
{
	char *const arguments[] = { (char[]){ "fusermount3" }, (char[]){ "-u" },
				    lazily ? (char[]){ "-z" } : (char[]){ "-q" },
				    (char *)site->path, NULL };

	(void)wait_for(run(arguments, "/dev/null"));
}

static dev_t device_of(const char *path)
{
	struct stat st;

	return stat(path, &st) < 0 ? 0 : st.st_dev;
}

static int begin(struct site *site)
{
	uint64_t deadline_ms = clock_monotonic_ms() + PATIENCE_MS;
	dev_t before = device_of(site->path);
	char *const arguments[] = { (char *)site->program,
				    (char *)site->url,
				    site->path,
				    (char[]){ "-f" },
				    site->options ? (char[]){ "-o" } : NULL,
				    (char *)site->options,
				    NULL };

	site->pid = run(arguments, site->log);
	while (device_of(site->path) == before) {
		if (clock_monotonic_ms() > deadline_ms)
			return -ETIMEDOUT;
		if (waitpid(site->pid, NULL, WNOHANG) > 0) {
			site->pid = 0;
			return -ECHILD;
		}
		poll(NULL, 0, 2);
	}
	return 0;
}

static int end(struct site *site, enum site_end how)
{
	int status;

	if (how == SITE_UNMOUNT)
		take_off(site, false);
	else
		kill(site->pid, how == SITE_TERMINATE ? SIGTERM : SIGKILL);
	status = wait_for(site->pid);
	site->pid = 0;
	if (how == SITE_KILL)
		take_off(site, true);
	return status;
}

struct order {
	unsigned site;
	int how; /* -1: begin */
};

/* Until the caller has gone. */
_Noreturn static void keep(struct site *sites, unsigned count, int fd)
{
	struct order order;

	/* A terminal's signals are for the caller. */
	setsid();
	while (recv(fd, &order, sizeof(order), 0) == (ssize_t)sizeof(order)) {
		struct site *site = &sites[order.site];
		int result = order.how < 0 ? begin(site) : end(site, (enum site_end)order.how);

		(void)!write(fd, &result, sizeof(result));
	}
	for (unsigned i = 0; i < count; i++)
		if (sites[i].pid > 0)
			(void)end(&sites[i], SITE_KILL);
	_exit(0);
}

static int keeper_fd = -1;
static pid_t keeper_pid;

static void end_keeper(void)
{
	close(keeper_fd);
	(void)wait_for(keeper_pid);
}

void sites_keep(struct site *sites, unsigned count)
{
	int ends[2];

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) < 0)
		report_fail("socketpair: %s", strerror(errno));
	keeper_pid = fork();
	if (keeper_pid < 0)
		report_fail("fork: %s", strerror(errno));
	if (keeper_pid == 0) {
		close(ends[0]);
		keep(sites, count, ends[1]);
	}
	close(ends[1]);
	keeper_fd = ends[0];
	atexit(end_keeper);
}

static int give_order(unsigned site, int how)
{
	struct order order = { .site = site, .how = how };
	int result;

	if (send(keeper_fd, &order, sizeof(order), MSG_NOSIGNAL) < 0 ||
	    recv(keeper_fd, &result, sizeof(result), 0) != (ssize_t)sizeof(result))
		report_fail("the process that mounts has gone");
	return result;
}

void site_begin(unsigned site)
{
	int r = give_order(site, -1);

	if (r < 0)
		report_fail("mount %u did not begin (%s)", site, strerror(-r));
}

int site_end(unsigned site, enum site_end how)
{
	return give_order(site, (int)how);
}

void sites_begin(struct site *sites, unsigned count, const struct site *like, const char *dir,
		 const char *name)
{
	for (unsigned i = 0; i < count; i++) {
		sites[i] = *like;
		snprintf(sites[i].path, sizeof(sites[i].path), "%s/%s-%u", dir, name, i);
		snprintf(sites[i].log, sizeof(sites[i].log), "%s/%s-%u.log", dir, name, i);
		mkdir(sites[i].path, 0700);
	}
	sites_keep(sites, count);
	for (unsigned i = 0; i < count; i++)
		site_begin(i);
}

void sites_end(const struct site *sites, unsigned count)
{
	for (unsigned i = 0; i < count; i++)
		if (site_end(i, SITE_TERMINATE) != 0)
			report_fail("the mount did not end well: %s", sites[i].log);
}
