/* SPDX-License-Identifier: MIT */
/*
 * Values that say themselves which write they are, how long they are and what they hold, so that a
 * mixture of two is known for what it is. Threads: any.
 */
#pragma once

#include "tests/mount/random.h"

#include <stdint.h>

#define CLAIM_BYTES_MIN 40
#define CLAIM_BYTES_MAX (7u << 20)

/* A size around which something changes. */
size_t claim_size(struct random *random);
/* Fills @data. */
void claim_make(struct random *random, unsigned key, uint64_t write, void *data, size_t len);
/* The write that it is; a value that is not whole ends the test. */
uint64_t claim_check(unsigned key, const void *data, size_t len, const char *who);
