/* SPDX-License-Identifier: MIT */
/*
 * Command lines over getopt_long(3): one table gives parsing and --help.
 * Errors: one sentence to stderr that says what to mend, and exit status 2.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

enum option_kind {
	OPTION_STRING, /* const char ** */
	OPTION_FLAG, /* bool * */
	OPTION_UNSIGNED, /* unsigned * */
	OPTION_SIZE, /* uint64_t *, bytes, suffixes K M G (1024) */
	OPTION_GROUP, /* no option: a heading in --help */
};

struct option_spec {
	const char *name; /* long name without dashes */
	char letter; /* 0: none */
	enum option_kind kind;
	void *target;
	const char *argument; /* "DIR" */
	const char *help;
	uint64_t min, max; /* OPTION_UNSIGNED, OPTION_SIZE; max 0 = no limit */
};

struct options {
	const char *program;
	const char *summary; /* one line */
	const char *operands; /* "URL MOUNTPOINT", NULL if none are taken */
	const struct option_spec *specs;
	size_t spec_count;
};

/* Handles --help and --version (prints, *ret_exit = 0) and bad arguments (*ret_exit = 2): returns
 * 1, the program ends with *ret_exit. Otherwise 0 and the index of the first operand. */
int options_parse(const struct options *options, int argc, char **argv, int *ret_first_operand,
		  int *ret_exit);
/* "ADDR:PORT", "[::1]:8080"; numeric addresses. 0 or -EINVAL. @ret_host has room for @size. */
int parse_host_port(const char *text, char *ret_host, size_t size, uint16_t *ret_port);
int parse_size(const char *text, uint64_t *ret_bytes);
/* First line of a token file, without its end; to be freed. Negative errno, -EINVAL if empty or
 * over 4096 bytes. */
int read_token_file(const char *path, char **ret_token);
