/* SPDX-License-Identifier: MIT */
#include "lib/hash.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

/* Values of the XXH3 specification's reference implementation: what is on disk depends on them. */
static void known_values_stay(void **state)
{
	struct hash128 empty = hash128(NULL, 0);

	(void)state;
	assert_true(hash64("", 0, 0) == 0x2d06800538d394c2u);
	assert_true(empty.high == 0x99aa06d3014798d8u);
	assert_true(empty.low == 0x6001c324468d497fu);
	assert_true(hash64("a", 1, 0) == 0xe6c632b61e964e1fu);
}

/* Whatever the processor: these come from the scalar code. */
static void long_values_do_not_depend_on_the_processor(void **state)
{
	static const struct {
		size_t len;
		uint64_t hash, high, low;
	} known[] = {
		{ 240, 0x520c62adde6c5e68u, 0x550b8ce07c44bc98u, 0xc018ce69a32b5a7cu },
		{ 241, 0x8beb9b4b4448525bu, 0x8e7e1f2fe4156df9u, 0x18773c512b008a63u },
		{ 1024, 0x2066f1055a2ce1d9u, 0x65165ebd1d6233bfu, 0x4986ea1c273817c6u },
		{ 1025, 0x5f742b502d7d1d4au, 0x8cbc340903ac3d45u, 0x7775793e9ae60f68u },
		{ 65536, 0xc9fadc56ceb18d12u, 0x1ae93c4af9eae26eu, 0xb481e6d91382b8eu },
		{ 70000, 0xb292276ee7304cf3u, 0xfadfbe881891fab7u, 0xacd6f39ac5988619u },
	};
	static uint8_t data[70000];

	(void)state;
	for (size_t i = 0; i < sizeof(data); i++)
		data[i] = (uint8_t)(i * 31);
	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
		struct hash128 hash = hash128(data, known[i].len);

		assert_true(hash64(data, known[i].len, 7) == known[i].hash);
		assert_true(hash.high == known[i].high);
		assert_true(hash.low == known[i].low);
	}
}

static void pieces_hash_like_the_whole(void **state)
{
	uint8_t data[10000];
	struct hash128 whole, pieces;
	struct hash_stream *stream = hash_stream_new();
	size_t at = 0, step = 1;

	(void)state;
	for (size_t i = 0; i < sizeof(data); i++)
		data[i] = (uint8_t)(i * 31);
	whole = hash128(data, sizeof(data));
	hash_stream_update(stream, NULL, 0);
	while (at < sizeof(data)) {
		size_t len = step < sizeof(data) - at ? step : sizeof(data) - at;

		hash_stream_update(stream, data + at, len);
		at += len;
		step = step * 2 + 1;
	}
	pieces = hash_stream_digest(stream);
	assert_true(whole.low == pieces.low && whole.high == pieces.high);
	assert_null(hash_stream_free(stream));
	assert_null(hash_stream_free(NULL));
}

static void slots_are_the_hash_modulo_their_number(void **state)
{
	(void)state;
	for (unsigned i = 0; i < 1000; i++) {
		unsigned slot = hash_slot(&i, sizeof(i));

		assert_true(slot < SLOT_COUNT);
		assert_int_equal(slot, hash64(&i, sizeof(i), 0) % SLOT_COUNT);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(known_values_stay),
		cmocka_unit_test(long_values_do_not_depend_on_the_processor),
		cmocka_unit_test(pieces_hash_like_the_whole),
		cmocka_unit_test(slots_are_the_hash_modulo_their_number),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
