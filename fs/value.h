/* SPDX-License-Identifier: MIT */
/* A small value, whole and unchanging. Ownership: reference-counted. Threads: any. */
#pragma once

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

struct value {
	atomic_uint references;
	size_t len;
	uint8_t data[];
};

/* NULL if memory is out. */
struct value *value_new(const void *data, size_t len);
/* Both accept NULL. */
struct value *value_ref(struct value *value);
struct value *value_unref(struct value *value);
