/* SPDX-License-Identifier: MIT */
#include "lib/options.h"

#include "lib/cleanup.h"

#include <arpa/inet.h>
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#define EXIT_BAD_ARGUMENTS 2
#define TOKEN_BYTES_MAX    4096
#define HELP_COLUMN        30

/* What getopt_long() returns: a table index plus this, so that it's never a character. */
#define CODE_FIRST   1000
#define CODE_HELP    998
#define CODE_VERSION 999

static int __attribute__((format(printf, 2, 3)))
complain(const struct options *options, const char *format, ...)
{
	va_list args;

	fprintf(stderr, "%s: ", options->program);
	va_start(args, format);
	vfprintf(stderr, format, args);
	va_end(args);
	fputc('\n', stderr);
	return -EINVAL;
}

static void print_usage(const struct options *options)
{
	printf("Usage: %s [OPTION]...%s%s\n%s\n", options->program, options->operands ? " " : "",
	       options->operands ? options->operands : "", options->summary);
}

static void print_option(const char *name, char letter, const char *argument, const char *help)
{
	char left[80];
	int len;

	len = snprintf(left, sizeof(left), "  %c%c%s--%s%s%s", letter ? '-' : ' ',
		       letter ? letter : ' ', letter ? ", " : "  ", name, argument ? " " : "",
		       argument ? argument : "");
	if (len >= HELP_COLUMN)
		printf("%s\n%*s%s\n", left, HELP_COLUMN, "", help);
	else
		printf("%-*s%s\n", HELP_COLUMN, left, help);
}

static void print_help(const struct options *options)
{
	print_usage(options);
	putchar('\n');
	for (size_t i = 0; i < options->spec_count; i++) {
		const struct option_spec *spec = &options->specs[i];

		if (spec->kind == OPTION_GROUP)
			printf("\n%s:\n", spec->help);
		else
			print_option(spec->name, spec->letter, spec->argument, spec->help);
	}
	print_option("help", 0, NULL, "show this and exit");
	print_option("version", 0, NULL, "show the version and exit");
}

static int set_number(const struct options *options, const struct option_spec *spec,
		      const char *text)
{
	uint64_t max = spec->max ? spec->max : UINT64_MAX;
	uint64_t value;

	if (spec->kind == OPTION_UNSIGNED && max > UINT32_MAX)
		max = UINT32_MAX;
	if (parse_size(text, &value) < 0 ||
	    (spec->kind == OPTION_UNSIGNED && strspn(text, "0123456789") != strlen(text)))
		return complain(options, "--%s needs a number%s, not '%s'", spec->name,
				spec->kind == OPTION_SIZE ? " of bytes, with K, M or G" : "", text);
	if (value < spec->min)
		return complain(options, "--%s must be at least %" PRIu64, spec->name, spec->min);
	if (value > max)
		return complain(options, "--%s must be at most %" PRIu64, spec->name, max);
	if (spec->kind == OPTION_SIZE)
		*(uint64_t *)spec->target = value;
	else
		*(unsigned *)spec->target = (unsigned)value;
	return 0;
}

static int set_option(const struct options *options, const struct option_spec *spec,
		      const char *text)
{
	switch (spec->kind) {
	case OPTION_STRING:
		if (text[0] == '\0')
			return complain(options, "--%s needs a value that is not empty",
					spec->name);
		*(const char **)spec->target = text;
		return 0;
	case OPTION_FLAG:
		*(bool *)spec->target = true;
		return 0;
	case OPTION_UNSIGNED:
	case OPTION_SIZE:
		return set_number(options, spec, text);
	case OPTION_GROUP:
		break;
	}
	assert(false);
	return -EINVAL;
}

/* getopt_long()'s own tables. */
struct tables {
	struct option *longs;
	char *shorts;
};

static void tables_deinit(struct tables *tables)
{
	free(tables->longs);
	free(tables->shorts);
}

static int tables_init(struct tables *tables, const struct options *options)
{
	struct option *at;
	char *letter;

	tables->longs = calloc(options->spec_count + 3, sizeof(*tables->longs));
	tables->shorts = calloc(2 * options->spec_count + 2, 1);
	if (!tables->longs || !tables->shorts)
		return -ENOMEM;
	at = tables->longs;
	letter = tables->shorts;
	*letter++ = ':'; /* tell a missing argument from an unknown option */
	for (size_t i = 0; i < options->spec_count; i++) {
		const struct option_spec *spec = &options->specs[i];
		int has_argument = spec->kind == OPTION_FLAG ? no_argument : required_argument;

		if (spec->kind == OPTION_GROUP)
			continue;
		*at++ = (struct option){ spec->name, has_argument, NULL, CODE_FIRST + (int)i };
		if (!spec->letter)
			continue;
		*letter++ = spec->letter;
		if (has_argument == required_argument)
			*letter++ = ':';
	}
	*at++ = (struct option){ "help", no_argument, NULL, CODE_HELP };
	*at++ = (struct option){ "version", no_argument, NULL, CODE_VERSION };
	return 0;
}

