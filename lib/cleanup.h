/* SPDX-License-Identifier: MIT */
/* Scope-bound cleanup for locals and explicit hand-over of ownership. */
#pragma once

#include <stdlib.h>
#include <unistd.h>

#define _cleanup_(fn) __attribute__((cleanup(fn)))

/* Defines NAMEp(), the form that _cleanup_() wants, for a destructor that accepts NULL. */
#define DEFINE_CLEANUP(type, destructor)                                                           \
	static inline void destructor##p(type *ptr)                                                \
	{                                                                                          \
		destructor(*ptr);                                                                  \
	}

static inline void freep(void *ptr)
{
	free(*(void **)ptr);
}

static inline void closep(int *fd)
{
	if (*fd >= 0)
		close(*fd);
}

static inline void *take_ptr_impl(void *ptr)
{
	void *value = *(void **)ptr;

	*(void **)ptr = NULL;
	return value;
}

/* Yields the pointer and clears the variable, so that its cleanup no longer frees it. */
#define take_ptr(variable) ((__typeof__(variable))take_ptr_impl(&(variable)))

/* Yields the descriptor and sets the variable to -1. */
static inline int take_fd(int *fd)
{
	int value = *fd;

	*fd = -1;
	return value;
}
