/* SPDX-License-Identifier: MIT */
#include "lib/log.h"

#include "lib/utf8.h"

#include <errno.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* Below PIPE_BUF, so that a line into a pipe is never mixed with another process's. */
#define LINE_MAX_BYTES 4000

static const char *const level_names[] = {
	[LOG_LEVEL_ERROR] = "error",
	[LOG_LEVEL_WARN] = "warn",
	[LOG_LEVEL_INFO] = "info",
	[LOG_LEVEL_DEBUG] = "debug",
};

/* Set before threads start, read-only afterwards. */
static const char *log_program = "hexkv";
static enum log_level log_level = LOG_LEVEL_INFO;

void log_init(const char *program, enum log_level level)
{
	log_program = program;
	log_level = level;
}

int log_level_parse(const char *name, enum log_level *ret_level)
{
	for (size_t i = 0; i < sizeof(level_names) / sizeof(level_names[0]); i++) {
		if (strcmp(name, level_names[i]) == 0) {
			*ret_level = (enum log_level)i;
			return 0;
		}
	}
	return -EINVAL;
}

static size_t head_format(char *line, size_t size, enum log_level level, const char *event)
{
	char quoted[256];
	struct timespec now;
	struct tm tm;
	int len;

	clock_gettime(CLOCK_REALTIME, &now);
	gmtime_r(&now.tv_sec, &tm);
	len = snprintf(line, size,
		       "time=%04d-%02d-%02dT%02d:%02d:%02d.%03ldZ level=%s program=%s event=%s",
		       tm.tm_year + 1900, tm.tm_mon + 1, tm.tm_mday, tm.tm_hour, tm.tm_min,
		       tm.tm_sec, now.tv_nsec / 1000000, level_names[level], log_program,
		       log_quote(event, quoted, sizeof(quoted)));
	if (len < 0)
		return 0;
	return (size_t)len < size ? (size_t)len : size - 1;
}

void log_write(enum log_level level, const char *event, const char *format, ...)
{
	char line[LINE_MAX_BYTES + 1];
	int saved_errno = errno;
	size_t len;
	va_list args;
	ssize_t written;

	if (level > log_level)
		return;
	len = head_format(line, LINE_MAX_BYTES, level, event);
	if (format[0] != '\0') {
		int more;

		line[len++] = ' ';
		/* A caller that logs an error code wants the errno it had. */
		errno = saved_errno;
		va_start(args, format);
		more = vsnprintf(line + len, LINE_MAX_BYTES - len, format, args);
		va_end(args);
		if (more > 0) {
			size_t room = LINE_MAX_BYTES - len - 1;

			len += (size_t)more < room ? (size_t)more : room;
		}
	}
	for (size_t i = 0; i < len; i++) {
		if (line[i] == '\n' || line[i] == '\r')
			line[i] = ' ';
	}
	line[len++] = '\n';
	do
		written = write(STDERR_FILENO, line, len);
	while (written < 0 && errno == EINTR);
	errno = saved_errno;
}

static bool is_plain(const char *text)
{
	for (const char *at = text; *at; at++) {
		if ((uint8_t)*at <= ' ' || *at == 0x7f || *at == '"' || *at == '\\' || *at == '=')
			return false;
	}
	return text[0] != '\0' && utf8_is_valid(text, strlen(text));
}

/* Writes one byte of the text in its escaped form; the length, at most 4. */
static size_t escape(uint8_t byte, bool keep_high, char ret_text[5])
{
	if (byte == '"' || byte == '\\') {
		ret_text[0] = '\\';
		ret_text[1] = (char)byte;
		return 2;
	}
	if (byte < ' ' || byte == 0x7f || (byte >= 0x80 && !keep_high))
		return (size_t)snprintf(ret_text, 5, "\\x%02x", byte);
	ret_text[0] = (char)byte;
	return 1;
}

const char *log_quote(const char *text, char *buf, unsigned long size)
{
	bool keep_high = utf8_is_valid(text, strlen(text));
	size_t len = 0;

	if (is_plain(text) && strlen(text) < size) {
		memcpy(buf, text, strlen(text) + 1);
		return buf;
	}
	buf[len++] = '"';
	for (const char *at = text; *at; at++) {
		char escaped[5];
		size_t more = escape((uint8_t)*at, keep_high, escaped);

		/* The closing quote and the NUL must still fit. */
		if (len + more + 2 > size)
			break;
		memcpy(buf + len, escaped, more);
		len += more;
	}
	buf[len++] = '"';
	buf[len] = '\0';
	return buf;
}
