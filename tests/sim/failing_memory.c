/* SPDX-License-Identifier: MIT */
#include "tests/sim/failing_memory.h"

#include <errno.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

void *__real_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__real_realloc(void *p, size_t size);
void *__real_aligned_alloc(size_t alignment, size_t size);
char *__real_strdup(const char *text);
char *__real_strndup(const char *text, size_t len);
int __real_vasprintf(char **ret_text, const char *format, va_list args);

/* What the linker calls instead. */
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_realloc(void *p, size_t size);
void *__wrap_aligned_alloc(size_t alignment, size_t size);
char *__wrap_strdup(const char *text);
char *__wrap_strndup(const char *text, size_t len);
int __wrap_vasprintf(char **ret_text, const char *format, va_list args);
int __wrap_asprintf(char **ret_text, const char *format, ...);

static uint64_t requests, fail_from, fail_to, failures;

void failing_memory_set(uint64_t nth, uint64_t times)
{
	requests = failures = 0;
	fail_from = nth;
	fail_to = nth + times;
}

uint64_t failing_memory_stop(void)
{
	fail_from = fail_to = 0;
	return failures;
}

static bool refuses(void)
{
	requests++;
	if (requests < fail_from || requests >= fail_to)
		return false;
	failures++;
	errno = ENOMEM;
	return true;
}

void *__wrap_malloc(size_t size)
{
	return refuses() ? NULL : __real_malloc(size);
}

void *__wrap_calloc(size_t count, size_t size)
{
	return refuses() ? NULL : __real_calloc(count, size);
}

void *__wrap_realloc(void *p, size_t size)
{
	return refuses() ? NULL : __real_realloc(p, size);
}

void *__wrap_aligned_alloc(size_t alignment, size_t size)
{
	return refuses() ? NULL : __real_aligned_alloc(alignment, size);
}

char *__wrap_strdup(const char *text)
{
	return refuses() ? NULL : __real_strdup(text);
}

char *__wrap_strndup(const char *text, size_t len)
{
	return refuses() ? NULL : __real_strndup(text, len);
}

int __wrap_vasprintf(char **ret_text, const char *format, va_list args)
{
	return refuses() ? -1 : __real_vasprintf(ret_text, format, args);
}

int __wrap_asprintf(char **ret_text, const char *format, ...)
{
	va_list args;
	int r;

	va_start(args, format);
	r = __wrap_vasprintf(ret_text, format, args);
	va_end(args);
	return r;
}
