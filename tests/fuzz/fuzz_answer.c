/* SPDX-License-Identifier: MIT */
/* What a mount is told by whatever answers at its URL: figures of space, problems; and the URL. */
#include "fs/answer.h"
#include "fs/mount_url.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct space_figures figures;
	char *text = strndup((const char *)data, len);
	const char *complaint;

	if (!text)
		abort();
	if (answer_figures(data, len, &figures) == 0)
		assert(figures.total_bytes > 0 && figures.total_bytes <= INT64_MAX);
	/* What is no problem leaves it to the status. */
	if (answer_says_not_applied(data, len, 503))
		assert(answer_says_not_applied(data, len, 412));
	complaint = mount_url_complaint(text);
	assert(!complaint || *complaint);
	free(text);
	return 0;
}
