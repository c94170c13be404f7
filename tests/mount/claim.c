/* SPDX-License-Identifier: MIT */
#include "tests/mount/claim.h"

#include "lib/hash.h"
#include "tests/mount/report.h"

#include <string.h>

struct claim {
	uint64_t magic;
	uint64_t key;
	uint64_t write;
	uint64_t len;
	uint64_t hash; /* of the rest */
};

#define MAGIC UINT64_C(0x636c61696d656421)

_Static_assert(sizeof(struct claim) == CLAIM_BYTES_MIN, "the smallest value is a claim alone");

size_t claim_size(struct random *random)
{
	static const size_t edges[] = { 4096, 65536, 65536, 131072, 1u << 20, 4u << 20 };

	switch (random_below(random, 12)) {
	case 0:
		return CLAIM_BYTES_MIN;
	case 1:
	case 2:
		return edges[random_below(random, 6)] + random_below(random, 5) - 2;
	case 3:
	case 4:
		return CLAIM_BYTES_MIN + random_below(random, 300000);
	case 5:
		return random_once_in(random, 3) ? CLAIM_BYTES_MIN + random_below(random, 6u << 20)
						 : 65537;
	case 6:
	case 7:
		return CLAIM_BYTES_MIN + random_below(random, 20000);
	default:
		return CLAIM_BYTES_MIN + random_below(random, 200);
	}
}

/* A rest that belongs to another claim doesn't fit this one. */
static uint64_t rest_hash(const struct claim *claim, const uint8_t *data)
{
	return hash64(data + sizeof(*claim), claim->len - sizeof(*claim),
		      claim->write * 31 + claim->key);
}

void claim_make(struct random *random, unsigned key, uint64_t write, void *data, size_t len)
{
	struct claim claim = { .magic = MAGIC, .key = key, .write = write, .len = len };

	random_fill(random, data, len);
	claim.hash = rest_hash(&claim, data);
	memcpy(data, &claim, sizeof(claim));
}

uint64_t claim_check(unsigned key, const void *data, size_t len, const char *who)
{
	struct claim claim;

	if (len < sizeof(claim))
		report_fail("%s: key %u holds %zu bytes, fewer than anybody wrote", who, key, len);
	memcpy(&claim, data, sizeof(claim));
	if (claim.magic != MAGIC || claim.key != key || claim.len != len)
		report_fail("%s: key %u holds %zu bytes that begin with magic %llx, key %llu, "
			    "version %llu, length %llu",
			    who, key, len, (unsigned long long)claim.magic,
			    (unsigned long long)claim.key, (unsigned long long)claim.write,
			    (unsigned long long)claim.len);
	if (rest_hash(&claim, data) != claim.hash)
		report_fail("%s: version %llu of key %u is torn (%zu bytes)", who,
			    (unsigned long long)claim.write, key, len);
	return claim.write;
}
