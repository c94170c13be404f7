/* SPDX-License-Identifier: MIT */
#include "fs/space.h"

#include "lib/clock.h"
#include "lib/mutex.h"

#include <errno.h>
#include <stdlib.h>

#define ASK_TIMEOUT_MS 3000
#define OLD_AFTER_MS   2000
/* So that the first to look after a while sees no figures of yesterday. */
#define ASK_EVERY_MS 10000
/* While nothing is known: copy tools refuse a file system without room. */
#define ASSUMED_BYTES (UINT64_C(1) << 40)

struct space {
	struct remote *remote;
	pthread_t thread;

	struct mutex lock; /* protects what follows */
	struct condition wanted;
	struct space_figures figures;
	uint64_t asked_ms;
	bool want;
	bool ending;
};

static void ask(struct space *space)
{
	struct buf text = { 0 };
	struct space_figures figures;

	if (remote_status(space->remote, ASK_TIMEOUT_MS, &text) == 0 &&
	    answer_figures(text.data, text.len, &figures) == 0) {
		mutex_lock(&space->lock);
		space->figures = figures;
		mutex_unlock(&space->lock);
	}
	buf_deinit(&text);
}

static void *space_thread(void *state)
{
	struct space *space = state;

	for (;;) {
		uint64_t again_ms = clock_monotonic_ms() + ASK_EVERY_MS;
		bool ending;
		int r = 0;

		mutex_lock(&space->lock);
		while (!space->want && !space->ending && r == 0)
			r = condition_wait_until(&space->wanted, &space->lock, again_ms);
		ending = space->ending;
		space->want = false;
		mutex_unlock(&space->lock);
		if (ending)
			return NULL;
		ask(space);
	}
}

int space_new(struct remote *remote, struct space **ret_space)
{
	struct space *space = calloc(1, sizeof(*space));
	int r;

	if (!space)
		return -ENOMEM;
	space->remote = remote;
	space->figures.free_bytes = space->figures.total_bytes = ASSUMED_BYTES;
	space->want = true;
	mutex_init(&space->lock);
	condition_init(&space->wanted);
	r = pthread_create(&space->thread, NULL, space_thread, space);
	if (r != 0) {
		condition_deinit(&space->wanted);
		mutex_deinit(&space->lock);
		free(space);
		return -r;
	}
	*ret_space = space;
	return 0;
}

struct space *space_free(struct space *space)
{
	if (!space)
		return NULL;
	mutex_lock(&space->lock);
	space->ending = true;
	condition_signal(&space->wanted);
	mutex_unlock(&space->lock);
	pthread_join(space->thread, NULL);
	condition_deinit(&space->wanted);
	mutex_deinit(&space->lock);
	free(space);
	return NULL;
}

void space_get(struct space *space, struct space_figures *ret_figures)
{
	uint64_t now = clock_monotonic_ms();

	mutex_lock(&space->lock);
	*ret_figures = space->figures;
	if (now - space->asked_ms >= OLD_AFTER_MS) {
		space->asked_ms = now;
		space->want = true;
		condition_signal(&space->wanted);
	}
	mutex_unlock(&space->lock);
}

uint64_t space_free_bytes(struct space *space)
{
	struct space_figures figures;

	space_get(space, &figures);
	return figures.free_bytes;
}
