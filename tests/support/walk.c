/* SPDX-License-Identifier: MIT */
/*
 * Walks through a directory while its names come and go, at random from a seed, and compares what
 * it sees with a model: a name that is there from the beginning of a walk to its end is seen once,
 * wherever telldir() and seekdir() lead; one that was not there at all is not seen.
 *
 * usage: walk DIRECTORY OTHER SEED STEPS
 *
 * OTHER is the same directory of another mount, or the same one again. A name is changed through
 * one of them only.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define KEYS         5000
#define TEMPORARIES  40 /* behind the keys; of DIRECTORY alone */
#define NAMES        (KEYS + TEMPORARIES)
#define WALKERS      3
#define PLACES       16
#define UNSAVED      12
#define SEEN_BYTES   ((NAMES + 7) / 8)
#define NAME_MAX_LEN 64

struct place {
	long offset;
	uint8_t seen[SEEN_BYTES];
};

struct walker {
	DIR *dir;
	uint8_t seen[SEEN_BYTES];
	bool throughout[NAMES]; /* there since this walk began */
	bool possible[NAMES]; /* there at some time since */
	struct place places[PLACES];
	unsigned place_count;
};

static uint64_t seed, state;
static unsigned step;
static char names[NAMES][NAME_MAX_LEN];
static bool there[NAMES];
static int directories[2]; /* DIRECTORY, OTHER */
static struct walker walkers[WALKERS];
static struct unsaved {
	int fd;
	unsigned name;
} unsaved[UNSAVED];
static unsigned unsaved_count, walks;

#define FAIL(...)                                                                                  \
	do {                                                                                       \
		fprintf(stderr, "seed %llu, step %u: ", (unsigned long long)seed, step);           \
		fprintf(stderr, __VA_ARGS__);                                                      \
		fputc('\n', stderr);                                                               \
		exit(1);                                                                           \
	} while (0)

/* xorshift64* */
static uint32_t below(uint32_t bound)
{
	state ^= state >> 12;
	state ^= state << 25;
	state ^= state >> 27;
	return (uint32_t)((state * UINT64_C(2685821657736338717)) >> 32) % bound;
}

static int directory_of(unsigned name)
{
	return directories[name < KEYS && name % 2];
}

/* Some share a long beginning, some are the beginning of others. */
static void make_names(void)
{
	for (unsigned i = 0; i < KEYS; i++) {
		switch (below(3)) {
		case 0:
			snprintf(names[i], NAME_MAX_LEN, "%08x%04x", below(UINT32_MAX), i);
			break;
		case 1:
			snprintf(names[i], NAME_MAX_LEN, "%040x%04x", 7, i);
			break;
		default:
			snprintf(names[i], NAME_MAX_LEN, "%04x%.*s", i, (int)below(6) * 2,
				 "00000000000");
		}
	}
	for (unsigned i = KEYS; i < NAMES; i++)
		snprintf(names[i], NAME_MAX_LEN, ".tmp%u", i - KEYS);
}

static int by_name(const void *a, const void *b)
{
	return strcmp(names[*(const unsigned *)a], names[*(const unsigned *)b]);
}

static unsigned sorted[NAMES];

static unsigned index_of(const char *name)
{
	unsigned low = 0, high = NAMES;

	while (low < high) {
		unsigned middle = (low + high) / 2;
		int order = strcmp(name, names[sorted[middle]]);

		if (order == 0)
			return sorted[middle];
		if (order < 0)
			high = middle;
		else
			low = middle + 1;
	}
	FAIL("'%s' was never made", name);
}

static void came(unsigned name)
{
	there[name] = true;
	for (unsigned i = 0; i < WALKERS; i++)
		walkers[i].possible[name] = true;
}

static void went(unsigned name)
{
	there[name] = false;
	for (unsigned i = 0; i < WALKERS; i++)
		walkers[i].throughout[name] = false;
}

static bool is_unsaved(unsigned name)
{
	for (unsigned i = 0; i < unsaved_count; i++)
		if (unsaved[i].name == name)
			return true;
	return false;
}

static void save_one(void)
{
	unsigned i;

	if (unsaved_count == 0)
		return;
	i = below(unsaved_count);
	if (close(unsaved[i].fd) < 0)
		FAIL("closing %s: %s", names[unsaved[i].name], strerror(errno));
	unsaved[i] = unsaved[--unsaved_count];
}

static void make(unsigned name)
{
	int fd = openat(directory_of(name), names[name], O_WRONLY | O_CREAT | O_TRUNC, 0644);

	if (fd < 0 || write(fd, names[name], 4) != 4)
		FAIL("making %s: %s", names[name], strerror(errno));
	came(name);
	/* What another mount has not saved yet is not there. */
	if (unsaved_count < UNSAVED && directory_of(name) == directories[0] && below(2) == 0)
		unsaved[unsaved_count++] = (struct unsaved){ .fd = fd, .name = name };
	else if (close(fd) < 0)
		FAIL("closing %s: %s", names[name], strerror(errno));
}

