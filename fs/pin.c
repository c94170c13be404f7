/* SPDX-License-Identifier: MIT */
#include "fs/pin.h"

#include "fs/stats.h"

#include <stdlib.h>
#include <string.h>

struct pin *pin_new(const char *key, struct version version, const char *token, uint64_t until_ms)
{
	size_t key_size = strlen(key) + 1, token_size = strlen(token) + 1;
	struct pin *pin = malloc(sizeof(*pin) + token_size + key_size);

	if (!pin)
		return NULL;
	stats_gauge_add(STATS_PINS, 1);
	atomic_init(&pin->references, 1);
	pin->version = version;
	pin->until_ms = until_ms;
	memcpy(pin->token, token, token_size);
	memcpy(pin->token + token_size, key, key_size);
	pin->key = pin->token + token_size;
	return pin;
}

struct pin *pin_ref(struct pin *pin)
{
	if (pin)
		atomic_fetch_add(&pin->references, 1);
	return pin;
}

struct pin *pin_unref(struct pin *pin)
{
	if (!pin || atomic_fetch_sub(&pin->references, 1) != 1)
		return NULL;
	stats_gauge_add(STATS_PINS, -1);
	free(pin);
	return NULL;
}
