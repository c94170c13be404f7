/* SPDX-License-Identifier: MIT */
#include "lib/options.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static const char *data_dir;
static bool verbose;
static unsigned workers;
static uint64_t cache_bytes;

static const struct option_spec specs[] = {
	{ .kind = OPTION_GROUP, .help = "Main" },
	{ "data", 'd', OPTION_STRING, &data_dir, "DIR", "where the data is", 0, 0 },
	{ "verbose", 'v', OPTION_FLAG, &verbose, NULL, "say more", 0, 0 },
	{ "workers", 0, OPTION_UNSIGNED, &workers, "N", "threads (default 2)", 1, 64 },
	{ "cache-bytes", 0, OPTION_SIZE, &cache_bytes, "SIZE", "of the cache", 4096, 0 },
};

static struct options options = { .program = "hexkv-test",
				  .summary = "Tests options.",
				  .operands = "URL",
				  .specs = specs,
				  .spec_count = sizeof(specs) / sizeof(specs[0]) };

/* Parses a command line of words; what it printed is in output. */
static char output[8192];
static int first_operand, exit_status;

static int parse(const char *line)
{
	char copy[200], *argv[20] = { (char *)"hexkv-test" };
	int argc = 1, fds[2], saved_out, saved_err, r;
	size_t len = 0;
	ssize_t n;

	data_dir = NULL;
	verbose = false;
	workers = 2;
	cache_bytes = 0;
	exit_status = -1;
	snprintf(copy, sizeof(copy), "%s", line);
	for (char *word = strtok(copy, " "); word; word = strtok(NULL, " "))
		argv[argc++] = word;
	assert_int_equal(pipe(fds), 0);
	fflush(stdout);
	saved_out = dup(STDOUT_FILENO);
	saved_err = dup(STDERR_FILENO);
	dup2(fds[1], STDOUT_FILENO);
	dup2(fds[1], STDERR_FILENO);
	close(fds[1]);
	r = options_parse(&options, argc, argv, &first_operand, &exit_status);
	fflush(stdout);
	dup2(saved_out, STDOUT_FILENO);
	dup2(saved_err, STDERR_FILENO);
	close(saved_out);
	close(saved_err);
	while ((n = read(fds[0], output + len, sizeof(output) - 1 - len)) > 0)
		len += (size_t)n;
	output[len] = '\0';
	close(fds[0]);
	return r;
}

static void options_set_their_targets(void **state)
{
	(void)state;
	assert_int_equal(parse("--data /d --verbose --workers=8 --cache-bytes 64M http://x"), 0);
	assert_int_equal(verbose, true);
	assert_int_equal(workers, 8);
	assert_int_equal(cache_bytes, 64 * 1024 * 1024);
	assert_int_equal(first_operand, 7);
	assert_int_equal(parse("-v -d/dir -- --x"), 0);
	assert_int_equal(verbose, true);
	assert_int_equal(parse(""), 0);
	assert_int_equal(workers, 2);
	assert_string_equal(output, "");
}

