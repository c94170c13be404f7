/* SPDX-License-Identifier: MIT */
/*
 * A million names are a million lines, so nothing here goes through printf() or a JSON library.
 */
#include "lib/name_page.h"

#include <errno.h>
#include <string.h>

/* Room for one line: a key, three numbers, and what stands between them in either form. */
#define LINE_BYTES_MAX (KEY_HEX_MAX + 160)

#define PREFIX_WORD "prefix "
#define CURSOR_WORD "cursor "
#define END_LINE    "end\n"

int name_page_format(const struct exchange *ex, bool *ret_text)
{
	char text[8];
	int r = exchange_query(ex, "format", text, sizeof(text));

	if (r < 0)
		return -EINVAL;
	*ret_text = r > 0 && strcmp(text, "text") == 0;
	return r == 0 || *ret_text || strcmp(text, "json") == 0 ? 0 : -EINVAL;
}

static char *put_text(char *at, const char *text, size_t len)
{
	memcpy(at, text, len);
	return at + len;
}

#define PUT(at, literal) put_text(at, literal, sizeof(literal) - 1)

static char *put_number(char *at, uint64_t number, unsigned base)
{
	char digits[20];
	size_t len = 0;

	do {
		digits[sizeof(digits) - ++len] = "0123456789abcdef"[number % base];
		number /= base;
	} while (number > 0);
	return put_text(at, digits + sizeof(digits) - len, len);
}

static char *put_signed(char *at, int64_t number)
{
	if (number >= 0)
		return put_number(at, (uint64_t)number, 10);
	*at++ = '-';
	return put_number(at, 0 - (uint64_t)number, 10);
}

static char *put_version(char *at, struct version version)
{
	at = put_number(at, version.epoch, 16);
	*at++ = '-';
	return put_number(at, version.sequence, 16);
}

static int append_words(struct buf *page, const char *word, const char *text, const char *end)
{
	int r = buf_append_str(page, word);

	if (r == 0)
		r = buf_append_str(page, text);
	return r < 0 ? r : buf_append_str(page, end);
}

int name_page_begin(struct buf *page, const char *prefix)
{
	return append_words(page, PREFIX_WORD, prefix, "\n");
}

int name_page_end(struct buf *page, const char *cursor)
{
	return cursor ? append_words(page, CURSOR_WORD, cursor, "\n")
		      : buf_append_str(page, END_LINE);
}

int name_page_add(struct buf *page, const struct name_line *line)
{
	char *at;

	if (buf_reserve(page, LINE_BYTES_MAX) < 0)
		return -ENOMEM;
	at = put_text((char *)page->data + page->len, line->key, line->key_len);
	*at++ = ' ';
	at = put_number(at, line->size_bytes, 10);
	*at++ = ' ';
	at = put_signed(at, line->mtime_ns);
	*at++ = ' ';
	at = put_version(at, line->version);
	*at++ = '\n';
	page->len = (size_t)(at - (char *)page->data);
	return 0;
}

int name_page_json_begin(struct buf *page)
{
	return buf_append_str(page, "{\"names\":[");
}

int name_page_json_end(struct buf *page, const char *cursor)
{
	return cursor ? append_words(page, "],\"cursor\":\"", cursor, "\"}")
		      : buf_append_str(page, "],\"cursor\":null}");
}

/* The quotes of an etag are the only characters here that JSON escapes. */
int name_page_json_add(struct buf *page, const struct name_line *line, bool first)
{
	char *at;

	if (buf_reserve(page, LINE_BYTES_MAX) < 0)
		return -ENOMEM;
	at = (char *)page->data + page->len;
	if (!first)
		*at++ = ',';
	at = PUT(at, "{\"key\":\"");
	at = put_text(at, line->key, line->key_len);
	at = PUT(at, "\",\"size\":");
	at = put_number(at, line->size_bytes, 10);
	at = PUT(at, ",\"mtime_ns\":");
	at = put_signed(at, line->mtime_ns);
	at = PUT(at, ",\"etag\":\"\\\"");
	at = put_version(at, line->version);
	at = PUT(at, "\\\"\"}");
	page->len = (size_t)(at - (char *)page->data);
	return 0;
}

static bool is_plain(char c)
{
	return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
	       c == '-' || c == '.' || c == '_' || c == '~';
}

