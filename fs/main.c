/* SPDX-License-Identifier: MIT */
/*
 * hexkv-fs: mounts a hexkv cluster. The files, from the kernel inwards:
 *
 *   main.c           start and end
 *   mount_options.c  the command line; mount_url.c, mountpoint.c: its two operands,
 *                    complain.c: what is wrong with it
 *   mount_helper.c   how mount(8) calls it
 *   start.c          going into the background
 *   session.c        the FUSE session; workers.c: its threads
 *   ops.c            table of operations, attributes; ops_name.c, ops_attr.c, ops_data.c,
 *                    ops_xattr.c, ops_dir.c: the operations
 *   ops_stats.c      the file .stats; stats.c: what is counted, latency.c: how long it took,
 *                    stats_text.c: its text
 *   listing.c        the names of the directory, page by page: listed_page.c one of them,
 *                    list_ahead.c the next one, trail.c the way back, local_names.c those of
 *                    unsaved files; listed.c: what was listed last; changes.c: what is newer
 *   handle.c         an open file; still_open.c: whether its process goes on with it
 *   create.c, unlink.c, rename.c  files by name; removals.c: removed ones that are not synced yet,
 *                    withdraw.c: those that lose their name, aside.c: records moved aside
 *   content.c        a file's content: reading, changing; save.c: storing it, conflict.c: over what
 *   meta.c           content_type, encoding, mtime
 *   resolve.c        from a name to the version that it stands for now
 *   reopen.c         opens that try again; absent.c, asker.c: creates that need no look-up
 *   inode.c          what the kernel's node ids stand for
 *   forget.c         telling the kernel what it need not keep
 *   names.c          keys, temporary names, and names that are refused
 *   upload.c         sending content while it is written; base.c: what is not here of it
 *   staging.c        changed content until it is stored; scratch.c: its bytes
 *   value.c          small values
 *   pin.c            a version that its leader keeps; keeper.c: renewing those of open files
 *   reader.c         ranged reads; sequence.c: which of them follow each other; fetch.c: what is
 *                    fetched ahead, into the blocks of block.c, by the threads of prefetch.c
 *   space.c          the cluster's space, for df
 *   remote.c         typed requests to the router; remote_list.c: those about all records;
 *                    remote_call.c, request.c: one request, repeated; answer.c: what is said
 *                    in JSON; patience.c: how long
 *   fence.c          writes of a name in order; doubt.c: those that may still be applied
 *   lately.c         what a follower may not have yet of what was done here
 */
#include "fs/complain.h"
#include "fs/mount_helper.h"
#include "fs/mountpoint.h"
#include "fs/save.h"
#include "fs/scratch.h"
#include "fs/session.h"
#include "fs/start.h"
#include "lib/cleanup.h"
#include "lib/clock.h"
#include "lib/http_client.h"
#include "lib/log.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#define OWN_PAGES_BYTES     (256 * 1024)
#define CONNECTIONS_MAX     80 /* a thread of the session each, and the others */
#define PREFETCH_THREADS    8
#define PREFETCH_BLOCKS_MAX 48
#define UPLOAD_THREADS      4
#define UPLOAD_BEGIN_BYTES  (4 * 1024 * 1024)
#define UPLOAD_IDLE_MS      20000 /* the router gives up after 30 s */
#define KEEPER_THREADS      4
#define KEEPER_ATTEMPT_MS   2000
#define KEEPER_RENEW_MS     15000
#define FIRST_TRY_MS        5000
#define READ_AHEAD_KIB      1024 /* the most that one request carries */

static struct mount mount;

/* What the inherited ones refer to would stay busy for as long as the mount lives. */
static void close_inherited(void)
{
	close_range(3, ~0U, 0);
}

/* What is large goes back to the system when it is freed. Many threads have it in turns, and each
 * would keep some. */
