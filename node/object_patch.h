/* SPDX-License-Identifier: MIT */
/* The body of a PATCH: a merge patch (RFC 7396) of a record's metadata. */
#pragma once

#include "lib/object.h"

/* What is to change, in @wanted, which holds nothing else of it then: the header fields of a PATCH
 * describe the patch, not the record. NULL, or a sentence that says what is wrong. */
const char *object_patch_parse(const void *text, size_t len, struct object_request *wanted);