/* What stands between @word and the end of the line. */
static int take_word(const char *at, const char *line_end, const char *word,
		     char ret_text[NAME_PAGE_CURSOR_MAX + 1])
{
	size_t word_len = strlen(word), len = (size_t)(line_end - at);

	if (len < word_len || memcmp(at, word, word_len) != 0 ||
	    len - word_len > NAME_PAGE_CURSOR_MAX)
		return -EBADMSG;
	for (const char *c = at + word_len; c < line_end; c++)
		if (!is_plain(*c))
			return -EBADMSG;
	memcpy(ret_text, at + word_len, len - word_len);
	ret_text[len - word_len] = '\0';
	return 0;
}

int name_page_open(const void *text, size_t len, struct name_page *ret_page)
{
	const char *start = text, *first_end, *last;
	int r;

	if (len == 0 || start[len - 1] != '\n')
		return -EBADMSG;
	first_end = memchr(start, '\n', len);
	last = memrchr(start, '\n', len - 1);
	if (!last)
		return -EBADMSG;
	last++;
	r = take_word(start, first_end, PREFIX_WORD, ret_page->prefix);
	if (r < 0)
		return r;
	ret_page->cursor[0] = '\0';
	if (start + len - last != sizeof(END_LINE) - 1 ||
	    memcmp(last, END_LINE, sizeof(END_LINE) - 1) != 0)
		r = take_word(last, start + len - 1, CURSOR_WORD, ret_page->cursor);
	if (r < 0)
		return r;
	ret_page->at = first_end + 1;
	ret_page->end = last;
	return 0;
}

/* As many digits never overflow 64 bits, and all that is below 2^63 has no more. */
#define DIGITS_MAX 19

/* Digits up to @stop, which is passed over. */
static int take_number(const char **at, const char *end, char stop, uint64_t max,
		       uint64_t *ret_number)
{
	const char *p = *at;
	const char *last = end - p > DIGITS_MAX ? p + DIGITS_MAX : end;
	uint64_t number = 0;

	for (; p < last && (unsigned char)(*p - '0') < 10; p++)
		number = number * 10 + (uint64_t)(*p - '0');
	if (p == *at || p == end || *p != stop || number > max)
		return -EBADMSG;
	*at = p + 1;
	*ret_number = number;
	return 0;
}

static int take_hex(const char **at, const char *end, char stop, uint64_t *ret_number)
{
	const char *p = *at;
	uint64_t number = 0;

	for (; p < end && p - *at <= 16; p++) {
		if (*p >= '0' && *p <= '9')
			number = number << 4 | (uint64_t)(*p - '0');
		else if (*p >= 'a' && *p <= 'f')
			number = number << 4 | (uint64_t)(*p - 'a' + 10);
		else
			break;
	}
	if (p == *at || p - *at > 16 || p == end || *p != stop)
		return -EBADMSG;
	*at = p + 1;
	*ret_number = number;
	return 0;
}

static int take_mtime(const char **at, const char *end, int64_t *ret_mtime_ns)
{
	bool negative = *at < end && **at == '-';
	uint64_t number;
	int r;

	*at += negative;
	r = take_number(at, end, ' ', (uint64_t)INT64_MAX + negative, &number);
	if (r < 0)
		return r;
	*ret_mtime_ns = (int64_t)(negative ? 0 - number : number);
	return 0;
}

static const bool is_hex[256] = {
	['0'] = true, ['1'] = true, ['2'] = true, ['3'] = true, ['4'] = true, ['5'] = true,
	['6'] = true, ['7'] = true, ['8'] = true, ['9'] = true, ['a'] = true, ['b'] = true,
	['c'] = true, ['d'] = true, ['e'] = true, ['f'] = true,
};

static int take_key(const char **at, const char *end, struct name_line *line)
{
	const char *p = *at;

	while (p < end && is_hex[(unsigned char)*p])
		p++;
	line->key = *at;
	line->key_len = (size_t)(p - *at);
	if (p == end || *p != ' ' || line->key_len == 0 || line->key_len > KEY_HEX_MAX ||
	    line->key_len % 2 != 0)
		return -EBADMSG;
	*at = p + 1;
	return 0;
}

int name_page_next(struct name_page *page, struct name_line *ret_line)
{
	const char *at = page->at;

	if (at == page->end)
		return 0;
	if (take_key(&at, page->end, ret_line) < 0 ||
	    take_number(&at, page->end, ' ', INT64_MAX, &ret_line->size_bytes) < 0 ||
	    take_mtime(&at, page->end, &ret_line->mtime_ns) < 0 ||
	    take_hex(&at, page->end, '-', &ret_line->version.epoch) < 0 ||
	    take_hex(&at, page->end, '\n', &ret_line->version.sequence) < 0)
		return -EBADMSG;
	page->at = at;
	return 1;
}
