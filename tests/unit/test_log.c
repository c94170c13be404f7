/* SPDX-License-Identifier: MIT */
#include "lib/log.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

/* Lines written while stderr is a pipe. */
static int saved_stderr, pipe_read;

static void capture_begin(void)
{
	int fds[2];

	assert_int_equal(pipe(fds), 0);
	saved_stderr = dup(STDERR_FILENO);
	dup2(fds[1], STDERR_FILENO);
	close(fds[1]);
	pipe_read = fds[0];
}

static void capture_end(char *text, size_t size)
{
	size_t len = 0;
	ssize_t n;

	dup2(saved_stderr, STDERR_FILENO);
	close(saved_stderr);
	while (len < size - 1 && (n = read(pipe_read, text + len, size - 1 - len)) > 0)
		len += (size_t)n;
	text[len] = '\0';
	close(pipe_read);
}

static void a_line_is_logfmt(void **state)
{
	char text[2000];

	(void)state;
	log_init("hexkv-test", LOG_LEVEL_INFO);
	capture_begin();
	log_info("segment flushed", "file=%d records=%d", 12, 6031);
	log_debug("not shown", "x=%d", 1);
	log_error("plain", "%s", "");
	capture_end(text, sizeof(text));
	assert_int_equal(strncmp(text, "time=", 5), 0);
	assert_non_null(strstr(text, "Z level=info program=hexkv-test event=\"segment flushed\" "
				     "file=12 records=6031\n"));
	assert_null(strstr(text, "not shown"));
	assert_non_null(strstr(text, " level=error program=hexkv-test event=plain"));
}

static void a_line_stays_one_line_and_bounded(void **state)
{
	char *text = malloc(20000);
	char *longest = malloc(10000);
	const char *end;

	(void)state;
	memset(longest, 'x', 9999);
	longest[9999] = '\0';
	capture_begin();
	log_info("long", "value=%s", longest);
	log_info("lines", "value=a\nb\rc");
	capture_end(text, 20000);
	end = strchr(text, '\n');
	assert_non_null(end);
	assert_true(end - text <= 4096);
	assert_non_null(strstr(text, "value=a b c\n"));
	free(longest);
	free(text);
}

static void quoting_escapes_and_cuts(void **state)
{
	char buf[64];

	(void)state;
	assert_string_equal(log_quote("plain", buf, sizeof(buf)), "plain");
	assert_string_equal(log_quote("", buf, sizeof(buf)), "\"\"");
	assert_string_equal(log_quote("a b", buf, sizeof(buf)), "\"a b\"");
	assert_string_equal(log_quote("a\"\\\n", buf, sizeof(buf)), "\"a\\\"\\\\\\x0a\"");
	assert_string_equal(log_quote("\xc3\xa9 x", buf, sizeof(buf)), "\"\xc3\xa9 x\"");
	assert_string_equal(log_quote("\xff", buf, sizeof(buf)), "\"\\xff\"");
	for (unsigned size = 3; size < 12; size++) {
		memset(buf, 'z', sizeof(buf));
		log_quote("a\nbcdefghijk", buf, size);
		assert_true(strlen(buf) < size);
		assert_int_equal(buf[size], 'z');
	}
}

static void levels_have_names(void **state)
{
	enum log_level level;

	(void)state;
	assert_int_equal(log_level_parse("warn", &level), 0);
	assert_int_equal(level, LOG_LEVEL_WARN);
	assert_int_equal(log_level_parse("loud", &level), -EINVAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_line_is_logfmt),
		cmocka_unit_test(a_line_stays_one_line_and_bounded),
		cmocka_unit_test(quoting_escapes_and_cuts),
		cmocka_unit_test(levels_have_names),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
