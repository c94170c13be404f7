/* SPDX-License-Identifier: MIT */
#include "fs/stats_text.h"

#include "fs/stats.h"
#include "lib/clock.h"
#include "lib/metrics.h"

#include <errno.h>
#include <linux/fuse.h>
#include <stdio.h>
#include <string.h>

static const char *const operation_names[STATS_OPCODES] = {
	[FUSE_LOOKUP] = "lookup",
	[FUSE_FORGET] = "forget",
	[FUSE_GETATTR] = "getattr",
	[FUSE_SETATTR] = "setattr",
	[FUSE_READLINK] = "readlink",
	[FUSE_SYMLINK] = "symlink",
	[FUSE_MKNOD] = "mknod",
	[FUSE_MKDIR] = "mkdir",
	[FUSE_UNLINK] = "unlink",
	[FUSE_RMDIR] = "rmdir",
	[FUSE_RENAME] = "rename",
	[FUSE_LINK] = "link",
	[FUSE_OPEN] = "open",
	[FUSE_READ] = "read",
	[FUSE_WRITE] = "write",
	[FUSE_STATFS] = "statfs",
	[FUSE_RELEASE] = "release",
	[FUSE_FSYNC] = "fsync",
	[FUSE_SETXATTR] = "setxattr",
	[FUSE_GETXATTR] = "getxattr",
	[FUSE_LISTXATTR] = "listxattr",
	[FUSE_REMOVEXATTR] = "removexattr",
	[FUSE_FLUSH] = "flush",
	[FUSE_INIT] = "init",
	[FUSE_OPENDIR] = "opendir",
	[FUSE_READDIR] = "readdir",
	[FUSE_RELEASEDIR] = "releasedir",
	[FUSE_FSYNCDIR] = "fsyncdir",
	[FUSE_GETLK] = "getlk",
	[FUSE_SETLK] = "setlk",
	[FUSE_SETLKW] = "setlkw",
	[FUSE_ACCESS] = "access",
	[FUSE_CREATE] = "create",
	[FUSE_INTERRUPT] = "interrupt",
	[FUSE_BMAP] = "bmap",
	[FUSE_DESTROY] = "destroy",
	[FUSE_IOCTL] = "ioctl",
	[FUSE_POLL] = "poll",
	[FUSE_BATCH_FORGET] = "batch_forget",
	[FUSE_FALLOCATE] = "fallocate",
	[FUSE_READDIRPLUS] = "readdirplus",
	[FUSE_RENAME2] = "rename2",
	[FUSE_LSEEK] = "lseek",
	[FUSE_COPY_FILE_RANGE] = "copy_file_range",
	[FUSE_SYNCFS] = "syncfs",
};

static const char *const door_names[STATS_DOORS] = {
	[STATS_DOOR_OBJECT] = "object",
	[STATS_DOOR_KEYS] = "keys",
	[STATS_DOOR_ADMIN] = "admin",
};

static const char *const counter_names[STATS_COUNTERS] = {
	[STATS_READ_BYTES] = "hexkv_fs_read_bytes_total",
	[STATS_WRITTEN_BYTES] = "hexkv_fs_written_bytes_total",
	[STATS_SENT_BYTES] = "hexkv_fs_sent_bytes_total",
	[STATS_RECEIVED_BYTES] = "hexkv_fs_received_bytes_total",
	[STATS_NAME_HITS] = "hexkv_fs_cache_hits_total{cache=\"names\"}",
	[STATS_NAME_MISSES] = "hexkv_fs_cache_misses_total{cache=\"names\"}",
	[STATS_VERSION_HITS] = "hexkv_fs_cache_hits_total{cache=\"versions\"}",
	[STATS_VERSION_MISSES] = "hexkv_fs_cache_misses_total{cache=\"versions\"}",
	[STATS_VALUE_HITS] = "hexkv_fs_cache_hits_total{cache=\"values\"}",
	[STATS_VALUE_MISSES] = "hexkv_fs_cache_misses_total{cache=\"values\"}",
	[STATS_BLOCK_HITS] = "hexkv_fs_cache_hits_total{cache=\"blocks\"}",
	[STATS_BLOCK_MISSES] = "hexkv_fs_cache_misses_total{cache=\"blocks\"}",
};

static const char *const gauge_names[STATS_GAUGES] = {
	[STATS_OPEN_FILES] = "hexkv_fs_open_files",
	[STATS_UPLOADS] = "hexkv_fs_uploads",
	[STATS_STAGING_FILES] = "hexkv_fs_staging_files",
	[STATS_STAGED_BYTES] = "hexkv_fs_staged_bytes",
	[STATS_READ_AHEAD_BLOCKS] = "hexkv_fs_read_ahead_blocks",
	[STATS_PINS] = "hexkv_fs_pins",
	[STATS_OPERATIONS] = "hexkv_fs_operations_in_progress",
};

static uint64_t load(const _Atomic uint64_t *counter)
{
	return atomic_load_explicit(counter, memory_order_relaxed);
}

/* Lines with the same labels, as long as memory lasts. */
struct text {
	struct buf *out;
	char labels[96];
	int error;
};

static void line(struct text *text, const char *name, const char *suffix, uint64_t value)
{
	if (text->error == 0)
		text->error = metrics_sample_u64(text->out, name, suffix, text->labels, value);
}

