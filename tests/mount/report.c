/* SPDX-License-Identifier: MIT */
#include "tests/mount/report.h"

#include "lib/mutex.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#define NOTES      120
#define NOTE_BYTES 160

static struct {
	uint64_t seed;
	bool trace;
	struct mutex lock; /* protects what follows */
	uint64_t step;
	uint64_t count;
	char notes[NOTES][NOTE_BYTES];
} report;

void report_init(uint64_t seed, bool trace)
{
	report.seed = seed;
	report.trace = trace;
	mutex_init(&report.lock);
}

void report_step(uint64_t step)
{
	mutex_lock(&report.lock);
	report.step = step;
	mutex_unlock(&report.lock);
}

void report_note(const char *format, ...)
{
	char text[NOTE_BYTES - 32];
	char *note;
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	mutex_lock(&report.lock);
	note = report.notes[report.count++ % NOTES];
	snprintf(note, NOTE_BYTES, "%" PRIu64 ": %s", report.step, text);
	if (report.trace)
		fprintf(stderr, "%s\n", note);
	mutex_unlock(&report.lock);
}

void report_fail(const char *format, ...)
{
	va_list args;

	mutex_lock(&report.lock);
	for (uint64_t i = report.count < NOTES ? 0 : report.count - NOTES;
	     !report.trace && i < report.count; i++)
		fprintf(stderr, "  %s\n", report.notes[i % NOTES]);
	fprintf(stderr, "FAILED with --seed %" PRIu64 " at step %" PRIu64 ": ", report.seed,
		report.step);
	va_start(args, format);
	vfprintf(stderr, format, args);
	va_end(args);
	fputc('\n', stderr);
	/* Kept: whatever fails from now on is a consequence. */
	exit(1);
}
