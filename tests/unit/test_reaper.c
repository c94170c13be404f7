/* SPDX-License-Identifier: MIT */
#include "node/reaper.h"

#include "lib/clock.h"
#include "lib/mutex.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define JOBS 200

/* A file system that writes down what it is asked for, one letter a call: what is unlinked in
 * upper case, what is closed in lower case. */
static struct {
	struct mutex lock;
	struct condition wake;
	char calls[2 * JOBS + 1];
	size_t count;
	int error; /* of unlink */
	bool stuck; /* unlink waits */
	bool waits;
	pthread_t thread; /* of the last call */
} disk;

static struct reaper *reaper;

static void note(char call)
{
	assert_true(disk.count < sizeof(disk.calls) - 1);
	disk.calls[disk.count++] = call;
	disk.thread = pthread_self();
}

static int fake_unlink(struct vfs *vfs, const char *path)
{
	int r;

	(void)vfs;
	mutex_lock(&disk.lock);
	disk.waits = true;
	condition_broadcast(&disk.wake);
	while (disk.stuck)
		condition_wait(&disk.wake, &disk.lock);
	disk.waits = false;
	note(path[0]);
	r = disk.error;
	mutex_unlock(&disk.lock);
	return r;
}

struct fake_file {
	struct vfs_file base;
	char name;
};

static void fake_close(struct vfs_file *file)
{
	mutex_lock(&disk.lock);
	note(((struct fake_file *)file)->name);
	mutex_unlock(&disk.lock);
	free(file);
}

static const struct vfs_ops fake_ops = { .unlink = fake_unlink, .close = fake_close };
static struct vfs fake_vfs = { .ops = &fake_ops };

static struct vfs_file *file_of(char name)
{
	struct fake_file *file = calloc(1, sizeof(*file));

	assert_non_null(file);
	file->base.vfs = &fake_vfs;
	file->name = name;
	return &file->base;
}

static char *path_of(char name)
{
	char *path = calloc(1, 2);

	assert_non_null(path);
	path[0] = name;
	return path;
}

static int set_up(void **state)
{
	(void)state;
	memset(&disk, 0, sizeof(disk));
	mutex_init(&disk.lock);
	condition_init(&disk.wake);
	return reaper_new(&fake_vfs, &reaper);
}

static int tear_down(void **state)
{
	(void)state;
	reaper = reaper_free(reaper);
	condition_deinit(&disk.wake);
	mutex_deinit(&disk.lock);
	return 0;
}

static void set_stuck(bool stuck)
{
	mutex_lock(&disk.lock);
	disk.stuck = stuck;
	condition_broadcast(&disk.wake);
	mutex_unlock(&disk.lock);
}

static void before_the_start_a_file_goes_at_once(void **state)
{
	(void)state;
	reaper_add(reaper, path_of('A'), file_of('a'));
	assert_string_equal(disk.calls, "Aa");
	assert_true(pthread_equal(disk.thread, pthread_self()));
}

static void a_file_may_have_no_name_or_not_be_open(void **state)
{
	(void)state;
	for (int started = 0; started < 2; started++) {
		reaper_add(reaper, NULL, file_of('a'));
		reaper_add(reaper, path_of('B'), NULL);
		reaper_add(reaper, NULL, NULL);
		assert_int_equal(reaper_start(reaper), 0);
	}
	reaper = reaper_free(reaper);
	assert_string_equal(disk.calls, "aBaB");
}

static void a_file_that_cannot_be_deleted_is_closed_all_the_same(void **state)
{
	(void)state;
	disk.error = -EIO;
	reaper_add(reaper, path_of('A'), file_of('a'));
	disk.error = -ENOENT;
	reaper_add(reaper, path_of('B'), file_of('b'));
	assert_string_equal(disk.calls, "AaBb");
}

static void nobody_waits_for_a_slow_disk(void **state)
{
	(void)state;
	assert_int_equal(reaper_start(reaper), 0);
	set_stuck(true);
	/* Each of these returns although the first deletion has not. */
	for (int i = 0; i < 3; i++)
		reaper_add(reaper, path_of((char)('A' + i)), file_of((char)('a' + i)));
	mutex_lock(&disk.lock);
	while (!disk.waits)
		condition_wait(&disk.wake, &disk.lock);
	assert_string_equal(disk.calls, "");
	mutex_unlock(&disk.lock);
	set_stuck(false);
	reaper = reaper_free(reaper);
	assert_string_equal(disk.calls, "AaBbCc");
	assert_false(pthread_equal(disk.thread, pthread_self()));
}

static void it_finishes_what_it_was_given_before_it_ends(void **state)
{
	(void)state;
	assert_int_equal(reaper_start(reaper), 0);
	for (int i = 0; i < JOBS; i++)
		reaper_add(reaper, path_of('A'), file_of('a'));
	reaper = reaper_free(reaper);
	assert_int_equal(disk.count, 2 * JOBS);
}

static size_t calls_so_far(void)
{
	size_t count;

	mutex_lock(&disk.lock);
	count = disk.count;
	mutex_unlock(&disk.lock);
	return count;
}

static void it_wakes_for_each_file_after_it_has_had_nothing_to_do(void **state)
{
	uint64_t deadline = clock_monotonic_ms() + 20000;

	(void)state;
	assert_int_equal(reaper_start(reaper), 0);
	for (size_t i = 1; i <= 20; i++) {
		reaper_add(reaper, path_of('A'), file_of('a'));
		while (calls_so_far() < 2 * i) {
			assert_true(clock_monotonic_ms() < deadline);
			usleep(100);
		}
	}
}

static void a_reaper_that_was_never_started_or_used_is_freed(void **state)
{
	(void)state;
	reaper = reaper_free(reaper);
	assert_null(reaper_free(NULL));
	assert_string_equal(disk.calls, "");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
		TEST(before_the_start_a_file_goes_at_once),
		TEST(a_file_may_have_no_name_or_not_be_open),
		TEST(a_file_that_cannot_be_deleted_is_closed_all_the_same),
		TEST(nobody_waits_for_a_slow_disk),
		TEST(it_finishes_what_it_was_given_before_it_ends),
		TEST(it_wakes_for_each_file_after_it_has_had_nothing_to_do),
		TEST(a_reaper_that_was_never_started_or_used_is_freed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