static void give_large_memory_back(void)
{
	mallopt(M_MMAP_THRESHOLD, OWN_PAGES_BYTES);
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

/* -1: there is none. */
static int open_log(const char *path, int *ret_fd)
{
	int fd = -1;

	if (path) {
		fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0640);
		if (fd < 0)
			return complain("the log '%s' can't be written (%s); choose another with "
					"-o log=FILE",
					path, strerror(errno));
	}
	*ret_fd = fd;
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
		complain("%s refuses the token; give the right one with -o token_file=FILE",
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
	int r;

	mount.options = options;
	mount.began_ns = clock_monotonic_ns();
	scratch_limit(options->staging_bytes);
	opens_init(&mount.opens);
	forget_init(&mount.forget);
	inode_table_init(&mount.inodes, options->file_mode);
	removals_init(&mount.removals);
	r = http_client_global_init();
	if (r == 0)
		r = remote_new(&remote, &mount.remote);
	if (r < 0)
		return complain("it can't begin (%s)", strerror(-r));
	return try_router(options);
}

/* After the session, which wants to be alone while it mounts. */
static int start_threads(void)
{
	const struct uploads_options uploads = {
		.remote = mount.remote,
		.threads = UPLOAD_THREADS,
		.begin_bytes = UPLOAD_BEGIN_BYTES,
		.idle_ms = UPLOAD_IDLE_MS,
	};
	const struct keeper_options keeper = {
		.mount = &mount,
		.threads = KEEPER_THREADS,
		.attempt_ms = KEEPER_ATTEMPT_MS,
		.renew_ms = KEEPER_RENEW_MS,
	};
	int r = prefetch_new(PREFETCH_THREADS, PREFETCH_BLOCKS_MAX, &mount.prefetch);

	if (r == 0)
		r = uploads_new(&uploads, &mount.uploads);
	if (r == 0)
		r = listed_new(&mount.listed);
	if (r == 0)
		r = keeper_new(&keeper, &mount.keeper);
	if (r == 0)
		r = space_new(mount.remote, &mount.space);
	if (r < 0)
		complain("its threads can't be started (%s)", strerror(-r));
	return r;
}

/* Reading ahead belongs to root's part of the system: whoever may not set it does without. The
 * kernel asks for 128 KiB at a time, which makes three times as many requests. */
static void read_ahead_further(const char *mountpoint)
{
	struct mountpoint_info info;
	char path[64];
	FILE *file;

	if (!mountpoint_find(mountpoint, &info))
		return;
	snprintf(path, sizeof(path), "/sys/class/bdi/%u:%u/read_ahead_kb", info.major, info.minor);
	file = fopen(path, "we");
	if (!file)
		return;
	fprintf(file, "%d", READ_AHEAD_KIB);
	if (fclose(file) != 0)
		log_debug("read-ahead stays as it is", "error=%d", errno);
}

static void mount_is_ready(struct mount *ready)
{
	const struct mount_options *options = ready->options;

	read_ahead_further(options->mountpoint);
	log_info("mounted", "url=%s mountpoint=%s", options->url, options->mountpoint);
	start_notify("READY=1");
}

static void mount_deinit(void)
{
	opens_free_all(&mount.opens);
	mount.keeper = keeper_free(mount.keeper);
	uploads_free(mount.uploads);
	prefetch_free(mount.prefetch);
	listed_free(mount.listed);
	space_free(mount.space);
	remote_free(mount.remote);
	removals_deinit(&mount.removals);
	inode_table_deinit(&mount.inodes);
}

/* The exit status. */
static int run(const struct mount_options *options, struct start *start, int log_fd)
{
	struct session *session = NULL;
	unsigned lost;
	int r;

	r = mount_init(options);
	if (r == 0)
		r = session_new(&mount, mount_is_ready, &session);
	if (r == 0)
		r = start_threads();
	/* Until here whoever typed the command reads what is wrong. */
	if (r == 0 && log_fd >= 0)
		dup2(log_fd, STDERR_FILENO);
	start_report(start, r == 0 ? 0 : 1);
	if (r < 0) {
		session_free(session);
		mount_deinit();
		return 1;
	}
	r = session_run(session);
	start_notify("STOPPING=1");
	/* Nothing more comes from the kernel; what open files still hold is stored now. */
	lost = save_all(&mount);
	session_free(session);
	mount_deinit();
	log_info("unmounted", "mountpoint=%s unsaved_files_lost=%u", options->mountpoint, lost);
	return r < 0 || lost > 0;
}

static int mount_and_serve(const struct mount_options *options)
{
	_cleanup_(closep) int log_fd = -1;
	struct start start;
	int r, status;

	close_inherited();
	give_large_memory_back();
	raise_file_limit();
	if (open_log(options->log_file, &log_fd) < 0)
		return 2;
	signal(SIGPIPE, SIG_IGN);
	/* A staging file that is too large is an error of one write. */
	signal(SIGXFSZ, SIG_IGN);
	json_object_seed(0);
	r = start_begin(options, &start, &status);
	if (r < 0) {
		complain("it can't go into the background (%s)", strerror(-r));
		return 1;
	}
	if (r > 0)
		return status;
	if (chdir("/") < 0)
		log_warn("can't leave the working directory", "error=%d", errno);
	return run(options, &start, log_fd);
}

int main(int argc, char **argv)
{
	struct mount_options options;
	struct mount_helper helper;
	int status = 0;

	if (mount_helper_begin(&helper, &argc, &argv) < 0) {
		status = 2;
	} else if (helper.remount) {
		status = mount_helper_remount(&helper);
	} else if (mount_options_parse(argc, argv, &options, &status) == 0) {
		if (!helper.fake)
			status = mount_and_serve(&options);
		mount_options_deinit(&options);
	}
	status = mount_helper_status(&helper, status);
	mount_helper_deinit(&helper);
	return status;
}
