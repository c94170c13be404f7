/* SPDX-License-Identifier: MIT */
/* From a pointer to an embedded member to the struct around it. */
#pragma once

#include <stddef.h>

#define container_of(pointer, type, member) ((type *)((char *)(pointer)-offsetof(type, member)))
