/* SPDX-License-Identifier: MIT */
/*
 * What was written to one record by whom and when, and whether what a reader saw fits: it must have
 * been current at some time between the reader's open and the end of that. A version is out of the
 * race once another has begun after it was acknowledged, and was acknowledged itself.
 *
 * Failures end the test. Threads: locks itself.
 */
#pragma once

#include "lib/mutex.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct history_entry;

struct history {
	const char *key; /* borrowed */
	struct mutex lock; /* protects what follows */
	struct history_entry *entries;
	size_t count, room;
};

void history_init(struct history *history, const char *key);
void history_deinit(struct history *history);

/* A write, or with @removes a removal, begins now; its number. */
uint64_t history_begin(struct history *history, bool removes);
/* It was acknowledged. @holds: whatever crashes from now on. What is not acknowledged may become
 * current at any time or never. */
void history_acknowledge(struct history *history, uint64_t write, bool holds);

/* A reader whose open lasted from @from_ns to @to_ns saw that write; @who is for the report. */
void history_check(struct history *history, uint64_t write, uint64_t from_ns, uint64_t to_ns,
		   const char *who);
/* The same for one that found no such record. */
void history_check_absent(struct history *history, uint64_t from_ns, uint64_t to_ns,
			  const char *who);
