/* SPDX-License-Identifier: MIT */
/* Request targets: path and query, and their percent-encoding (RFC 3986, 2.1). */
#pragma once

#include <stddef.h>

/* Returns the length of the decoded, NUL-terminated text, or -EINVAL if it is badly encoded, holds
 * a NUL or does not fit into @size bytes. */
int percent_decode(const char *text, size_t len, char *ret_text, size_t size);

/* Splits @target ("/path?query", or an absolute http URI). @ret_path has room for
 * strlen(target) + 2 bytes; *ret_query is borrowed from @target. Both are set even on -EINVAL, the
 * path to "": a target that is not well encoded or no path. */
int target_parse(const char *target, char *ret_path, const char **ret_query);