static const struct option_spec *find_spec(const struct options *options, int code)
{
	if (code >= CODE_FIRST)
		return &options->specs[code - CODE_FIRST];
	for (size_t i = 0; i < options->spec_count; i++) {
		if (options->specs[i].kind != OPTION_GROUP && options->specs[i].letter == code)
			return &options->specs[i];
	}
	return NULL;
}

static int complain_unknown(const struct options *options, char **argv)
{
	const struct option_spec *spec = optopt ? find_spec(options, optopt) : NULL;

	if (spec || optopt == CODE_HELP || optopt == CODE_VERSION)
		return complain(options, "%s takes no value; leave out what follows the =",
				argv[optind - 1]);
	if (optopt)
		return complain(options, "unknown option -%c; --help lists those there are",
				optopt);
	return complain(options, "unknown option %s; --help lists those there are",
			argv[optind - 1]);
}

/* 0: applied, 1: the program ends well, negative: a bad argument. */
static int apply(const struct options *options, int code, char **argv)
{
	switch (code) {
	case CODE_HELP:
		print_help(options);
		return 1;
	case CODE_VERSION:
		printf("%s %s\n", options->program, HEXKV_VERSION);
		return 1;
	case ':':
		return complain(options, "option %s needs a value", argv[optind - 1]);
	case '?':
		return complain_unknown(options, argv);
	default:
		return set_option(options, find_spec(options, code), optarg);
	}
}

int options_parse(const struct options *options, int argc, char **argv, int *ret_first_operand,
		  int *ret_exit)
{
	_cleanup_(tables_deinit) struct tables tables = { 0 };
	int code, r;

	if (tables_init(&tables, options) < 0) {
		complain(options, "out of memory");
		*ret_exit = 1;
		return 1;
	}
	optind = 0;
	opterr = 0;
	for (;;) {
		code = getopt_long(argc, argv, tables.shorts, tables.longs, NULL);
		if (code == -1)
			break;
		r = apply(options, code, argv);
		if (r != 0) {
			*ret_exit = r < 0 ? EXIT_BAD_ARGUMENTS : 0;
			return 1;
		}
	}
	if (!options->operands && optind < argc) {
		complain(options, "unexpected argument '%s'; options begin with --", argv[optind]);
		*ret_exit = EXIT_BAD_ARGUMENTS;
		return 1;
	}
	*ret_first_operand = optind;
	return 0;
}

int parse_host_port(const char *text, char *ret_host, size_t size, uint16_t *ret_port)
{
	const char *colon = strrchr(text, ':');
	const char *host = text;
	bool bracketed = text[0] == '[';
	struct in6_addr address;
	size_t len;
	unsigned port = 0;

	if (!colon || colon[1] == '\0' || strlen(colon + 1) > 5)
		return -EINVAL;
	for (const char *at = colon + 1; *at; at++) {
		if (*at < '0' || *at > '9')
			return -EINVAL;
		port = port * 10 + (unsigned)(*at - '0');
	}
	if (port > UINT16_MAX)
		return -EINVAL;
	len = (size_t)(colon - text);
	if (bracketed) {
		if (len < 2 || text[len - 1] != ']')
			return -EINVAL;
		host++;
		len -= 2;
	}
	if (len >= size)
		return -EINVAL;
	memcpy(ret_host, host, len);
	ret_host[len] = '\0';
	if (inet_pton(bracketed ? AF_INET6 : AF_INET, ret_host, &address) != 1)
		return -EINVAL;
	*ret_port = (uint16_t)port;
	return 0;
}

int parse_size(const char *text, uint64_t *ret_bytes)
{
	static const char suffixes[] = "KMG";
	const char *at = text;
	const char *suffix;
	uint64_t value = 0;

	if (*at < '0' || *at > '9')
		return -EINVAL;
	for (; *at >= '0' && *at <= '9'; at++) {
		if (__builtin_mul_overflow(value, 10, &value) ||
		    __builtin_add_overflow(value, (uint64_t)(*at - '0'), &value))
			return -EINVAL;
	}
	if (*at) {
		suffix = strchr(suffixes, *at);
		if (!suffix || at[1] != '\0')
			return -EINVAL;
		if (__builtin_mul_overflow(value, 1024ull << (10 * (suffix - suffixes)), &value))
			return -EINVAL;
	}
	*ret_bytes = value;
	return 0;
}

int read_token_file(const char *path, char **ret_token)
{
	_cleanup_(closep) int fd = open(path, O_RDONLY | O_CLOEXEC);
	char text[TOKEN_BYTES_MAX + 3];
	size_t len = 0, line;

	if (fd < 0)
		return -errno;
	while (len < sizeof(text)) {
		ssize_t n = read(fd, text + len, sizeof(text) - len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (n == 0)
			break;
		len += (size_t)n;
	}
	for (line = 0; line < len && text[line] != '\n'; line++)
		;
	if (line > 0 && text[line - 1] == '\r')
		line--;
	if (line == 0 || line > TOKEN_BYTES_MAX)
		return -EINVAL;
	for (size_t i = 0; i < line; i++) {
		/* It travels in a header: visible ASCII. */
		if (text[i] <= ' ' || text[i] > '~')
			return -EINVAL;
	}
	*ret_token = strndup(text, line);
	return *ret_token ? 0 : -ENOMEM;
}
