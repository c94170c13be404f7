/* SPDX-License-Identifier: MIT */
#include "node/view.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

int view_new(size_t sealed_count, size_t run_count, struct view **ret_view)
{
	size_t sealed_bytes = sealed_count * sizeof(struct memtable *);
	struct view *view;

	view = calloc(1, sizeof(*view) + run_count * sizeof(*view->runs) + sealed_bytes);
	if (!view)
		return -ENOMEM;
	atomic_init(&view->references, 1);
	view->runs = (struct view_run *)(view + 1);
	view->run_count = run_count;
	view->sealed = (struct memtable **)(void *)(view->runs + run_count);
	view->sealed_count = sealed_count;
	*ret_view = view;
	return 0;
}

struct view *view_ref(struct view *view)
{
	atomic_fetch_add_explicit(&view->references, 1, memory_order_relaxed);
	return view;
}

struct view *view_unref(struct view *view)
{
	if (!view || atomic_fetch_sub(&view->references, 1) != 1)
		return NULL;
	memtable_unref(view->active);
	for (size_t i = 0; i < view->sealed_count; i++)
		memtable_unref(view->sealed[i]);
	for (size_t i = 0; i < view->run_count; i++)
		segment_unref(view->runs[i].segment);
	free(view);
	return NULL;
}

static struct view_run run_ref(struct view_run run)
{
	segment_ref(run.segment);
	return run;
}

int view_seal(const struct view *view, struct memtable *active, struct view **ret_view)
{
	struct view *next;
	int r;

	r = view_new(view->sealed_count + 1, view->run_count, &next);
	if (r < 0)
		return r;
	next->active = memtable_ref(active);
	next->sealed[0] = memtable_ref(view->active);
	for (size_t i = 0; i < view->sealed_count; i++)
		next->sealed[i + 1] = memtable_ref(view->sealed[i]);
	for (size_t i = 0; i < view->run_count; i++)
		next->runs[i] = run_ref(view->runs[i]);
	*ret_view = next;
	return 0;
}

int view_flush(const struct view *view, size_t count, struct view_run run, struct view **ret_view)
{
	size_t added = run.segment != NULL;
	struct view *next;
	int r;

	assert(count <= view->sealed_count);
	r = view_new(view->sealed_count - count, view->run_count + added, &next);
	if (r < 0)
		return r;
	next->active = memtable_ref(view->active);
	for (size_t i = 0; i < next->sealed_count; i++)
		next->sealed[i] = memtable_ref(view->sealed[i]);
	if (added)
		next->runs[0] = run_ref(run);
	for (size_t i = 0; i < view->run_count; i++)
		next->runs[i + added] = run_ref(view->runs[i]);
	*ret_view = next;
	return 0;
}

int view_compact(const struct view *view, uint64_t first, size_t count, struct view_run run,
		 struct view **ret_view)
{
	size_t added = run.segment != NULL, at = 0;
	struct view *next;
	int r;

	r = view_new(view->sealed_count, view->run_count - count + added, &next);
	if (r < 0)
		return r;
	next->active = memtable_ref(view->active);
	for (size_t i = 0; i < view->sealed_count; i++)
		next->sealed[i] = memtable_ref(view->sealed[i]);
	for (size_t i = 0; i < view->run_count; i++) {
		if (view->runs[i].run == first) {
			if (added)
				next->runs[at++] = run_ref(run);
			i += count - 1;
			continue;
		}
		next->runs[at++] = run_ref(view->runs[i]);
	}
	assert(at == next->run_count);
	*ret_view = next;
	return 0;
}

int view_part(const struct view *view, size_t first, size_t count, struct view **ret_view)
{
	struct view *part;
	int r;

	r = view_new(0, count, &part);
	if (r < 0)
		return r;
	for (size_t i = 0; i < count; i++)
		part->runs[i] = run_ref(view->runs[first + i]);
	*ret_view = part;
	return 0;
}
