/* SPDX-License-Identifier: MIT */
/*
 * Asking the kernel to forget the files that it was told of longest ago. It keeps what a listing
 * handed out until its own memory is short, and holds ours for as long. Kernels before 6.18 can't
 * be asked; they are handed no more attributes with names then.
 * Threads: any.
 */
#pragma once

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

struct inode_table;

struct forget {
	atomic_int fd; /* of the session; -1: the kernel can't be asked */
	uint64_t births; /* when it was asked last; protected by the table's lock */
};

void forget_init(struct forget *forget);
/* Once more of them are there than are worth having. */
void forget_oldest(struct forget *forget, struct inode_table *table);
/* Whether there is room for those of a listing. */
bool forget_has_room(struct forget *forget, struct inode_table *table);
