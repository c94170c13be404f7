/* SPDX-License-Identifier: MIT */
#include "lib/loop.h"

#include "lib/clock.h"
#include "lib/container_of.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

static struct loop *loop;
static char order[64];
static unsigned count;

static int setup(void **state)
{
	(void)state;
	memset(order, 0, sizeof(order));
	count = 0;
	return loop_new(&loop);
}

static int teardown(void **state)
{
	(void)state;
	loop = loop_free(loop);
	return 0;
}

struct letter_timer {
	struct loop_timer timer;
	char letter;
	bool last;
};

static void note(struct loop_timer *timer)
{
	struct letter_timer *letter = container_of(timer, struct letter_timer, timer);

	order[count++] = letter->letter;
	if (letter->last)
		loop_stop(loop);
}

static void timers_expire_in_order_whatever_order_they_were_set_in(void **state)
{
	struct letter_timer timers[6] = { 0 };
	uint64_t now = clock_monotonic_ms();
	const int delay[] = { 30, 10, 50, 20, 40, 25 };

	(void)state;
	for (int i = 0; i < 6; i++) {
		timers[i].timer.expired = note;
		timers[i].letter = (char)('a' + i);
		timers[i].last = delay[i] == 50;
		assert_int_equal(loop_set_timer(loop, &timers[i].timer, now + (unsigned)delay[i]),
				 0);
	}
	/* One is cleared, one moved to the front. */
	loop_clear_timer(loop, &timers[5].timer);
	loop_set_timer(loop, &timers[4].timer, now + 5);
	assert_int_equal(loop_run(loop), 0);
	assert_string_equal(order, "ebdac");
	assert_true(clock_monotonic_ms() >= now + 50);
}

static void many_timers_keep_the_heap_in_order(void **state)
{
	static struct loop_timer timers[2000];

	(void)state;
	srand(7);
	for (int i = 0; i < 2000; i++)
		assert_int_equal(loop_set_timer(loop, &timers[i], 1 + (unsigned)rand() % 5000), 0);
	for (int i = 0; i < 2000; i += 3)
		loop_clear_timer(loop, &timers[i]);
	for (int i = 1; i < 2000; i += 3)
		assert_int_equal(loop_set_timer(loop, &timers[i], 1 + (unsigned)rand() % 5000), 0);
	for (int i = 0; i < 2000; i++)
		assert_int_equal(timers[i].armed, i % 3 != 0);
	for (int i = 0; i < 2000; i++)
		loop_clear_timer(loop, &timers[i]);
}

struct poster {
	struct loop_task task;
	unsigned posts;
	_Atomic unsigned runs;
};

static void count_run(struct loop_task *task)
{
	struct poster *poster = container_of(task, struct poster, task);

	poster->runs++;
}

static void *post_many(void *arg)
{
	struct poster *poster = arg;

	for (unsigned i = 0; i < poster->posts; i++) {
		unsigned before = poster->runs;

		loop_post(loop, &poster->task);
		/* Every post is answered: a lost wake-up would hang here. */
		while (poster->runs == before)
			;
	}
	loop_stop(loop);
	return NULL;
}

static void a_post_always_wakes_the_loop(void **state)
{
	struct poster poster = { .task.run = count_run, .posts = 2000 };
	pthread_t thread;

	(void)state;
	pthread_create(&thread, NULL, post_many, &poster);
	assert_int_equal(loop_run(loop), 0);
	pthread_join(thread, NULL);
	assert_int_equal(poster.runs, 2000);
}

static void a_task_that_is_queued_already_runs_once(void **state)
{
	struct poster poster = { .task.run = count_run };

	(void)state;
	loop_post(loop, &poster.task);
	loop_post(loop, &poster.task);
	loop_stop(loop);
	assert_int_equal(loop_run(loop), 0);
	assert_int_equal(poster.runs, 1);
	/* And it may be posted, and the loop run, again. */
	loop_post(loop, &poster.task);
	loop_stop(loop);
	assert_int_equal(loop_run(loop), 0);
	assert_int_equal(poster.runs, 2);
}

struct ready_fd {
	struct loop_fd fd;
	struct ready_fd *other;
};

static void read_and_remove_other(struct loop_fd *fd, uint32_t events)
{
	struct ready_fd *ready = container_of(fd, struct ready_fd, fd);

	(void)events;
	count++;
	loop_remove_fd(loop, &ready->other->fd);
	loop_remove_fd(loop, &ready->fd);
	loop_stop(loop);
}

static void a_removed_descriptor_is_not_called_though_its_event_is_queued(void **state)
{
	int a[2], b[2];
	struct ready_fd fds[2];

	(void)state;
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, a), 0);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, b), 0);
	fds[0] = (struct ready_fd){
		.fd = { .fd = a[0], .events = EPOLLIN, .ready = read_and_remove_other },
		.other = &fds[1],
	};
	fds[1] = (struct ready_fd){
		.fd = { .fd = b[0], .events = EPOLLIN, .ready = read_and_remove_other },
		.other = &fds[0],
	};
	assert_int_equal(loop_add_fd(loop, &fds[0].fd), 0);
	assert_int_equal(loop_add_fd(loop, &fds[1].fd), 0);
	assert_int_equal(write(a[1], "x", 1), 1);
	assert_int_equal(write(b[1], "x", 1), 1);
	assert_int_equal(loop_run(loop), 0);
	assert_int_equal(count, 1);
	for (int i = 0; i < 2; i++) {
		close(a[i]);
		close(b[i]);
	}
}

struct letter_hook {
	struct loop_hook hook;
	char letter;
	struct loop_hook *removes;
};

static int note_turn(struct loop_hook *hook)
{
	struct letter_hook *letter = container_of(hook, struct letter_hook, hook);

	order[count++] = letter->letter;
	if (letter->removes)
		loop_remove_hook(loop, letter->removes);
	return -1;
}

static void late_hooks_run_last_and_a_hook_may_remove_others(void **state)
{
	struct letter_hook late = { .hook = { .turn = note_turn, .late = true }, .letter = 'z' };
	struct letter_hook first = { .hook.turn = note_turn, .letter = 'a' };
	struct letter_hook second = { .hook.turn = note_turn, .letter = 'b' };

	(void)state;
	loop_add_hook(loop, &late.hook);
	loop_add_hook(loop, &first.hook);
	loop_add_hook(loop, &second.hook);
	loop_stop(loop);
	assert_int_equal(loop_run(loop), 0);
	assert_string_equal(order, "abz");

	first.removes = &second.hook;
	late.removes = &late.hook;
	loop_stop(loop);
	assert_int_equal(loop_run(loop), 0);
	assert_string_equal(order, "abzaz");
	loop_stop(loop);
	assert_int_equal(loop_run(loop), 0);
	assert_string_equal(order, "abzaza");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(
			timers_expire_in_order_whatever_order_they_were_set_in, setup, teardown),
		cmocka_unit_test_setup_teardown(many_timers_keep_the_heap_in_order, setup,
						teardown),
		cmocka_unit_test_setup_teardown(a_post_always_wakes_the_loop, setup, teardown),
		cmocka_unit_test_setup_teardown(a_task_that_is_queued_already_runs_once, setup,
						teardown),
		cmocka_unit_test_setup_teardown(
			a_removed_descriptor_is_not_called_though_its_event_is_queued, setup,
			teardown),
		cmocka_unit_test_setup_teardown(late_hooks_run_last_and_a_hook_may_remove_others,
						setup, teardown),
	};

	return cmocka_run_group_tests_name("loop", tests, NULL, NULL);
}
