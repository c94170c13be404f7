/* SPDX-License-Identifier: MIT */
#include "node/reaper.h"

#include "lib/cleanup.h"
#include "lib/log.h"
#include "lib/mutex.h"

#include <errno.h>
#include <string.h>

struct reaper_job {
	struct reaper_job *next;
	char *path;
	struct vfs_file *file;
};

struct reaper {
	struct vfs *vfs;
	struct mutex lock;
	struct condition wake;
	struct reaper_job *first GUARDED_BY(lock);
	struct reaper_job **last GUARDED_BY(lock);
	bool started GUARDED_BY(lock);
	bool stop GUARDED_BY(lock);
	pthread_t thread;
};

int reaper_new(struct vfs *vfs, struct reaper **ret_reaper)
{
	struct reaper *reaper = calloc(1, sizeof(*reaper));

	if (!reaper)
		return -ENOMEM;
	reaper->vfs = vfs;
	mutex_init(&reaper->lock);
	condition_init(&reaper->wake);
	mutex_lock(&reaper->lock);
	reaper->last = &reaper->first;
	mutex_unlock(&reaper->lock);
	*ret_reaper = reaper;
	return 0;
}

static void remove_file(struct vfs *vfs, char *path, struct vfs_file *file)
{
	int r = path ? vfs_unlink(vfs, path) : 0;

	if (r < 0 && r != -ENOENT)
		log_warn("can't delete a file; the next start tries again", "file=%s error=\"%s\"",
			 path, strerror(-r));
	vfs_close(file);
	free(path);
}

static void *run(void *state)
{
	struct reaper *reaper = state;

	mutex_lock(&reaper->lock);
	for (;;) {
		struct reaper_job *job = reaper->first;

		if (!job && reaper->stop)
			break;
		if (!job) {
			condition_wait(&reaper->wake, &reaper->lock);
			continue;
		}
		reaper->first = job->next;
		if (!reaper->first)
			reaper->last = &reaper->first;
		mutex_unlock(&reaper->lock);
		remove_file(reaper->vfs, job->path, job->file);
		free(job);
		mutex_lock(&reaper->lock);
	}
	mutex_unlock(&reaper->lock);
	return NULL;
}

int reaper_start(struct reaper *reaper)
{
	int r = 0;

	mutex_lock(&reaper->lock);
	if (!reaper->started)
		r = -pthread_create(&reaper->thread, NULL, run, reaper);
	if (r == 0)
		reaper->started = true;
	mutex_unlock(&reaper->lock);
	return r;
}

void reaper_add(struct reaper *reaper, char *path, struct vfs_file *file)
{
	struct reaper_job *job = malloc(sizeof(*job));
	bool queued = false;

	if (!path && !file) {
		free(job);
		return;
	}
	mutex_lock(&reaper->lock);
	if (job && reaper->started) {
		*job = (struct reaper_job){ .path = path, .file = file };
		*reaper->last = job;
		reaper->last = &job->next;
		condition_signal(&reaper->wake);
		queued = true;
	}
	mutex_unlock(&reaper->lock);
	if (!queued) {
		free(job);
		remove_file(reaper->vfs, path, file);
	}
}

struct reaper *reaper_free(struct reaper *reaper)
{
	bool started;

	if (!reaper)
		return NULL;
	mutex_lock(&reaper->lock);
	reaper->stop = true;
	started = reaper->started;
	condition_signal(&reaper->wake);
	mutex_unlock(&reaper->lock);
	if (started)
		pthread_join(reaper->thread, NULL);
	mutex_deinit(&reaper->lock);
	condition_deinit(&reaper->wake);
	free(reaper);
	return NULL;
}
