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

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
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
	const char *program, *url, *dir, *options;
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
			ret->program = optarg;
			break;
		case 'u':
			ret->url = optarg;
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
			ret->options = optarg;
			break;
		default:
			return false;
		}
	}
	ret->crowd.trouble = ret->trouble;
	return optind == argc && ret->program && ret->url && ret->dir;
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
	for (unsigned i = 0; i < CROWD_MOUNTS; i++) {
		struct site *site = &sites[i];

		site->program = arguments.program;
		site->url = arguments.url;
		site->options = arguments.options;
		snprintf(site->path, sizeof(site->path), "%s/crowd-%u", arguments.dir, i);
		snprintf(site->log, sizeof(site->log), "%s/crowd-%u.log", arguments.dir, i);
		mkdir(site->path, 0700);
	}
	sites_keep(sites, CROWD_MOUNTS);
	for (unsigned i = 0; i < CROWD_MOUNTS; i++)
		site_begin(i);
	arguments.crowd.sites = sites;
	if (side_new(arguments.url, &arguments.crowd.side) < 0)
		report_fail("no memory for a client");
	crowd_run(&arguments.crowd);
	for (unsigned i = 0; i < CROWD_MOUNTS; i++)
		if (site_end(i, SITE_TERMINATE) != 0)
			report_fail("the mount did not end well: %s", sites[i].log);
	side_free(arguments.crowd.side);
	return 0;
}