static void bad_arguments_exit_2_with_one_sentence(void **state)
{
	static const struct {
		const char *line, *words;
	} table[] = {
		{ "--colour", "unknown option --colour" },
		{ "--colour=red", "unknown option --colour=red" },
		{ "-x", "unknown option -x" },
		{ "--data", "--data needs a value" },
		{ "-d", "-d needs a value" },
		{ "--data=", "not empty" },
		{ "--verbose=yes", "takes no value" },
		{ "--help=yes", "takes no value" },
		{ "--workers 0", "--workers must be at least 1" },
		{ "--workers 65", "--workers must be at most 64" },
		{ "--workers two", "needs a number, not 'two'" },
		{ "--workers 1K", "needs a number, not '1K'" },
		{ "--workers -1", "needs a number" },
		{ "--workers 4294967297", "at most 64" },
		{ "--cache-bytes 12X", "needs a number of bytes" },
		{ "--cache-bytes 1", "at least 4096" },
		{ "--cache-bytes 99999999999999999999", "needs a number" },
		{ "--cache-bytes 18014398509481984K", "needs a number" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		assert_int_equal(parse(table[i].line), 1);
		assert_int_equal(exit_status, 2);
		if (!strstr(output, table[i].words))
			fail_msg("'%s' says '%s'", table[i].line, output);
		assert_int_equal(strncmp(output, "hexkv-test: ", 12), 0);
		assert_ptr_equal(strchr(output, '\n'), output + strlen(output) - 1);
	}
}

static void operands_are_refused_where_none_are_taken(void **state)
{
	(void)state;
	options.operands = NULL;
	assert_int_equal(parse("--verbose word"), 1);
	options.operands = "URL";
	assert_int_equal(exit_status, 2);
	assert_non_null(strstr(output, "unexpected argument 'word'"));
}

static void help_and_version_exit_0(void **state)
{
	(void)state;
	assert_int_equal(parse("--help"), 1);
	assert_int_equal(exit_status, 0);
	assert_non_null(strstr(output, "Usage: hexkv-test [OPTION]... URL\nTests options.\n"));
	assert_non_null(strstr(output, "\nMain:\n  -d, --data DIR              where the data is\n"
				       "  -v, --verbose               say more\n"
				       "      --workers N             threads (default 2)\n"));
	assert_non_null(strstr(output, "--help"));
	assert_int_equal(parse("--version"), 1);
	assert_int_equal(exit_status, 0);
	assert_int_equal(strncmp(output, "hexkv-test ", 11), 0);
}

static void addresses_are_numeric_with_a_port(void **state)
{
	const char *const bad[] = { "",
				    "127.0.0.1",
				    "127.0.0.1:",
				    ":80",
				    "127.0.0.1:x",
				    "127.0.0.1:65536",
				    "127.0.0.1:-1",
				    "localhost:80",
				    "::1:80",
				    "[::1]",
				    "[::1]80",
				    "[::1:80",
				    "[127.0.0.1]:80",
				    "127.0.0.1:000080",
				    "1.2.3.4.5:80",
				    "[]:80" };
	char host[64];
	uint16_t port;

	(void)state;
	assert_int_equal(parse_host_port("127.0.0.1:8080", host, sizeof(host), &port), 0);
	assert_string_equal(host, "127.0.0.1");
	assert_int_equal(port, 8080);
	assert_int_equal(parse_host_port("[::1]:0", host, sizeof(host), &port), 0);
	assert_string_equal(host, "::1");
	assert_int_equal(port, 0);
	assert_int_equal(parse_host_port("[::1]:1", host, 3, &port), -EINVAL);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		if (parse_host_port(bad[i], host, sizeof(host), &port) != -EINVAL)
			fail_msg("'%s' was taken", bad[i]);
	}
}

static void sizes_have_binary_suffixes(void **state)
{
	const char *const bad[] = { "",
				    "K",
				    "1k",
				    "1KB",
				    "1 K",
				    "-1",
				    "+1",
				    "1.5M",
				    "0x10",
				    "18446744073709551616",
				    "17179869184G" };
	uint64_t bytes;

	(void)state;
	assert_int_equal(parse_size("0", &bytes), 0);
	assert_int_equal(parse_size("18446744073709551615", &bytes), 0);
	assert_true(bytes == UINT64_MAX);
	assert_int_equal(parse_size("3K", &bytes), 0);
	assert_int_equal(bytes, 3072);
	assert_int_equal(parse_size("17179869183G", &bytes), 0);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		if (parse_size(bad[i], &bytes) != -EINVAL)
			fail_msg("'%s' was taken", bad[i]);
	}
}

static int token_of(const char *text, size_t len, char **ret_token)
{
	char path[] = "/tmp/hexkv-test-token-XXXXXX";
	int fd = mkstemp(path), r;

	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, len), len);
	close(fd);
	r = read_token_file(path, ret_token);
	unlink(path);
	return r;
}

static void a_token_is_the_first_line(void **state)
{
	char longest[4098], *token;

	(void)state;
	assert_int_equal(token_of("secret", 6, &token), 0);
	assert_string_equal(token, "secret");
	free(token);
	assert_int_equal(token_of("secret\r\nmore\n", 13, &token), 0);
	assert_string_equal(token, "secret");
	free(token);
	memset(longest, 'x', sizeof(longest));
	assert_int_equal(token_of(longest, 4096, &token), 0);
	assert_int_equal(strlen(token), 4096);
	free(token);
	longest[4096] = '\n';
	assert_int_equal(token_of(longest, 4097, &token), 0);
	free(token);
	longest[4096] = 'x';
	assert_int_equal(token_of(longest, 4097, &token), -EINVAL);
	assert_int_equal(token_of("", 0, &token), -EINVAL);
	assert_int_equal(token_of("\nsecret", 7, &token), -EINVAL);
	assert_int_equal(token_of("a b", 3, &token), -EINVAL);
	assert_int_equal(token_of("a\0b", 3, &token), -EINVAL);
	assert_int_equal(token_of("\xc3\xa9", 2, &token), -EINVAL);
	assert_int_equal(read_token_file("/nowhere/token", &token), -ENOENT);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(options_set_their_targets),
		cmocka_unit_test(bad_arguments_exit_2_with_one_sentence),
		cmocka_unit_test(operands_are_refused_where_none_are_taken),
		cmocka_unit_test(help_and_version_exit_0),
		cmocka_unit_test(addresses_are_numeric_with_a_port),
		cmocka_unit_test(sizes_have_binary_suffixes),
		cmocka_unit_test(a_token_is_the_first_line),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
