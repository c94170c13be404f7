/* SPDX-License-Identifier: MIT */
/*
 * A state names which bytes may come next. Only the second byte of a sequence is ever restricted
 * further than 80..BF: that is how overlong forms (E0, F0), surrogates (ED) and code points above
 * U+10FFFF (F4) are told from the rest.
 */
#include "lib/utf8.h"

#include <string.h>

enum state {
	STATE_START,
	STATE_ONE_MORE,
	STATE_TWO_MORE,
	STATE_THREE_MORE,
	STATE_AFTER_E0,
	STATE_AFTER_ED,
	STATE_AFTER_F0,
	STATE_AFTER_F4,
	STATE_INVALID,
};

static enum state after_lead(uint8_t byte)
{
	if (byte < 0x80)
		return STATE_START;
	if (byte < 0xc2)
		return STATE_INVALID;
	if (byte < 0xe0)
		return STATE_ONE_MORE;
	if (byte < 0xf0)
		return byte == 0xe0   ? STATE_AFTER_E0
		       : byte == 0xed ? STATE_AFTER_ED
				      : STATE_TWO_MORE;
	if (byte > 0xf4)
		return STATE_INVALID;
	return byte == 0xf0 ? STATE_AFTER_F0 : byte == 0xf4 ? STATE_AFTER_F4 : STATE_THREE_MORE;
}

static enum state after_continuation(enum state state, uint8_t byte)
{
	static const struct {
		uint8_t first, last;
		enum state next;
	} table[] = {
		[STATE_ONE_MORE] = { 0x80, 0xbf, STATE_START },
		[STATE_TWO_MORE] = { 0x80, 0xbf, STATE_ONE_MORE },
		[STATE_THREE_MORE] = { 0x80, 0xbf, STATE_TWO_MORE },
		[STATE_AFTER_E0] = { 0xa0, 0xbf, STATE_ONE_MORE },
		[STATE_AFTER_ED] = { 0x80, 0x9f, STATE_ONE_MORE },
		[STATE_AFTER_F0] = { 0x90, 0xbf, STATE_TWO_MORE },
		[STATE_AFTER_F4] = { 0x80, 0x8f, STATE_TWO_MORE },
	};

	if (byte < table[state].first || byte > table[state].last)
		return STATE_INVALID;
	return table[state].next;
}

static size_t skip_ascii(const uint8_t *at, size_t len)
{
	size_t i = 0;

	for (; i + 8 <= len; i += 8) {
		uint64_t word;

		memcpy(&word, at + i, sizeof(word));
		if (word & 0x8080808080808080u)
			break;
	}
	while (i < len && at[i] < 0x80)
		i++;
	return i;
}

void utf8_feed(struct utf8 *utf8, const void *data, size_t len)
{
	const uint8_t *at = data;
	enum state state = utf8->state;

	if (utf8->invalid)
		return;
	for (size_t i = 0; i < len; i++) {
		if (state == STATE_START) {
			i += skip_ascii(at + i, len - i);
			if (i == len)
				break;
			state = after_lead(at[i]);
		} else {
			state = after_continuation(state, at[i]);
		}
		if (state == STATE_INVALID) {
			utf8->invalid = true;
			return;
		}
	}
	utf8->state = (uint8_t)state;
}

bool utf8_complete(const struct utf8 *utf8)
{
	return !utf8->invalid && utf8->state == STATE_START;
}

bool utf8_is_valid(const void *data, size_t len)
{
	struct utf8 utf8 = { 0 };

	utf8_feed(&utf8, data, len);
	return utf8_complete(&utf8);
}
