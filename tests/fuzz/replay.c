/* SPDX-License-Identifier: MIT */
/*
 * A fuzz target without libFuzzer: every file of its corpus, then changed ones, by seed:
 *   replay_NAME CORPUS-DIRECTORY RUNS
 * So the targets are run by every compiler, and are seen to build.
 */
#include <dirent.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define INPUT_MAX   65536
#define CORPUS_MAX  512
#define CHANGES_MAX 6

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

struct input {
	uint8_t *data;
	size_t len;
};

static struct input corpus[CORPUS_MAX];
static size_t corpus_count;
static uint64_t random_state = 1;

static uint64_t pick(uint64_t below)
{
	random_state = random_state * 6364136223846793005u + 1442695040888963407u;
	return (random_state >> 33) % below;
}

static int load(const char *dir, const char *name)
{
	static uint8_t bytes[INPUT_MAX];
	struct input *input = &corpus[corpus_count];
	char path[4096];
	FILE *file;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	file = fopen(path, "rb");
	if (!file)
		return -1;
	input->len = fread(bytes, 1, sizeof(bytes), file);
	fclose(file);
	input->data = malloc(input->len + 1);
	if (!input->data)
		return -1;
	memcpy(input->data, bytes, input->len);
	corpus_count++;
	return 0;
}

static int load_all(const char *dir_path)
{
	DIR *dir = opendir(dir_path);
	struct dirent *entry;
	int r = 0;

	if (!dir)
		return -1;
	while (r == 0 && corpus_count < CORPUS_MAX && (entry = readdir(dir)))
		if (entry->d_name[0] != '.')
			r = load(dir_path, entry->d_name);
	closedir(dir);
	return corpus_count > 0 ? r : -1;
}

/* One small change; the new length. */
static size_t change(uint8_t *data, size_t len)
{
	static const uint8_t telling[] = { 0, 1, 0x7f, 0x80, 0xff };
	const struct input *other = &corpus[pick(corpus_count)];
	size_t at = len > 0 ? pick(len) : 0, count;

	switch (pick(6)) {
	case 0:
		if (len > 0)
			data[at] ^= (uint8_t)(1u << pick(8));
		return len;
	case 1:
		if (len > 0)
			data[at] = telling[pick(sizeof(telling))];
		return len;
	case 2: /* cut short */
		return at;
	case 3: /* a piece goes */
		count = pick(len - at + 1);
		memmove(data + at, data + at + count, len - at - count);
		return len - count;
	case 4: /* a piece comes twice */
		count = pick(len - at + 1);
		if (len + count > INPUT_MAX)
			return len;
		memmove(data + at + count, data + at, len - at);
		return len + count;
	default: /* it goes on as another one does */
		if (other->len <= at)
			return len;
		memcpy(data + at, other->data + at, other->len - at);
		return other->len;
	}
}

/* In memory of exactly its size, so that a sanitizer sees what is read behind it. */
static void run(const uint8_t *data, size_t len)
{
	uint8_t *copy = malloc(len > 0 ? len : 1);

	if (!copy)
		exit(1);
	memcpy(copy, data, len);
	LLVMFuzzerTestOneInput(copy, len);
	free(copy);
}

static void on_abort(int number)
{
	static const char sentence[] = "an input was not survived; runs are the same each time\n";

	(void)number;
	(void)!write(STDOUT_FILENO, sentence, sizeof(sentence) - 1);
}

int main(int argc, char **argv)
{
	static uint8_t data[INPUT_MAX];
	unsigned long runs;

	if (argc != 3 || load_all(argv[1]) < 0)
		return 2;
	runs = strtoul(argv[2], NULL, 10);
	signal(SIGABRT, on_abort);
	/* What is refused is logged. */
	if (!freopen("/dev/null", "w", stderr))
		return 1;
	for (size_t i = 0; i < corpus_count; i++)
		run(corpus[i].data, corpus[i].len);
	for (unsigned long i = 0; i < runs; i++) {
		const struct input *from = &corpus[pick(corpus_count)];
		size_t len = from->len;

		memcpy(data, from->data, len);
		for (uint64_t changes = 1 + pick(CHANGES_MAX); changes > 0; changes--)
			len = change(data, len);
		run(data, len);
	}
	printf("%zu files and %lu changed ones\n", corpus_count, runs);
	return 0;
}
