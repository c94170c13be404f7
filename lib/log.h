/* SPDX-License-Identifier: MIT */
/*
 * Structured one-line logs to stderr, in logfmt:
 *   time=2026-01-02T03:04:05.678Z level=info program=hexkv-node event="segment flushed" file=12
 * records=6031
 *
 * Threads: every call writes one line with one write(2); safe from any thread.
 */
#pragma once

enum log_level { LOG_LEVEL_ERROR, LOG_LEVEL_WARN, LOG_LEVEL_INFO, LOG_LEVEL_DEBUG };

/* Once, before threads. @program must outlive the process. */
void log_init(const char *program, enum log_level level);
/* 0, or -EINVAL for a name that is not error, warn, info or debug. */
int log_level_parse(const char *name, enum log_level *ret_level);
/* @format makes the rest of the line: "key=%s size=%zu". A value that may hold a space, a quote or
 * a control byte is passed through log_quote(). May be "" for none. */
void log_write(enum log_level level, const char *event, const char *format, ...)
	__attribute__((format(printf, 3, 4)));
/* Quotes and escapes @text into @buf (at least 3 bytes; cut if too long). Returns @buf. */
const char *log_quote(const char *text, char *buf, unsigned long size);

#define log_error(event, ...) log_write(LOG_LEVEL_ERROR, event, __VA_ARGS__)
#define log_warn(event, ...)  log_write(LOG_LEVEL_WARN, event, __VA_ARGS__)
#define log_info(event, ...)  log_write(LOG_LEVEL_INFO, event, __VA_ARGS__)
#define log_debug(event, ...) log_write(LOG_LEVEL_DEBUG, event, __VA_ARGS__)
