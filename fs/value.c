/* SPDX-License-Identifier: MIT */
#include "fs/value.h"

#include <stdlib.h>
#include <string.h>

struct value *value_new(const void *data, size_t len)
{
	struct value *value = malloc(sizeof(*value) + len);

	if (!value)
		return NULL;
	atomic_init(&value->references, 1);
	value->len = len;
	if (len > 0)
		memcpy(value->data, data, len);
	return value;
}

struct value *value_ref(struct value *value)
{
	if (value)
		atomic_fetch_add(&value->references, 1);
	return value;
}

struct value *value_unref(struct value *value)
{
	if (value && atomic_fetch_sub(&value->references, 1) == 1)
		free(value);
	return NULL;
}
