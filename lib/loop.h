/* SPDX-License-Identifier: MIT */
/*
 * Event loop over epoll: descriptors (level-triggered), timers, tasks posted by other threads, and
 * hooks that run once a turn. Nothing that runs in a loop may block.
 *
 * Ownership: all structs are embedded by their users and must stay in place while registered.
 * Threads: loop_post() and loop_stop() from any thread; everything else from the loop's own thread
 * only (or before it runs).
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

struct loop;

struct loop_fd {
	int fd; /* borrowed */
	uint32_t events; /* EPOLLIN | EPOLLOUT */
	void (*ready)(struct loop_fd *, uint32_t events);
};

struct loop_timer {
	void (*expired)(struct loop_timer *);
	uint64_t due_ms; /* clock_monotonic_ms() */
	int heap_index; /* the loop's; -1 or 0-initialised while not armed */
	bool armed;
};

struct loop_task {
	void (*run)(struct loop_task *);
	struct loop_task *next; /* the loop's */
};

/* Runs each turn just before the loop sleeps. Returns how long it may sleep: ms, -1 = for ever, 0 =
 * not at all. */
struct loop_hook {
	int (*turn)(struct loop_hook *);
	bool late; /* runs after all that are not: for what sends what the others queued */
	struct loop_hook *next; /* the loop's */
};

int loop_new(struct loop **ret_loop);
struct loop *loop_free(struct loop *loop);

int loop_add_fd(struct loop *loop, struct loop_fd *fd);
int loop_change_fd(struct loop *loop, struct loop_fd *fd, uint32_t events);
/* Safe inside any callback, also for a descriptor whose event is still queued in this turn. */
void loop_remove_fd(struct loop *loop, struct loop_fd *fd);

/* Arms or re-arms. */
int loop_set_timer(struct loop *loop, struct loop_timer *timer, uint64_t due_ms);
void loop_clear_timer(struct loop *loop, struct loop_timer *timer);

/* In the order they were added. Both are allowed inside hooks. */
void loop_add_hook(struct loop *loop, struct loop_hook *hook);
void loop_remove_hook(struct loop *loop, struct loop_hook *hook);
/* The next sleep does not happen: for work that a late hook makes for an earlier one. */
void loop_turn_again(struct loop *loop);

/* Queues @task to run in the loop's thread and wakes it. Nothing happens if it is queued already;
 * it may be queued again, or freed, from its run() on. */
void loop_post(struct loop *loop, struct loop_task *task);

/* Runs until loop_stop(); posted tasks are all run before it returns. It may then be run again.
 * 0 or a negative errno of epoll_wait. */
int loop_run(struct loop *loop);
void loop_stop(struct loop *loop);
