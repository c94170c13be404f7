/* SPDX-License-Identifier: MIT */
#include "lib/address_counts.h"

#include "lib/hash.h"

#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define BUCKETS 1024

struct prefix {
	uint8_t family; /* 4 or 6 */
	uint8_t bytes[8];
};

struct address_count {
	struct prefix prefix;
	unsigned count;
	struct address_count *next;
	struct address_count **link;
};

struct address_counts {
	uint64_t seed; /* so that nobody can choose addresses that meet in one bucket */
	struct address_count *buckets[BUCKETS];
};

struct address_counts *address_counts_new(void)
{
	struct address_counts *counts = calloc(1, sizeof(*counts));

	if (counts)
		counts->seed = (uint64_t)(uintptr_t)counts;
	return counts;
}

struct address_counts *address_counts_free(struct address_counts *counts)
{
	free(counts);
	return NULL;
}

/* False if it is of no network. */
static bool prefix_of(const struct sockaddr *address, struct prefix *ret_prefix)
{
	static const uint8_t mapped[12] = { [10] = 0xff, [11] = 0xff };
	struct prefix prefix = { .family = 4 };

	if (address->sa_family == AF_INET) {
		memcpy(prefix.bytes, &((const struct sockaddr_in *)address)->sin_addr, 4);
	} else if (address->sa_family == AF_INET6) {
		const uint8_t *bytes = ((const struct sockaddr_in6 *)address)->sin6_addr.s6_addr;

		if (memcmp(bytes, mapped, sizeof(mapped)) == 0) {
			memcpy(prefix.bytes, bytes + 12, 4);
		} else {
			prefix.family = 6;
			memcpy(prefix.bytes, bytes, 8);
		}
	} else {
		return false;
	}
	*ret_prefix = prefix;
	return true;
}

struct address_count *address_counts_add(struct address_counts *counts,
					 const struct sockaddr *address)
{
	struct address_count **bucket, *count;
	struct prefix prefix;

	if (!prefix_of(address, &prefix))
		return NULL;
	bucket = &counts->buckets[hash64(&prefix, sizeof(prefix), counts->seed) % BUCKETS];
	for (count = *bucket; count; count = count->next) {
		if (memcmp(&count->prefix, &prefix, sizeof(prefix)) == 0) {
			count->count++;
			return count;
		}
	}
	count = calloc(1, sizeof(*count));
	if (!count)
		return NULL;
	count->prefix = prefix;
	count->count = 1;
	count->next = *bucket;
	count->link = bucket;
	if (count->next)
		count->next->link = &count->next;
	*bucket = count;
	return count;
}

unsigned address_count_get(const struct address_count *count)
{
	return count->count;
}

void address_count_remove(struct address_count *count)
{
	if (!count || --count->count > 0)
		return;
	*count->link = count->next;
	if (count->next)
		count->next->link = count->link;
	free(count);
}
