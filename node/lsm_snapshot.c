/* SPDX-License-Identifier: MIT */
#include "node/lsm_snapshot.h"

#include "lib/cleanup.h"
#include "node/lsm_private.h"
#include "node/segment_writer.h"

#include <errno.h>
#include <stdio.h>

DEFINE_CLEANUP(struct manifest *, manifest_free)

void lsm_snapshot_take(struct lsm *lsm, struct lsm_snapshot *ret_snapshot)
{
	/* View and position change together under this lock; nothing is read or written. */
	mutex_lock(&lsm->lock);
	ret_snapshot->view = view_ref(lsm->view);
	ret_snapshot->flushed = lsm->flushed;
	mutex_unlock(&lsm->lock);
}

void lsm_snapshot_release(struct lsm_snapshot *snapshot)
{
	snapshot->view = view_unref(snapshot->view);
}

static int link_segment(struct lsm *lsm, struct segment *segment, const char *dir)
{
	_cleanup_(freep) char *from = segment_path(lsm->dir, segment_file_id(segment));
	_cleanup_(freep) char *to = segment_path(dir, segment_file_id(segment));
	struct value_file *const *values;
	size_t count = segment_values(segment, &values);
	int r;

	if (!from || !to)
		return -ENOMEM;
	r = segment_recheck(segment);
	if (r == 0)
		r = vfs_link(lsm->options.vfs, from, to);
	for (size_t i = 0; i < count && r == 0; i++)
		r = value_file_link(values[i], dir);
	return r;
}

static int write_manifest(struct lsm *lsm, const struct lsm_snapshot *snapshot, const char *dir)
{
	const struct view *view = snapshot->view;
	_cleanup_(manifest_freep) struct manifest *manifest = NULL;
	_cleanup_(freep) struct manifest_segment *added =
		calloc(view->run_count + 1, sizeof(*added));
	struct manifest_edit edit = {
		.added = added,
		.added_count = view->run_count,
		.flushed = snapshot->flushed,
		.next_file_id = atomic_load(&lsm->next_file_id),
	};
	int r;

	if (!added)
		return -ENOMEM;
	for (size_t i = 0; i < view->run_count; i++)
		added[i] = (struct manifest_segment){
			.file_id = segment_file_id(view->runs[i].segment),
			.run = view->runs[i].run,
		};
	r = manifest_open(lsm->options.vfs, dir, &manifest);
	if (r == 0)
		r = manifest_edit(manifest, &edit);
	/* In one edit, so that a file which is cut short is not taken for an empty tree. */
	return r == 0 ? manifest_rewrite(manifest) : r;
}

int lsm_snapshot_link(struct lsm *lsm, const struct lsm_snapshot *snapshot, const char *dir)
{
	const struct view *view = snapshot->view;
	_cleanup_(freep) char *values = NULL;
	int r;

	if (asprintf(&values, "%s/value", dir) < 0) {
		values = NULL;
		return -ENOMEM;
	}
	r = vfs_mkdir(lsm->options.vfs, values);
	/* Before the segments, as a directory that has only those is damaged. */
	if (r == 0)
		r = write_manifest(lsm, snapshot, dir);
	for (size_t i = 0; i < view->run_count && r == 0; i++)
		r = link_segment(lsm, view->runs[i].segment, dir);
	return r;
}
