/* SPDX-License-Identifier: MIT */
/*
 * One turn: wait for descriptors, run their callbacks, run posted tasks, expire timers, run the
 * hooks. What became ready in a turn is therefore handed over (hooks) in the same turn, once for
 * all of it.
 *
 * A sleeping loop is woken through an eventfd; a loop that is awake looks at its task list before
 * it sleeps, so posting to it costs no system call.
 */
#include "lib/loop.h"

#include "lib/cleanup.h"
#include "lib/clock.h"
#include "lib/mutex.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>

#define EVENTS_MAX 256

/* The next of the last task in the list: a task is queued if its next is not NULL. */
static struct loop_task list_end;

struct loop {
	/* immutable */
	int epoll_fd;
	int wake_fd;

	/* protected by lock */
	struct mutex lock;
	struct loop_task *tasks; /* &list_end when empty */
	struct loop_task *last_task; /* NULL when empty */
	bool awake;
	bool stop;

	/* the loop thread's */
	struct epoll_event events[EVENTS_MAX];
	int event_at;
	int event_count;
	struct loop_timer **heap;
	size_t timer_count;
	size_t heap_size;
	struct loop_hook *hooks;
	struct loop_hook *next_hook; /* while they run */
	bool again;
};

int loop_new(struct loop **ret_loop)
{
	struct epoll_event event = { .events = EPOLLIN };
	struct loop *loop = calloc(1, sizeof(*loop));

	if (!loop)
		return -ENOMEM;
	mutex_init(&loop->lock);
	loop->tasks = &list_end;
	loop->awake = true;
	loop->wake_fd = -1;
	loop->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (loop->epoll_fd >= 0)
		loop->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	event.data.ptr = loop;
	if (loop->wake_fd < 0 ||
	    epoll_ctl(loop->epoll_fd, EPOLL_CTL_ADD, loop->wake_fd, &event) < 0) {
		int r = -errno;

		loop_free(loop);
		return r;
	}
	*ret_loop = loop;
	return 0;
}

struct loop *loop_free(struct loop *loop)
{
	if (!loop)
		return NULL;
	closep(&loop->wake_fd);
	closep(&loop->epoll_fd);
	mutex_deinit(&loop->lock);
	free(loop->heap);
	free(loop);
	return NULL;
}

/* Descriptors */

int loop_add_fd(struct loop *loop, struct loop_fd *fd)
{
	struct epoll_event event = { .events = fd->events, .data.ptr = fd };

	return epoll_ctl(loop->epoll_fd, EPOLL_CTL_ADD, fd->fd, &event) < 0 ? -errno : 0;
}

int loop_change_fd(struct loop *loop, struct loop_fd *fd, uint32_t events)
{
	struct epoll_event event = { .events = events, .data.ptr = fd };

	if (fd->events == events)
		return 0;
	if (epoll_ctl(loop->epoll_fd, EPOLL_CTL_MOD, fd->fd, &event) < 0)
		return -errno;
	fd->events = events;
	return 0;
}

void loop_remove_fd(struct loop *loop, struct loop_fd *fd)
{
	epoll_ctl(loop->epoll_fd, EPOLL_CTL_DEL, fd->fd, NULL);
	for (int i = loop->event_at; i < loop->event_count; i++)
		if (loop->events[i].data.ptr == fd)
			loop->events[i].data.ptr = NULL;
}

/* Timers: a binary heap; every timer knows its place, so that clearing is logarithmic as well. */

static void heap_place(struct loop *loop, size_t index, struct loop_timer *timer)
{
	loop->heap[index] = timer;
	timer->heap_index = (int)index;
}

static void heap_rise(struct loop *loop, size_t index)
{
	struct loop_timer *timer = loop->heap[index];

	while (index > 0) {
		size_t parent = (index - 1) / 2;

		if (loop->heap[parent]->due_ms <= timer->due_ms)
			break;
		heap_place(loop, index, loop->heap[parent]);
		index = parent;
	}
	heap_place(loop, index, timer);
}

