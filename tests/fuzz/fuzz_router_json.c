/* SPDX-License-Identifier: MIT */
/* Bodies of PUT /. What is taken must print to JSON that is taken again and says the same. */
#include "router/json_plain.h"
#include "router/json_record.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

/* From the shape of answers to that of requests. */
static char *to_request(const struct buf *printed, const char *hex)
{
	json_t *json = json_loadb((const char *)printed->data, printed->len,
				  JSON_ALLOW_NUL | JSON_REJECT_DUPLICATES, NULL);
	json_t *record = json_object_get(json, hex);
	char *text;

	assert(record);
	json_object_set_new(record, "key", json_string(hex));
	text = json_dumps(record, 0);
	json_decref(json);
	return text;
}

static void assert_equal(const struct json_record *a, const struct json_record *b)
{
	assert(key_compare(&a->key, &b->key) == 0);
	assert(strcmp(a->content_type.text, b->content_type.text) == 0);
	assert(strcmp(a->encoding.text, b->encoding.text) == 0);
	assert(a->value_len == b->value_len);
	assert(!a->value_len || memcmp(a->value, b->value, a->value_len) == 0);
}

static void check_same(const struct json_record *record)
{
	char hex[KEY_HEX_MAX + 1], why[JSON_WHY_MAX];
	struct json_record again;
	struct buf printed = { 0 };
	char *text;

	assert(json_record_print(&record->key, record->content_type.text, record->encoding.text,
				 record->value, record->value_len, SIZE_MAX, &printed) == 0);
	key_to_hex(&record->key, hex);
	text = to_request(&printed, hex);
	assert(json_record_parse(text, strlen(text), &again, why) == 0);
	assert_equal(&again, record);
	json_record_deinit(&again);
	buf_deinit(&printed);
	free(text);
}

/* What is read plainly reads the same as a whole, which a member more makes it be. */
static void check_plain(const char *text, size_t len, const struct json_record *record)
{
	static const char more[] = ",\"value_base64\":false}";
	char *longer = malloc(len + sizeof(more)), why[JSON_WHY_MAX];
	struct json_record plain, whole;

	if (json_plain_parse(text, len, &plain) == 1) {
		while (text[len - 1] != '}')
			len--;
		memcpy(longer, text, len - 1);
		memcpy(longer + len - 1, more, sizeof(more));
		assert(json_record_parse(longer, strlen(longer), &whole, why) == 0 && whole.json);
		assert_equal(&plain, &whole);
		assert_equal(&plain, record);
		json_record_deinit(&plain);
		json_record_deinit(&whole);
	}
	free(longer);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	char why[JSON_WHY_MAX] = "";
	struct json_record record;
	int r = json_record_parse((const char *)data, len, &record, why);

	assert(r == 0 || (r == -EINVAL && why[0]));
	if (r < 0)
		return 0;
	check_same(&record);
	check_plain((const char *)data, len, &record);
	json_record_deinit(&record);
	return 0;
}
