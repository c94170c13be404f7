/* SPDX-License-Identifier: MIT */
/* A device number holds for one run of one kernel, which has an id of its own. */
#include "node/file_system.h"

#include "lib/cleanup.h"
#include "lib/hash.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define BOOT_ID "/proc/sys/kernel/random/boot_id"

void file_system_id(const char *dir, char ret_id[FILE_SYSTEM_ID_SIZE])
{
	_cleanup_(closep) int fd = open(BOOT_ID, O_RDONLY | O_CLOEXEC);
	struct {
		char boot[64];
		uint64_t device;
	} seed;
	struct hash128 hash;
	struct stat st;

	ret_id[0] = '\0';
	memset(&seed, 0, sizeof(seed));
	if (fd < 0 || read(fd, seed.boot, sizeof(seed.boot)) <= 0 || stat(dir, &st) < 0)
		return;
	seed.device = (uint64_t)st.st_dev;
	hash = hash128(&seed, sizeof(seed));
	snprintf(ret_id, FILE_SYSTEM_ID_SIZE, "%016" PRIx64 "%016" PRIx64, hash.high, hash.low);
}