static void heap_sink(struct loop *loop, size_t index)
{
	struct loop_timer *timer = loop->heap[index];

	for (;;) {
		size_t child = 2 * index + 1;

		if (child >= loop->timer_count)
			break;
		if (child + 1 < loop->timer_count &&
		    loop->heap[child + 1]->due_ms < loop->heap[child]->due_ms)
			child++;
		if (timer->due_ms <= loop->heap[child]->due_ms)
			break;
		heap_place(loop, index, loop->heap[child]);
		index = child;
	}
	heap_place(loop, index, timer);
}

int loop_set_timer(struct loop *loop, struct loop_timer *timer, uint64_t due_ms)
{
	if (timer->armed) {
		timer->due_ms = due_ms;
		heap_rise(loop, (size_t)timer->heap_index);
		heap_sink(loop, (size_t)timer->heap_index);
		return 0;
	}
	if (loop->timer_count == loop->heap_size) {
		size_t size = loop->heap_size ? 2 * loop->heap_size : 16;
		struct loop_timer **heap = realloc(loop->heap, size * sizeof(*heap));

		if (!heap)
			return -ENOMEM;
		loop->heap = heap;
		loop->heap_size = size;
	}
	timer->due_ms = due_ms;
	timer->armed = true;
	heap_place(loop, loop->timer_count++, timer);
	heap_rise(loop, (size_t)timer->heap_index);
	return 0;
}

void loop_clear_timer(struct loop *loop, struct loop_timer *timer)
{
	size_t index = (size_t)timer->heap_index;
	struct loop_timer *last;

	if (!timer->armed)
		return;
	assert(index < loop->timer_count && loop->heap[index] == timer);
	timer->armed = false;
	timer->heap_index = -1;
	last = loop->heap[--loop->timer_count];
	if (last == timer)
		return;
	heap_place(loop, index, last);
	heap_rise(loop, index);
	heap_sink(loop, (size_t)last->heap_index);
}

static void expire_timers(struct loop *loop)
{
	uint64_t now;

	if (loop->timer_count == 0)
		return;
	/* One reading of the clock: a timer that re-arms itself for now waits for the next turn's.
	 */
	now = clock_monotonic_ms();
	while (loop->timer_count && loop->heap[0]->due_ms <= now) {
		struct loop_timer *timer = loop->heap[0];

		loop_clear_timer(loop, timer);
		timer->expired(timer);
	}
}

static int until_next_timer(const struct loop *loop)
{
	uint64_t now, due;

	if (loop->timer_count == 0)
		return -1;
	now = clock_monotonic_ms();
	due = loop->heap[0]->due_ms;
	if (due <= now)
		return 0;
	return due - now > 60000 ? 60000 : (int)(due - now);
}

/* Hooks */

void loop_add_hook(struct loop *loop, struct loop_hook *hook)
{
	struct loop_hook **at = &loop->hooks;

	while (*at && (hook->late || !(*at)->late))
		at = &(*at)->next;
	hook->next = *at;
	*at = hook;
	/* It may have missed its place in the turn that is under way. */
	loop->again = true;
}

void loop_remove_hook(struct loop *loop, struct loop_hook *hook)
{
	for (struct loop_hook **at = &loop->hooks; *at; at = &(*at)->next) {
		if (*at == hook) {
			*at = hook->next;
			break;
		}
	}
	if (loop->next_hook == hook)
		loop->next_hook = hook->next;
}

void loop_turn_again(struct loop *loop)
{
	loop->again = true;
}

/* Returns for how long the loop may sleep. */
static int run_hooks(struct loop *loop)
{
	int timeout = -1;

	loop->again = false;
	loop->next_hook = loop->hooks;
	while (loop->next_hook) {
		struct loop_hook *hook = loop->next_hook;
		int r;

		loop->next_hook = hook->next;
		r = hook->turn(hook);
		if (r >= 0 && (timeout < 0 || r < timeout))
			timeout = r;
	}
	return loop->again ? 0 : timeout;
}

