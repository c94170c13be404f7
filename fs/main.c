/* SPDX-License-Identifier: MIT */
/*
 * hexkv-fs: mounts a hexkv cluster. The files, from the kernel inwards:
 *
 *   main.c           start and end
 *   mount_options.c  the command line
 *   start.c          going into the background
 *   session.c        the FUSE session and its threads
 *   ops.c            table of operations, attributes; ops_name.c, ops_attr.c, ops_data.c,
 *                    ops_xattr.c, ops_dir.c: the operations
 *   ops_stats.c      the file .stats; stats.c: what is counted, latency.c: how long it took,
 *                    stats_text.c: its text
 *   listing.c        the names of the directory, page by page
 *   handle.c         an open file; still_open.c: whether its process goes on with it
 *   create.c, unlink.c, rename.c  files by name
 *   content.c        a file's content: reading, changing; save.c: storing it
 *   meta.c           content_type, encoding, mtime
 *   resolve.c        from a name to the version that it stands for now
 *   reopen.c         opens that try again; absent.c, asker.c: creates that need no look-up
 *   inode.c          what the kernel's node ids stand for
 *   names.c          keys, temporary names, and names that are refused
 *   upload.c         sending content while it is written
 *   staging.c        changed content until it is stored; scratch.c: its bytes
 *   value.c          small values
 *   reader.c         ranged reads ahead; prefetch.c: the threads that do it
 *   space.c          the cluster's space, for df
 *   remote.c         typed requests to the router; remote_list.c: those about all records;
 *                    remote_call.c, request.c: one request, repeated
 */
#include "fs/save.h"
#include "fs/session.h"
#include "fs/start.h"
#include "lib/cleanup.h"
#include "lib/clock.h"
#include "lib/http_client.h"
#include "lib/log.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#define CONNECTIONS_MAX     76 /* a thread of the session each, and the others */
#define PREFETCH_THREADS    4
#define PREFETCH_BLOCKS_MAX 48
#define UPLOAD_THREADS      4
#define UPLOAD_BEGIN_BYTES  (4 * 1024 * 1024)
#define UPLOAD_IDLE_MS      20000 /* the router gives up after 30 s */
#define FIRST_TRY_MS        5000

static struct mount mount;

/* What the inherited ones refer to would stay busy for as long as the mount lives. */
static void close_inherited(void)
{
	close_range(3, ~0U, 0);
}

/* Every file with unsaved content needs a descriptor. */
static void raise_file_limit(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
		return;
	limit.rlim_cur = limit.rlim_max;
	(void)setrlimit(RLIMIT_NOFILE, &limit);
}

static int open_log(const char *path)
{
	int fd;

	if (!path)
		return 0;
	fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0640);
	if (fd < 0) {
		fprintf(stderr, "hexkv-fs: the log '%s' can't be written (%s)\n", path,
			strerror(errno));
		return -EINVAL;
	}
	dup2(fd, STDERR_FILENO);
	close(fd);
	return 0;
}

/* A cluster that is still starting is worth a moment; one that is away does not hold the mount up
 * for good. A refused token does. */
static int try_router(const struct mount_options *options)
{
	uint32_t timeout_ms =
		options->timeout_ms < FIRST_TRY_MS ? options->timeout_ms : FIRST_TRY_MS;
	struct buf text = { 0 };
	int r = remote_status(mount.remote, timeout_ms, &text);

	buf_deinit(&text);
	if (r == -EACCES)
		fprintf(stderr, "hexkv-fs: %s refuses the token; check -o token_file\n",
			options->url);
	else if (r < 0)
		log_warn("router does not answer yet", "url=%s error=%d", options->url, -r);
	return r == -EACCES ? r : 0;
}

static int mount_init(const struct mount_options *options)
{
	const struct remote_options remote = {
		.url = options->url,
		.token = options->token,
		.connections_max = CONNECTIONS_MAX,
		.timeout_ms = options->timeout_ms,
	};
	struct uploads_options uploads = {
		.threads = UPLOAD_THREADS,
		.begin_bytes = UPLOAD_BEGIN_BYTES,
		.idle_ms = UPLOAD_IDLE_MS,
	};
	int r;

	mount.options = options;
	mount.began_ns = clock_monotonic_ns();
	opens_init(&mount.opens);
	inode_table_init(&mount.inodes, 0666 & ~options->umask);
	r = http_client_global_init();
	if (r == 0)
		r = remote_new(&remote, &mount.remote);
	if (r == 0)
		r = try_router(options);
	if (r == 0)
		r = prefetch_new(PREFETCH_THREADS, PREFETCH_BLOCKS_MAX, &mount.prefetch);
	uploads.remote = mount.remote;
	if (r == 0)
		r = uploads_new(&uploads, &mount.uploads);
	if (r == 0)
		r = space_new(mount.remote, &mount.space);
	return r;
}

static void mount_deinit(void)
{
	opens_free_all(&mount.opens);
	uploads_free(mount.uploads);
	prefetch_free(mount.prefetch);
	space_free(mount.space);
	remote_free(mount.remote);
	inode_table_deinit(&mount.inodes);
}

/* The exit status. */
static int run(const struct mount_options *options, struct start *start)
{
	struct session *session = NULL;
	unsigned lost;
	int r;

	r = mount_init(options);
	if (r == 0)
		r = session_new(&mount, &session);
	start_report(start, r == 0 ? 0 : 1);
	if (r < 0) {
		log_error("mount failed", "mountpoint=%s error=%d", options->mountpoint, -r);
		mount_deinit();
		return 1;
	}
	log_info("mounted", "url=%s mountpoint=%s", options->url, options->mountpoint);
	r = session_run(session);
	/* Nothing more comes from the kernel; what open files still hold is stored now. */
	lost = save_all(&mount);
	session_free(session);
	mount_deinit();
	log_info("unmounted", "mountpoint=%s unsaved_files_lost=%u", options->mountpoint, lost);
	return r < 0 || lost > 0;
}

int main(int argc, char **argv)
{
	struct mount_options options;
	struct start start;
	int r, status = 0;

	if (mount_options_parse(argc, argv, &options, &status) != 0)
		return status;
	close_inherited();
	raise_file_limit();
	if (open_log(options.log_file) < 0) {
		mount_options_deinit(&options);
		return 2;
	}
	signal(SIGPIPE, SIG_IGN);
	/* A staging file that is too large is an error of one write. */
	signal(SIGXFSZ, SIG_IGN);
	json_object_seed(0);
	r = start_begin(&options, &start, &status);
	if (r < 0) {
		fprintf(stderr, "hexkv-fs: can't go into the background (%s)\n", strerror(-r));
		status = 1;
	} else if (r == 0) {
		if (chdir("/") < 0)
			log_warn("can't leave the working directory", "error=%d", errno);
		status = run(&options, &start);
	}
	mount_options_deinit(&options);
	return status;
}
