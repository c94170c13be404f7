/* SPDX-License-Identifier: MIT */
#include "fs/asker.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

static bool line(long number, unsigned first, unsigned second, unsigned third)
{
	char text[256];

	snprintf(text, sizeof(text), "%ld 0x%x 0x%x 0x%x 0x1b6 0x0 0x0 0x7ffd1000 0x7f2a1000\n",
		 number, first, second, third);
	return asker_line_creates_exclusively(text);
}

static void an_exclusive_create_is_recognised(void **state)
{
	(void)state;
	assert_true(line(SYS_openat, 0xffffff9c, 0x7ffe, O_WRONLY | O_CREAT | O_EXCL));
	assert_true(line(SYS_openat, 3, 0x7ffe, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC));
#ifdef SYS_open
	assert_true(line(SYS_open, 0x7ffe, O_WRONLY | O_CREAT | O_EXCL, 0600));
#endif
}

static void any_other_call_is_not(void **state)
{
	(void)state;
	assert_false(line(SYS_openat, 0xffffff9c, 0x7ffe, O_RDONLY));
	assert_false(line(SYS_openat, 0xffffff9c, 0x7ffe, O_WRONLY | O_CREAT));
	assert_false(line(SYS_openat, 0xffffff9c, 0x7ffe, O_WRONLY | O_EXCL));
	assert_false(line(SYS_openat, 0xffffff9c, O_CREAT | O_EXCL, O_WRONLY));
	assert_false(line(SYS_openat, 3, 0x7ffe, O_PATH | O_CREAT | O_EXCL));
	assert_false(line(SYS_unlinkat, 0xffffff9c, 0x7ffe, O_CREAT | O_EXCL));
	assert_false(line(SYS_read, 3, 0x7ffe, O_CREAT | O_EXCL));
}

static void what_is_not_a_thread_in_a_call_is_not(void **state)
{
	char worker[128];

	(void)state;
	assert_false(asker_line_creates_exclusively(""));
	assert_false(asker_line_creates_exclusively("running\n"));
	assert_false(asker_line_creates_exclusively("-1 0x7ffd1000 0x7f2a1000\n"));
	assert_false(asker_line_creates_exclusively("257 0xffffff9c 0x7ffe 0xc1\n"));
	/* io_uring's */
	snprintf(worker, sizeof(worker), "%d 0xffffff9c 0x7ffe 0x%x 0x0 0x0 0x0 0x0 0x0\n",
		 SYS_openat, O_CREAT | O_EXCL);
	assert_false(asker_line_creates_exclusively(worker));
}

static void a_process_that_waits_for_something_else_is_not(void **state)
{
	int ends[2];
	char byte;
	pid_t pid;

	(void)state;
	assert_int_equal(pipe(ends), 0);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		close(ends[1]);
		_exit(read(ends[0], &byte, 1) == 0 ? 0 : 1);
	}
	assert_false(asker_creates_exclusively(pid));
	close(ends[1]);
	close(ends[0]);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
	assert_false(asker_creates_exclusively(0));
	assert_false(asker_creates_exclusively(-1));
	assert_false(asker_creates_exclusively(getpid()));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_exclusive_create_is_recognised),
		cmocka_unit_test(any_other_call_is_not),
		cmocka_unit_test(what_is_not_a_thread_in_a_call_is_not),
		cmocka_unit_test(a_process_that_waits_for_something_else_is_not),
	};

	return cmocka_run_group_tests_name("fs_asker", tests, NULL, NULL);
}
