/* SPDX-License-Identifier: MIT */
/*
 * libfuse 3.14 does not know how to ask the kernel for two things that matter here, so the reply to
 * INIT, which goes through an own write function, has their bits added if the kernel offers them:
 * parallel look-ups in a directory, and writes that need no question about file capabilities first.
 */
#include "fs/session.h"

#include "fs/complain.h"
#include "fs/ops.h"
#include "fs/stats.h"
#include "fs/workers.h"
#include "lib/cleanup.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fuse.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <unistd.h>

/* All but one may wait for the router. */
#define THREADS_MAX 64

struct session {
	struct fuse_session *fuse;
	bool mounted;
};

#define WANTED_FLAGS (FUSE_PARALLEL_DIROPS | FUSE_HANDLE_KILLPRIV_V2)

/* INIT is the first request and is answered before any other is read. */
static struct {
	_Atomic uint64_t unique;
	_Atomic uint32_t offered;
	atomic_bool answered;
	void (*ready)(struct mount *mount);
	struct mount *mount;
} init_request;

static ssize_t session_read(int fd, void *data, size_t len, void *userdata)
{
	ssize_t n = read(fd, data, len);
	const struct fuse_in_header *header = data;
	const struct fuse_init_in *init = (const void *)(header + 1);

	(void)userdata;
	/* A connection that was cut ends the session as an unmount does; what is unsaved is still
	 * stored. */
	if (n < 0 && errno == ECONNABORTED)
		errno = ENODEV;
	if (n > 0)
		stats_operation_read(data, (size_t)n);
	if (init_request.unique == 0 && n >= (ssize_t)(sizeof(*header) + sizeof(*init)) &&
	    header->opcode == FUSE_INIT) {
		init_request.offered = init->flags;
		init_request.unique = header->unique;
	}
	return n;
}

static ssize_t write_init(int fd, const struct iovec *iov, int count)
{
	struct fuse_out_header *header = iov[0].iov_base;
	struct fuse_init_out init = { 0 };
	struct iovec copy[2] = { iov[0], { .iov_base = &init, .iov_len = iov[1].iov_len } };

	if (count != 2 || header->error != 0 || iov[1].iov_len > sizeof(init) ||
	    iov[1].iov_len < offsetof(struct fuse_init_out, flags) + sizeof(init.flags))
		return writev(fd, iov, count);
	memcpy(&init, iov[1].iov_base, iov[1].iov_len);
	init.flags |= WANTED_FLAGS & init_request.offered;
	return writev(fd, copy, 2);
}

static ssize_t session_writev(int fd, struct iovec *iov, int count, void *userdata)
{
	const struct fuse_out_header *header = iov[0].iov_base;

	(void)userdata;
	stats_operation_answered(header, iov[0].iov_len);
	if (!init_request.answered && header->unique == init_request.unique) {
		ssize_t n = write_init(fd, iov, count);

		init_request.answered = true;
		if (n > 0)
			init_request.ready(init_request.mount);
		return n;
	}
	return writev(fd, iov, count);
}

static int add(struct fuse_args *args, const char *option, const char *value)
{
	char *text = NULL;
	int r;

	if (asprintf(&text, "%s%s", option, value) < 0)
		return -ENOMEM;
	r = fuse_opt_add_arg(args, text);
	free(text);
	return r < 0 ? -ENOMEM : 0;
}

/* A comma would begin the next option. */
static int add_source(struct fuse_args *args, const char *source)
{
	char escaped[1024];
	size_t len = 0;

	for (; *source && len + 3 < sizeof(escaped); source++) {
		if (*source == ',' || *source == '\\')
			escaped[len++] = '\\';
		escaped[len++] = *source;
	}
	escaped[len] = '\0';
	return add(args, "-ofsname=", escaped);
}

static int add_options(struct fuse_args *args, const struct mount_options *options)
{
	int r = fuse_opt_add_arg(args, "hexkv-fs") < 0 ? -ENOMEM : 0;

	if (r == 0)
		r = add_source(args, options->fsname);
	if (r == 0)
		r = add(args, "-osubtype=", "hexkv");
	if (r == 0 && options->read_only)
		r = add(args, "-oro", "");
	if (r == 0 && options->allow_other)
		r = add(args, "-oallow_other", "");
	if (r == 0 && options->allow_root)
		r = add(args, "-oallow_root", "");
	if (r == 0 && options->default_permissions)
		r = add(args, "-odefault_permissions", "");
	if (r == 0 && *options->passed_on)
		r = add(args, "-o", options->passed_on);
	if (r == 0 && options->debug)
		r = add(args, "-d", "");
	return r;
}

