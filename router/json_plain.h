/* SPDX-License-Identifier: MIT */
/*
 * The body of PUT / as nearly everybody sends it: four members, strings without escapes. It is read
 * where it lies, in a tenth of the time that a parser of all of JSON takes. Threads: functions
 * touch nothing but their arguments.
 */
#pragma once

#include "router/json_record.h"

/* 1: read, to be freed as json_record_parse() says; 0: it is something else, or wrong, and the
 * whole parser says which; -ENOMEM. */
int json_plain_parse(const char *text, size_t len, struct json_record *ret_record);

/* How many bytes from @text on stand for themselves in a JSON string: up to a quote, a backslash or
 * a control byte. */
size_t json_plain_length(const uint8_t *text, size_t len);
