/* SPDX-License-Identifier: MIT */
#include "node/lineage.h"

#include <stdlib.h>
#include <string.h>

void lineage_begin(int64_t now_ns, struct lineage *ret_lineage)
{
	*ret_lineage = (struct lineage){ .created_ns = now_ns };
	while (!lineage_is_set(ret_lineage))
		arc4random_buf(ret_lineage->id, sizeof(ret_lineage->id));
}

bool lineage_is_set(const struct lineage *lineage)
{
	static const uint8_t none[16];

	return memcmp(lineage->id, none, sizeof(none)) != 0;
}

bool lineage_equal(const struct lineage *a, const struct lineage *b)
{
	return lineage_compare(a, b) == 0;
}

int lineage_compare(const struct lineage *a, const struct lineage *b)
{
	if (a->created_ns != b->created_ns)
		return a->created_ns < b->created_ns ? -1 : 1;
	return memcmp(a->id, b->id, sizeof(a->id));
}
