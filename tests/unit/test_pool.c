/* SPDX-License-Identifier: MIT */
#include "lib/pool.h"

#include "lib/container_of.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#define JOBS 500

struct square {
	struct pool_job job;
	unsigned input;
	unsigned output;
};

static struct loop *loop;
static unsigned done_count;

static void run_square(struct pool_job *job)
{
	struct square *square = container_of(job, struct square, job);

	square->output = square->input * square->input;
}

static void square_done(struct pool_job *job)
{
	(void)job;
	if (++done_count == JOBS)
		loop_stop(loop);
}

static void every_job_runs_and_reports_to_its_loop(void **state)
{
	struct square *squares = calloc(JOBS, sizeof(*squares));
	struct pool *pool;

	(void)state;
	assert_int_equal(loop_new(&loop), 0);
	assert_int_equal(pool_new(4, &pool), 0);
	for (unsigned i = 0; i < JOBS; i++) {
		squares[i].input = i;
		squares[i].job =
			(struct pool_job){ .run = run_square, .done = square_done, .loop = loop };
		pool_submit(pool, &squares[i].job);
	}
	assert_int_equal(loop_run(loop), 0);
	for (unsigned i = 0; i < JOBS; i++)
		assert_int_equal(squares[i].output, i * i);
	assert_null(pool_free(pool));
	loop_free(loop);
	free(squares);
}

static void freeing_the_pool_finishes_its_jobs_first(void **state)
{
	struct square *squares = calloc(JOBS, sizeof(*squares));
	struct pool *pool;

	(void)state;
	done_count = 0;
	assert_int_equal(loop_new(&loop), 0);
	assert_int_equal(pool_new(1, &pool), 0);
	for (unsigned i = 0; i < JOBS; i++) {
		squares[i].job =
			(struct pool_job){ .run = run_square, .done = square_done, .loop = loop };
		pool_submit(pool, &squares[i].job);
	}
	pool_free(pool);
	assert_int_equal(loop_run(loop), 0);
	assert_int_equal(done_count, JOBS);
	loop_free(loop);
	free(squares);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_job_runs_and_reports_to_its_loop),
		cmocka_unit_test(freeing_the_pool_finishes_its_jobs_first),
	};

	return cmocka_run_group_tests_name("pool", tests, NULL, NULL);
}
