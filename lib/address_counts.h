/* SPDX-License-Identifier: MIT */
/*
 * How many things there are of each network address. An IPv6 address counts with its /64, as who
 * has one of those has all. Threads: the caller serialises.
 */
#pragma once

#include <sys/socket.h>

struct address_counts;
struct address_count;

struct address_counts *address_counts_new(void);
/* Whatever was added has been removed. */
struct address_counts *address_counts_free(struct address_counts *counts);
/* Counts one more; NULL if memory is out or the address is of no network. */
struct address_count *address_counts_add(struct address_counts *counts,
					 const struct sockaddr *address);
unsigned address_count_get(const struct address_count *count);
/* Counts one less; @count may be NULL, and is gone with its last. */
void address_count_remove(struct address_count *count);