static void drop(unsigned name)
{
	if (unlinkat(directory_of(name), names[name], 0) < 0)
		FAIL("removing %s: %s", names[name], strerror(errno));
	went(name);
}

/* Both of the same mount. Open ones are left alone: their names would have to be followed. */
static void move(unsigned from, unsigned to)
{
	if (directory_of(from) != directory_of(to) || from == to || is_unsaved(from) ||
	    is_unsaved(to))
		return;
	if (renameat(directory_of(from), names[from], directory_of(to), names[to]) < 0)
		FAIL("moving %s to %s: %s", names[from], names[to], strerror(errno));
	went(from);
	came(to);
}

static void change(void)
{
	unsigned name = below(8) == 0 ? KEYS + below(TEMPORARIES) : below(KEYS);

	if (!there[name])
		make(name);
	else if (below(4) == 0)
		move(name, below(4) == 0 ? KEYS + below(TEMPORARIES) : below(KEYS));
	else
		drop(name);
}

static void begin_walk(struct walker *walker)
{
	rewinddir(walker->dir);
	memset(walker->seen, 0, sizeof(walker->seen));
	memcpy(walker->throughout, there, sizeof(there));
	memcpy(walker->possible, there, sizeof(there));
	walker->place_count = 0;
	walks++;
}

static void check_end(const struct walker *walker)
{
	for (unsigned i = 0; i < NAMES; i++)
		if (walker->throughout[i] && !(walker->seen[i / 8] & 1 << i % 8))
			FAIL("%s was not seen", names[i]);
}

static void go_back(struct walker *walker)
{
	const struct place *place;

	if (walker->place_count == 0) {
		begin_walk(walker);
		return;
	}
	place = &walker->places[below(walker->place_count)];
	seekdir(walker->dir, place->offset);
	memcpy(walker->seen, place->seen, sizeof(walker->seen));
}

static void see(struct walker *walker, const char *text)
{
	unsigned name = index_of(text);
	uint8_t bit = (uint8_t)(1 << name % 8);

	if (!walker->possible[name])
		FAIL("%s was seen and is not there", text);
	if (walker->seen[name / 8] & bit && walker->throughout[name])
		FAIL("%s was seen twice", text);
	walker->seen[name / 8] |= bit;
}

static void walk(struct walker *walker, unsigned count)
{
	while (count-- > 0) {
		const struct dirent *entry;

		errno = 0;
		entry = readdir(walker->dir);
		if (!entry && errno)
			FAIL("reading: %s", strerror(errno));
		if (!entry) {
			check_end(walker);
			if (below(3) == 0)
				begin_walk(walker);
			else
				go_back(walker);
			return;
		}
		if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
			see(walker, entry->d_name);
	}
}

static void mark_place(struct walker *walker)
{
	unsigned at = walker->place_count < PLACES ? walker->place_count++ : below(PLACES);

	walker->places[at].offset = telldir(walker->dir);
	memcpy(walker->places[at].seen, walker->seen, sizeof(walker->seen));
}

static void do_step(void)
{
	struct walker *walker = &walkers[below(WALKERS)];

	switch (below(16)) {
	case 0:
		mark_place(walker);
		break;
	case 1:
		if (below(8) == 0)
			go_back(walker);
		break;
	case 2:
		if (below(64) == 0)
			begin_walk(walker);
		break;
	case 3:
		save_one();
		break;
	case 4:
	case 5:
		walk(walker, below(4) == 0 ? 1 + below(2500) : 1 + below(40));
		break;
	default:
		change();
	}
}

int main(int argc, char **argv)
{
	unsigned steps;

	if (argc != 5) {
		fprintf(stderr, "usage: walk DIRECTORY OTHER SEED STEPS\n");
		return 2;
	}
	seed = strtoull(argv[3], NULL, 10);
	steps = (unsigned)strtoul(argv[4], NULL, 10);
	state = seed * UINT64_C(0x9e3779b97f4a7c15) + 1;
	for (unsigned i = 0; i < 2; i++)
		directories[i] = open(argv[1 + i], O_RDONLY | O_DIRECTORY);
	make_names();
	for (unsigned i = 0; i < NAMES; i++)
		sorted[i] = i;
	qsort(sorted, NAMES, sizeof(sorted[0]), by_name);
	for (unsigned i = 0; i < KEYS; i += 1 + below(2))
		make(i);
	for (unsigned i = 0; i < WALKERS; i++) {
		walkers[i].dir = opendir(argv[1]);
		if (!walkers[i].dir)
			FAIL("opening: %s", strerror(errno));
		begin_walk(&walkers[i]);
	}
	for (step = 0; step < steps; step++)
		do_step();
	while (unsaved_count > 0)
		save_one();
	for (unsigned i = 0; i < NAMES; i++)
		if (there[i])
			drop(i);
	for (unsigned i = 0; i < WALKERS; i++)
		closedir(walkers[i].dir);
	printf("seed %llu: %u steps, %u walks begun\n", (unsigned long long)seed, steps, walks);
	return 0;
}
