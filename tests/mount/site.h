/* SPDX-License-Identifier: MIT */
/*
 * Mounts that are begun and ended: the real hexkv-fs. A process of its own does that, since a fork
 * would copy the caller's open files, and every copy that is closed flushes its file.
 *
 * Threads: the caller serialises.
 */
#pragma once

#include <limits.h>
#include <sys/types.h>

#define SITES_MAX 4

struct site {
	const char *program;
	const char *url;
	const char *options; /* for -o, NULL: none */
	char path[PATH_MAX]; /* the mount point, without a slash at its end */
	char log[PATH_MAX];
	pid_t pid; /* 0: not mounted; known only to the process that keeps them */
};

enum site_end { SITE_UNMOUNT, SITE_TERMINATE, SITE_KILL };

/* Before there are threads and open files. What is mounted when the caller ends is unmounted. */
void sites_keep(struct site *sites, unsigned count);
/* Failures end the test. */
void site_begin(unsigned site);
/* Keeps and begins @count of them, made after @like: NAME-0, NAME-1 and so on in @dir, logs beside
 * them. */
void sites_begin(struct site *sites, unsigned count, const struct site *like, const char *dir,
		 const char *name);
/* Ends each with SIGTERM; fails the test if one does not exit with 0. */
void sites_end(const struct site *sites, unsigned count);
/* Returns the exit status of hexkv-fs, 128 and the signal if one ended it. */
int site_end(unsigned site, enum site_end how);