/* Tasks */

static void wake_locked(struct loop *loop) REQUIRES(loop->lock)
{
	uint64_t one = 1;

	if (loop->awake)
		return;
	loop->awake = true;
	/* Fails only when the counter is full, and then it wakes already. */
	while (write(loop->wake_fd, &one, sizeof(one)) < 0 && errno == EINTR)
		;
}

void loop_post(struct loop *loop, struct loop_task *task)
{
	mutex_lock(&loop->lock);
	if (!task->next) {
		task->next = &list_end;
		if (loop->last_task)
			loop->last_task->next = task;
		else
			loop->tasks = task;
		loop->last_task = task;
		wake_locked(loop);
	}
	mutex_unlock(&loop->lock);
}

void loop_stop(struct loop *loop)
{
	mutex_lock(&loop->lock);
	loop->stop = true;
	wake_locked(loop);
	mutex_unlock(&loop->lock);
}

/* Runs what was queued when it was called; what the tasks queue waits for the next turn. */
static void run_tasks(struct loop *loop)
{
	struct loop_task *task;

	mutex_lock(&loop->lock);
	task = loop->tasks;
	loop->tasks = &list_end;
	loop->last_task = NULL;
	while (task != &list_end) {
		struct loop_task *next = task->next;

		/* From here on it may be queued again, or freed by what it runs. */
		task->next = NULL;
		mutex_unlock(&loop->lock);
		task->run(task);
		mutex_lock(&loop->lock);
		task = next;
	}
	mutex_unlock(&loop->lock);
}

static bool tasks_wait(struct loop *loop)
{
	bool wait;

	mutex_lock(&loop->lock);
	wait = loop->tasks != &list_end;
	mutex_unlock(&loop->lock);
	return wait;
}

/* Decides under the lock whether the loop may sleep, so that no post slips in between unseen. */
static int fall_asleep(struct loop *loop, int timeout)
{
	mutex_lock(&loop->lock);
	if (loop->tasks != &list_end || loop->stop)
		timeout = 0;
	loop->awake = timeout == 0;
	mutex_unlock(&loop->lock);
	return timeout;
}

static bool wake_up(struct loop *loop)
{
	bool stop;

	mutex_lock(&loop->lock);
	loop->awake = true;
	stop = loop->stop;
	mutex_unlock(&loop->lock);
	return stop;
}

static void dispatch_events(struct loop *loop, int count)
{
	loop->event_count = count;
	for (loop->event_at = 0; loop->event_at < count;) {
		struct epoll_event *event = &loop->events[loop->event_at++];
		struct loop_fd *fd = event->data.ptr;

		if ((void *)fd == loop) {
			uint64_t counter;

			while (read(loop->wake_fd, &counter, sizeof(counter)) < 0 && errno == EINTR)
				;
		} else if (fd) {
			fd->ready(fd, event->events);
		}
	}
	loop->event_at = loop->event_count = 0;
}

int loop_run(struct loop *loop)
{
	bool stop = false;
	int r = 0;

	while (!stop) {
		int timeout = run_hooks(loop);
		int timer = until_next_timer(loop);
		int count;

		if (timer >= 0 && (timeout < 0 || timer < timeout))
			timeout = timer;
		timeout = fall_asleep(loop, timeout);
		count = epoll_wait(loop->epoll_fd, loop->events, EVENTS_MAX, timeout);
		if (count < 0)
			r = errno == EINTR ? 0 : -errno;
		stop = wake_up(loop) || r < 0;
		dispatch_events(loop, count > 0 ? count : 0);
		run_tasks(loop);
		expire_timers(loop);
	}
	while (tasks_wait(loop))
		run_tasks(loop);
	mutex_lock(&loop->lock);
	loop->stop = false;
	mutex_unlock(&loop->lock);
	return r;
}