static void seconds(struct text *text, const char *name, const char *suffix, const char *labels,
		    uint64_t ns)
{
	if (text->error == 0)
		text->error =
			metrics_sample_double(text->out, name, suffix, labels, (double)ns / 1e9);
}

static void print_latency(struct text *text, const char *name, const struct latency *latency)
{
	static const struct {
		const char *name;
		unsigned permille;
	} quantiles[] = { { "0.5", 500 }, { "0.9", 900 }, { "0.99", 990 }, { "1", 1000 } };
	uint64_t count = latency_count(latency);
	char labels[160];

	if (count == 0)
		return;
	for (unsigned i = 0; i < sizeof(quantiles) / sizeof(quantiles[0]); i++) {
		snprintf(labels, sizeof(labels), "%s,quantile=\"%s\"", text->labels,
			 quantiles[i].name);
		seconds(text, name, "", labels,
			latency_quantile_ns(latency, quantiles[i].permille));
	}
	seconds(text, name, "_sum", text->labels, load(&latency->sum_ns));
	line(text, name, "_count", count);
}

/* The counts of @errors that are not 0, with the errno's name as one more label. */
static void print_errors(struct text *text, const char *name, const _Atomic uint64_t *errors)
{
	for (int error = 0; error < STATS_ERRNOS; error++) {
		uint64_t count = load(&errors[error]);
		const char *error_name = error ? strerrorname_np(error) : NULL;
		char labels[160];

		if (count == 0 || text->error < 0)
			continue;
		snprintf(labels, sizeof(labels), "%s,error=\"%s\"", text->labels,
			 error_name ? error_name : "other");
		text->error = metrics_sample_u64(text->out, name, "_total", labels, count);
	}
}

static void print_operation(struct text *text, unsigned opcode)
{
	const struct stats_operation *operation = &stats.operations[opcode];

	if (load(&operation->read) == 0)
		return;
	if (operation_names[opcode])
		snprintf(text->labels, sizeof(text->labels), "op=\"%s\"", operation_names[opcode]);
	else
		snprintf(text->labels, sizeof(text->labels), "op=\"%u\"", opcode);
	line(text, "hexkv_fs_operations", "_total", load(&operation->read));
	print_errors(text, "hexkv_fs_operation_errors", operation->errors);
	print_latency(text, "hexkv_fs_operation_seconds", &operation->latency);
}

static void print_answers(struct text *text, const struct stats_requests *requests)
{
	for (unsigned status = 0; status < STATS_STATUSES; status++) {
		uint64_t count = load(&requests->answers[status]);
		char labels[160];

		if (count == 0 || text->error < 0)
			continue;
		snprintf(labels, sizeof(labels), "%s,status=\"%u\"", text->labels, status);
		text->error =
			metrics_sample_u64(text->out, "hexkv_fs_answers", "_total", labels, count);
	}
}

static void print_requests(struct text *text, unsigned door, unsigned method)
{
	const struct stats_requests *requests = &stats.requests[door][method];

	if (load(&requests->attempts) == 0)
		return;
	snprintf(text->labels, sizeof(text->labels), "door=\"%s\",method=\"%s\"", door_names[door],
		 method ? method_name(method) : "other");
	line(text, "hexkv_fs_requests", "_total", load(&requests->attempts));
	line(text, "hexkv_fs_requests_repeated", "_total", load(&requests->repeated));
	print_answers(text, requests);
	print_errors(text, "hexkv_fs_request_errors", requests->errors);
	print_latency(text, "hexkv_fs_request_seconds", &requests->latency);
}

static void print_mount(struct text *text, struct mount *mount)
{
	uint64_t inodes, value_bytes;

	mutex_lock(&mount->inodes.lock);
	inodes = mount->inodes.count;
	value_bytes = mount->inodes.value_bytes;
	mutex_unlock(&mount->inodes.lock);
	snprintf(text->labels, sizeof(text->labels), "version=\"%s\"", HEXKV_VERSION);
	line(text, "hexkv_fs_info", "", 1);
	text->labels[0] = '\0';
	if (text->error == 0)
		text->error = buf_printf(text->out, "hexkv_fs_router{url=\"%s\"} 1\n",
					 mount->options->url);
	seconds(text, "hexkv_fs_uptime_seconds", "", "", clock_monotonic_ns() - mount->began_ns);
	line(text, "hexkv_fs_inodes", "", inodes);
	line(text, "hexkv_fs_cached_value_bytes", "", value_bytes);
}

int stats_text(struct mount *mount, struct buf *out)
{
	struct text text = { .out = out };

	print_mount(&text, mount);
	for (unsigned i = 0; i < STATS_GAUGES; i++) {
		int64_t value = atomic_load_explicit(&stats.gauges[i], memory_order_relaxed);

		/* The parts of a difference may be seen in any order. */
		line(&text, gauge_names[i], "", value > 0 ? (uint64_t)value : 0);
	}
	for (unsigned i = 0; i < STATS_COUNTERS; i++)
		line(&text, counter_names[i], "", load(&stats.counters[i]));
	for (unsigned opcode = 0; opcode < STATS_OPCODES; opcode++)
		print_operation(&text, opcode);
	for (unsigned door = 0; door < STATS_DOORS; door++)
		for (unsigned method = 0; method < STATS_METHODS; method++)
			print_requests(&text, door, method);
	return text.error;
}
