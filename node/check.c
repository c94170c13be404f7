/* SPDX-License-Identifier: MIT */
#include "node/check.h"

#include "node/store.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

static void print_fault(const char *sentence, void *state)
{
	unsigned *faults = state;

	(*faults)++;
	printf("%s\n", sentence);
}

int check_run(const char *dir)
{
	unsigned faults = 0;
	int r;

	r = store_check(vfs_posix(), dir, print_fault, &faults);
	if (r == -EBUSY || r == -EWOULDBLOCK) {
		fprintf(stderr, "hexkv-node: %s is in use; stop its node first\n", dir);
		return 2;
	}
	if (r < 0) {
		fprintf(stderr, "hexkv-node: can't check %s: %s\n", dir, strerror(-r));
		return 1;
	}
	if (r > 0 || faults > 0) {
		printf("%s: %u fault%s\n", dir, faults, faults == 1 ? "" : "s");
		return 1;
	}
	printf("%s is sound\n", dir);
	return 0;
}
