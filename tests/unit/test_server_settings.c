/* SPDX-License-Identifier: MIT */
#include "lib/server_settings.h"

#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cmocka.h>

static char dir[64], token_path[96], said_path[96];
static char said[1024];

static int set_up(void **state)
{
	(void)state;
	snprintf(dir, sizeof(dir), "/tmp/test_server_settings.XXXXXX");
	assert_non_null(mkdtemp(dir));
	snprintf(token_path, sizeof(token_path), "%s/token", dir);
	snprintf(said_path, sizeof(said_path), "%s/said", dir);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	unlink(token_path);
	unlink(said_path);
	return rmdir(dir);
}

static void write_token(const char *text)
{
	FILE *file = fopen(token_path, "we");

	assert_non_null(file);
	assert_true(fputs(text, file) >= 0);
	assert_int_equal(fclose(file), 0);
}

/* What goes to stderr meanwhile is in said. */
static int quietly(int (*what)(struct server_settings *, const char *), struct server_settings *s,
		   const char *argument)
{
	int keep = dup(STDERR_FILENO), fd, r;
	ssize_t n;

	fd = open(said_path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	assert_true(keep >= 0 && fd >= 0);
	fflush(stderr);
	dup2(fd, STDERR_FILENO);
	r = what(s, argument);
	fflush(stderr);
	dup2(keep, STDERR_FILENO);
	n = pread(fd, said, sizeof(said) - 1, 0);
	said[n > 0 ? n : 0] = '\0';
	close(fd);
	close(keep);
	return r;
}

static int apply(struct server_settings *s)
{
	return quietly(server_settings_apply, s, "prog");
}

/* One option, as the command line has it. */
static int parse(struct server_settings *s, const char *argument)
{
	struct option_spec specs[SERVER_SETTINGS_SPECS];
	struct options options = { .program = "prog",
				   .summary = "",
				   .specs = specs,
				   .spec_count = SERVER_SETTINGS_SPECS };
	char copy[128];
	char *argv[] = { (char *)"prog", copy, NULL };
	int first, status = 0;

	snprintf(copy, sizeof(copy), "%s", argument);
	server_settings_specs(s, specs);
	return options_parse(&options, 2, argv, &first, &status) != 0 ? status : 0;
}

static void defaults_are_sound_and_need_no_file(void **state)
{
	struct server_settings s = SERVER_SETTINGS_DEFAULT;

	(void)state;
	assert_int_equal(apply(&s), 0);
	assert_string_equal(said, "");
	assert_int_equal(s.server.workers, 2);
	assert_int_equal(s.server.http.connection_limit, 1024);
	assert_null(s.server.http.token);
	server_settings_deinit(&s);
}

static void seconds_of_the_command_line_are_milliseconds_of_the_server(void **state)
{
	struct server_settings s = SERVER_SETTINGS_DEFAULT;

	(void)state;
	assert_int_equal(apply(&s), 0);
	assert_int_equal(s.server.http.idle_timeout_ms, 120000);
	assert_int_equal(s.server.http.head_timeout_ms, 10000);
	assert_int_equal(s.server.drain_ms, 30000);
	/* The most that is taken. */
	assert_int_equal(quietly(parse, &s, "--idle-timeout=86400"), 0);
	assert_int_equal(quietly(parse, &s, "--head-timeout=3600"), 0);
	assert_int_equal(quietly(parse, &s, "--drain-timeout=0"), 0);
	assert_int_equal(apply(&s), 0);
	assert_int_equal(s.server.http.idle_timeout_ms, 86400000);
	assert_int_equal(s.server.http.head_timeout_ms, 3600000);
	assert_int_equal(s.server.drain_ms, 0);
	server_settings_deinit(&s);
}

static void numbers_out_of_bounds_are_refused(void **state)
{
	static const char *const bad[] = {
		"--workers=0",          "--workers=65",         "--connection-limit=7",
		"--idle-timeout=0",     "--idle-timeout=86401", "--head-timeout=0",
		"--drain-timeout=3601", "--drain-timeout=-1",   "--connection-limit=65537",
		"--head-timeout=1m",
	};
	struct server_settings s = SERVER_SETTINGS_DEFAULT;

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		if (quietly(parse, &s, bad[i]) != 2)
			fail_msg("%s was taken", bad[i]);
		assert_string_not_equal(said, "");
	}
}

