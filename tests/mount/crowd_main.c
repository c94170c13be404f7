/* SPDX-License-Identifier: MIT */
/*
 * Many threads on the records of a real cluster, through two mounts and over HTTP. The files:
 *
 *   crowd_main.c  options
 *   crowd.c       the threads; crowd_write.c, crowd_read.c: what they do
 *   claim.c       values that say themselves what they are
 *   history.c     which version a reader may see
 *   site.c        a mount that is begun and ended; side.c: HTTP past it
 */
#include "tests/mount/crowd.h"
#include "tests/mount/report.h"
#include "tests/mount/site.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static const char usage[] =
	"usage: mount_crowd --program HEXKV-FS --url ROUTER --dir DIR [--seed N] [--seconds S]\n"
	"       [--options LIST] [--trouble] [--trace]\n"
	"\n"
	"Mounts ROUTER in two directories that it makes in DIR, and has threads write and read "
	"the\n"
	"same records there and over HTTP for S seconds. --trouble: operations may fail "
	"meanwhile,\n"
	"because nodes come and go; at the end all must work again.\n";

struct arguments {
	struct crowd_options crowd;
	struct site site; /* what all are made after */
	const char *dir;
	int trace, trouble;
};

static bool parse(int argc, char **argv, struct arguments *ret)
{
	const struct option options[] = {
		{ "program", required_argument, NULL, 'p' },
		{ "url", required_argument, NULL, 'u' },
		{ "dir", required_argument, NULL, 'd' },
		{ "seed", required_argument, NULL, 's' },
		{ "seconds", required_argument, NULL, 'S' },
		{ "options", required_argument, NULL, 'o' },
		{ "trouble", no_argument, &ret->trouble, 1 },
		{ "trace", no_argument, &ret->trace, 1 },
		{ 0 },
	};
	int c;

	while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
		switch (c) {
		case 0:
			break;
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
			ret->crowd.seed = strtoull(optarg, NULL, 10);
			break;
		case 'S':
			ret->crowd.seconds = strtoull(optarg, NULL, 10);
			break;
		case 'o':
			ret->site.options = optarg;
			break;
		default:
			return false;
		}
	}
	ret->crowd.trouble = ret->trouble;
	return optind == argc && ret->site.program && ret->site.url && ret->dir;
}

int main(int argc, char **argv)
{
	struct arguments arguments = { .crowd = { .seed = (uint64_t)time(NULL), .seconds = 5 } };
	struct site sites[CROWD_MOUNTS] = { 0 };

	if (!parse(argc, argv, &arguments)) {
		fputs(usage, stderr);
		return 2;
	}
	report_init(arguments.crowd.seed, arguments.trace);
	sites_begin(sites, CROWD_MOUNTS, &arguments.site, arguments.dir, "crowd");
	arguments.crowd.sites = sites;
	if (side_new(arguments.site.url, &arguments.crowd.side) < 0)
		report_fail("no memory for a client");
	crowd_run(&arguments.crowd);
	sites_end(sites, CROWD_MOUNTS);
	side_free(arguments.crowd.side);
	return 0;
}
