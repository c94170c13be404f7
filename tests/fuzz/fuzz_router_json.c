/* SPDX-License-Identifier: MIT */
/* Bodies of PUT /. What is taken must print to JSON that is taken again and says the same. */
#include "router/json_record.h"

#include <assert.h>
#include <errno.h>
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
	assert(key_compare(&again.key, &record->key) == 0);
	assert(strcmp(again.content_type.text, record->content_type.text) == 0);
	assert(strcmp(again.encoding.text, record->encoding.text) == 0);
	assert(again.value_len == record->value_len);
	assert(!again.value_len || memcmp(again.value, record->value, again.value_len) == 0);
	json_record_deinit(&again);
	buf_deinit(&printed);
	free(text);
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
	json_record_deinit(&record);
	return 0;
}