/* What has been said to @fd as a part of a sentence: lines joined, without the names of programs.
 */
static void read_said(int fd, char *text, size_t size)
{
	static const char *const speakers[] = { "fusermount3: ", "fuse: ", "mount: " };
	ssize_t n = pread(fd, text, size - 1, 0);
	size_t len = n > 0 ? (size_t)n : 0;

	while (len > 0 && text[len - 1] == '\n')
		len--;
	text[len] = '\0';
	for (size_t i = 0; i < sizeof(speakers) / sizeof(speakers[0]); i++) {
		size_t speaker = strlen(speakers[i]);
		char *at;

		while ((at = strstr(text, speakers[i])))
			memmove(at, at + speaker, strlen(at + speaker) + 1);
	}
	for (char *at = text; *at; at++)
		if (*at == '\n')
			*at = ';';
	if (!*text)
		snprintf(text, size, "%s", "no reason is known");
}

/* libfuse and fusermount3 say themselves why they can't mount: what they say is caught, so that one
 * sentence can be made of it. */
static int mount_session(struct session *session, const char *mountpoint)
{
	_cleanup_(closep) int caught = memfd_create("hexkv-fs", MFD_CLOEXEC);
	_cleanup_(closep) int error_output = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 3);
	char text[512];
	int r;

	if (access("/dev/fuse", F_OK) < 0) {
		complain("there is no /dev/fuse; 'modprobe fuse' makes it, a container needs "
			 "--device /dev/fuse");
		return -ENODEV;
	}
	if (access("/dev/fuse", R_OK | W_OK) < 0) {
		complain("you may not use /dev/fuse (%s); root can change that with "
			 "'chmod 666 /dev/fuse'",
			 strerror(errno));
		return -EACCES;
	}
	if (caught >= 0 && error_output >= 0)
		dup2(caught, STDERR_FILENO);
	r = fuse_session_mount(session->fuse, mountpoint);
	if (error_output >= 0)
		dup2(error_output, STDERR_FILENO);
	if (r == 0)
		return 0;
	read_said(caught, text, sizeof(text));
	complain("'%s' can't be mounted on: %s", mountpoint, text);
	return -EIO;
}

int session_new(struct mount *mount, void (*ready)(struct mount *mount),
		struct session **ret_session)
{
	static const struct fuse_custom_io io = { .read = session_read, .writev = session_writev };
	struct fuse_args args = FUSE_ARGS_INIT(0, NULL);
	struct session *session = calloc(1, sizeof(*session));
	int r;

	if (!session)
		return -ENOMEM;
	r = add_options(&args, mount->options);
	if (r == 0) {
		session->fuse = fuse_session_new(&args, &ops_table, sizeof(ops_table), mount);
		r = session->fuse ? 0 : -EINVAL;
	}
	fuse_opt_free_args(&args);
	if (r == 0 && fuse_set_signal_handlers(session->fuse) < 0)
		r = -EIO;
	if (r < 0)
		complain("a FUSE session can't begin (%s)", strerror(-r));
	if (r == 0)
		r = mount_session(session, mount->options->mountpoint);
	if (r == 0) {
		init_request.ready = ready;
		init_request.mount = mount;
		session->mounted = true;
		atomic_store(&mount->forget.fd, fuse_session_fd(session->fuse));
		r = fuse_session_custom_io(session->fuse, &io, fuse_session_fd(session->fuse));
	}
	if (r < 0) {
		session_free(session);
		return r;
	}
	*ret_session = session;
	return 0;
}

int session_run(struct session *session)
{
	return workers_run(session->fuse, THREADS_MAX);
}

struct session *session_free(struct session *session)
{
	if (!session)
		return NULL;
	if (session->mounted)
		fuse_session_unmount(session->fuse);
	if (session->fuse) {
		/* A signal that comes while we end changes nothing; libfuse leaves what is not
		 * its own. */
		signal(SIGTERM, SIG_IGN);
		signal(SIGINT, SIG_IGN);
		signal(SIGHUP, SIG_IGN);
		fuse_remove_signal_handlers(session->fuse);
		fuse_session_destroy(session->fuse);
	}
	free(session);
	return NULL;
}
