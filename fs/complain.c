/* SPDX-License-Identifier: MIT */
#include "fs/complain.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>

int complain(const char *format, ...)
{
	va_list args;

	flockfile(stderr);
	fprintf(stderr, "%s: ", program_invocation_short_name);
	va_start(args, format);
	vfprintf(stderr, format, args);
	va_end(args);
	fputc('\n', stderr);
	funlockfile(stderr);
	return -EINVAL;
}
