/* SPDX-License-Identifier: MIT */
#include "tests/sim/leftovers.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

struct look {
	struct vfs *vfs;
	const char *dir; /* that is being listed */
	uint64_t segments, manifests, logs, value_bytes;
	char temporary[64]; /* name of a temporary file */
	int error;
};

static bool ends_with(const char *name, const char *end)
{
	size_t len = strlen(name), end_len = strlen(end);

	return len >= end_len && strcmp(name + len - end_len, end) == 0;
}

static uint64_t size_of(struct look *look, const char *name)
{
	struct vfs_file *file;
	char path[256];
	uint64_t size = 0;

	snprintf(path, sizeof(path), "%s/%s", look->dir, name);
	look->error = vfs_open(look->vfs, path, VFS_READ, &file);
	if (look->error < 0)
		return 0;
	look->error = vfs_size(file, &size);
	vfs_close(file);
	return size;
}

static int see_name(const char *name, void *state)
{
	struct look *look = state;

	if (ends_with(name, ".tmp") || strncmp(name, ".making", 7) == 0 ||
	    strncmp(name, ".bootstrap", 10) == 0)
		snprintf(look->temporary, sizeof(look->temporary), "%s", name);
	look->segments += ends_with(name, ".seg");
	look->logs += ends_with(name, ".wal");
	look->manifests += strncmp(name, "MANIFEST-", 9) == 0;
	if (ends_with(name, ".val"))
		look->value_bytes += size_of(look, name);
	return look->error;
}

static int list(struct look *look, const char *dir, const char *below)
{
	char path[192];

	snprintf(path, sizeof(path), "%s%s", dir, below);
	look->dir = path;
	return vfs_list(look->vfs, path, see_name, look);
}

bool leftovers_none(struct store *store, struct vfs *vfs, const char *dir, char *why,
		    size_t why_size)
{
	struct look look = { .vfs = vfs };
	struct store_stats stats;
	int r;

	store_stats(store, &stats);
	r = list(&look, dir, "");
	if (r == 0)
		r = list(&look, dir, "/log");
	if (r == 0)
		r = list(&look, dir, "/value");
	if (r == 0)
		list(&look, dir, "/checkpoints"); /* may not be there */
	snprintf(why, why_size,
		 "listing %d; temporary file '%s'; %" PRIu64 " manifests; %" PRIu64 " of %" PRIu64
		 " segments, %" PRIu64 " of %" PRIu64 " log files, %" PRIu64 " of %" PRIu64
		 " bytes of values are known",
		 r, look.temporary, look.manifests, stats.lsm.segments, look.segments,
		 stats.log_files, look.logs, stats.value_bytes, look.value_bytes);
	return r == 0 && look.temporary[0] == '\0' && look.manifests == 1 &&
	       look.segments == stats.lsm.segments && look.logs == stats.log_files &&
	       look.value_bytes == stats.value_bytes;
}
