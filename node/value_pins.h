/* SPDX-License-Identifier: MIT */
/*
 * Value files that stay readable for a time that somebody was promised, though no record, log or
 * reader refers to them any more (docs/PROTOCOL.md, "Pins").
 *
 * A pin is a time in the file's own struct: it costs nothing while something refers to the file.
 * When the last reference goes the file is kept until that time instead of being deleted. Pins are
 * in memory only. After a start nobody knows which there were, so what was dead then, and what dies
 * of the files from before, is kept until the longest pin that may have been given is over.
 *
 * Bounds: the files that are kept are at most 16384, and at most a quarter of the file system;
 * beyond it those go first whose time ends first. Once a value found no room none of those kept is
 * renewed, so that all are gone within one pin.
 * Threads: any, as for value_file.
 */
#pragma once

#include "node/value_file.h"

/* Keeps the file for @seconds from now on, if nothing longer is promised. False: not any more. The
 * caller holds a reference. */
bool value_file_pin(struct value_file *file, uint32_t seconds);
/* A reference to file @id, whose value has @size_bytes, if it is still there. -ENOENT. */
int value_pins_find(struct value_files *files, uint64_t id, uint64_t size_bytes,
		    struct value_file **ret_file);

/* Before value_files_sweep(): what is or becomes dead of the files that are there now is kept for
 * @seconds. */
void value_pins_keep_old(struct value_files *files, uint32_t seconds);
/* A value found no room. */
void value_pins_press(struct value_files *files);

struct value_pins_stats {
	uint64_t kept_files, kept_bytes;
	uint64_t given, refused; /* pins, renewals included */
};
void value_pins_stats(struct value_files *files, struct value_pins_stats *ret_stats);
