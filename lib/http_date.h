/* SPDX-License-Identifier: MIT */
/* Dates of HTTP (RFC 9110 5.6.7). Units: seconds since 1970, UTC. */
#pragma once

#include <stdint.h>

#define HTTP_DATE_BYTES_MAX 30

/* IMF-fixdate; a date outside the years 0 to 9999 is clamped to them. */
void http_date_format(int64_t seconds, char ret_text[HTTP_DATE_BYTES_MAX]);
/* Any of the three forms that a recipient must understand. 0 or -EINVAL. */
int http_date_parse(const char *text, int64_t *ret_seconds);