static void a_bad_level_is_one_sentence_and_status_2(void **state)
{
	static const char *const bad[] = { "loud", "", "INFO", "info " };

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct server_settings s = SERVER_SETTINGS_DEFAULT;

		s.log_level = bad[i];
		assert_int_equal(apply(&s), 2);
		assert_string_equal(said, "prog: --log-level must be error, warn, info or debug\n");
		server_settings_deinit(&s);
	}
}

static void every_level_of_the_help_is_taken(void **state)
{
	static const char *const good[] = { "error", "warn", "info", "debug" };

	(void)state;
	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		struct server_settings s = SERVER_SETTINGS_DEFAULT;

		s.log_level = good[i];
		assert_int_equal(apply(&s), 0);
		server_settings_deinit(&s);
	}
}

static void a_token_file_without_a_token_is_one_sentence_and_status_2(void **state)
{
	static const char *const bad[] = { NULL, "", "\n", "two words\n", "\nsecond line\n" };

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct server_settings s = SERVER_SETTINGS_DEFAULT;

		if (bad[i])
			write_token(bad[i]);
		s.token_file = token_path;
		assert_int_equal(apply(&s), 2);
		assert_int_equal(strncmp(said, "prog: --token-file must name", 28), 0);
		assert_ptr_equal(strchr(said, '\n'), said + strlen(said) - 1);
		assert_null(s.token);
		assert_null(s.server.http.token);
		server_settings_deinit(&s);
	}
}

static void the_server_asks_for_the_token_of_the_file_until_it_is_freed(void **state)
{
	struct server_settings s = SERVER_SETTINGS_DEFAULT;

	(void)state;
	write_token("secret\r\nnot this\n");
	s.token_file = token_path;
	assert_int_equal(apply(&s), 0);
	assert_string_equal(s.server.http.token, "secret");
	assert_null(strstr(said, "secret"));
	server_settings_deinit(&s);
	assert_null(s.token);
	assert_null(s.server.http.token);
	server_settings_deinit(&s);
}

static void files_may_be_as_many_as_the_system_lets(void **state)
{
	struct server_settings s = SERVER_SETTINGS_DEFAULT;
	struct rlimit limit;

	(void)state;
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
	limit.rlim_cur = 64;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
	assert_int_equal(apply(&s), 0);
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
	assert_int_equal(limit.rlim_cur, limit.rlim_max);
	server_settings_deinit(&s);
}

static void signals_that_end_the_server_are_left_to_it(void **state)
{
	struct server_settings s = SERVER_SETTINGS_DEFAULT;
	sigset_t before, after;

	(void)state;
	sigemptyset(&after);
	pthread_sigmask(SIG_SETMASK, &after, &before);
	assert_int_equal(apply(&s), 0);
	pthread_sigmask(SIG_SETMASK, &before, &after);
	assert_int_equal(sigismember(&after, SIGTERM), 1);
	assert_int_equal(sigismember(&after, SIGINT), 1);
	assert_int_equal(sigismember(&after, SIGSEGV), 0);
	server_settings_deinit(&s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
		TEST(defaults_are_sound_and_need_no_file),
		TEST(seconds_of_the_command_line_are_milliseconds_of_the_server),
		TEST(numbers_out_of_bounds_are_refused),
		TEST(a_bad_level_is_one_sentence_and_status_2),
		TEST(every_level_of_the_help_is_taken),
		TEST(a_token_file_without_a_token_is_one_sentence_and_status_2),
		TEST(the_server_asks_for_the_token_of_the_file_until_it_is_freed),
		TEST(files_may_be_as_many_as_the_system_lets),
		TEST(signals_that_end_the_server_are_left_to_it),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
