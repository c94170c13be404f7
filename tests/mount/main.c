/* SPDX-License-Identifier: MIT */
/*
 * Random operations on real mounts of a real cluster. One seed is one sequence of steps. The files:
 *
 *   main.c      options
 *   random.h    the numbers of a seed; report.c: what a failure tells
 *   site.c      a mount that is begun and ended; side.c: HTTP past it
 *   world.c     the model
 *   exact.c     one thread and the model: exact_open.c, exact_map.c, exact_name.c, exact_side.c
 *               are its steps
 */
#include "tests/mount/exact.h"
#include "tests/mount/report.h"
#include "tests/mount/site.h"

#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static const char usage[] =
	"usage: mount_random --program HEXKV-FS --url ROUTER --dir DIR [--seed N] [--steps M]\n"
	"       [--until STEP] [--seconds S] [--mounts 1|2] [--keys 1-8] [--options LIST]\n"
	"       [--no-remounts] [--checks] [--trace]\n"
	"\n"
	"Mounts ROUTER in directories that it makes in DIR, and does M random steps there, or as\n"
	"many as S seconds allow. --until stops at a step, as if it had failed. --keys 1 works on\n"
	"one file alone, --checks looks at all records after each step, --trace prints every "
	"step.\n";

enum { OPTION_TRACE = 256, OPTION_NO_REMOUNTS, OPTION_CHECKS };

struct arguments {
	struct exact_options exact;
	struct site site; /* what all are made after */
	const char *dir;
	bool trace;
};

static const struct option options[] = {
	{ "program", required_argument, NULL, 'p' },
	{ "url", required_argument, NULL, 'u' },
	{ "dir", required_argument, NULL, 'd' },
	{ "seed", required_argument, NULL, 's' },
	{ "steps", required_argument, NULL, 'n' },
	{ "until", required_argument, NULL, 'U' },
	{ "seconds", required_argument, NULL, 'S' },
	{ "mounts", required_argument, NULL, 'm' },
	{ "keys", required_argument, NULL, 'k' },
	{ "options", required_argument, NULL, 'o' },
	{ "no-remounts", no_argument, NULL, OPTION_NO_REMOUNTS },
	{ "checks", no_argument, NULL, OPTION_CHECKS },
	{ "trace", no_argument, NULL, OPTION_TRACE },
	{ 0 },
};

/* What getopt_long() made of one argument. */
static bool set_option(int option, struct arguments *ret)
{
	switch (option) {
	case 'p':
		ret->site.program = optarg;
		break;
	case 'u':
		ret->site.url = optarg;
		break;
	case 'd':
		ret->dir = optarg;
		break;
	case 's':
		ret->exact.seed = strtoull(optarg, NULL, 10);
		break;
	case 'n':
		ret->exact.steps = strtoull(optarg, NULL, 10);
		break;
	case 'U':
		ret->exact.until = strtoull(optarg, NULL, 10);
		break;
	case 'S':
		ret->exact.seconds = strtoull(optarg, NULL, 10);
		break;
	case 'm':
		ret->exact.mounts = (unsigned)strtoul(optarg, NULL, 10);
		break;
	case 'k':
		ret->exact.keys = (unsigned)strtoul(optarg, NULL, 10);
		break;
	case 'o':
		ret->site.options = optarg;
		break;
	case OPTION_NO_REMOUNTS:
		ret->exact.remounts = false;
		break;
	case OPTION_CHECKS:
		ret->exact.checks = true;
		break;
	case OPTION_TRACE:
		ret->trace = true;
		break;
	default:
		return false;
	}
	return true;
}

static bool parse(int argc, char **argv, struct arguments *ret)
{
	int option;

	while ((option = getopt_long(argc, argv, "", options, NULL)) != -1)
		if (!set_option(option, ret))
			return false;
	return optind == argc && ret->site.program && ret->site.url && ret->dir &&
	       ret->exact.mounts >= 1 && ret->exact.mounts <= WORLD_MOUNTS &&
	       ret->exact.keys >= 1 && ret->exact.keys <= WORLD_KEYS;
}

int main(int argc, char **argv)
{
	struct arguments arguments = {
		.exact = {
			.seed = (uint64_t)time(NULL),
			.steps = 1000,
			.mounts = 1,
			.keys = WORLD_KEYS,
			.remounts = true,
		},
	};
	struct site sites[WORLD_MOUNTS] = { 0 };

	if (!parse(argc, argv, &arguments)) {
		fputs(usage, stderr);
		return 2;
	}
	report_init(arguments.exact.seed, arguments.trace);
	sites_begin(sites, arguments.exact.mounts, &arguments.site, arguments.dir, "random");
	arguments.exact.sites = sites;
	if (side_new(arguments.site.url, &arguments.exact.side) < 0)
		report_fail("no memory for a client");
	exact_run(&arguments.exact);
	sites_end(sites, arguments.exact.mounts);
	side_free(arguments.exact.side);
	printf("seed %" PRIu64 ": no difference\n", arguments.exact.seed);
	return 0;
}
