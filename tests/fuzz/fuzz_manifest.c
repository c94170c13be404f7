/* SPDX-License-Identifier: MIT */
/* The input as the content of manifest 1, as CURRENT, and as one edit. Checksums as in
 * fuzz_segment.c. */
#include "node/manifest_format.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static void check_state(struct manifest_state *state)
{
	for (size_t i = 1; i < state->count; i++)
		assert(state->segments[i - 1].run > state->segments[i].run);
	for (size_t i = 0; i < state->count; i++)
		assert(state->segments[i].file_id < state->next_file_id);
	manifest_state_deinit(state);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct manifest_state state = { .next_file_id = 1 };
	char *text = malloc(len + 1);
	uint64_t id;

	if (!text)
		return 0;
	if (manifest_replay(&state, 1, data, len, "input") == 0)
		check_state(&state);
	else
		manifest_state_deinit(&state);
	state = (struct manifest_state){ .next_file_id = 1 };
	if (manifest_edit_replay(&state, data, len) == 0)
		check_state(&state);
	else
		manifest_state_deinit(&state);
	memcpy(text, data, len);
	text[len] = '\0';
	(void)manifest_current_decode(text, len, &id);
	free(text);
	return 0;
}
