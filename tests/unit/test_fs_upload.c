/* SPDX-License-Identifier: MIT */
#include "fs/upload.h"

#include "lib/clock.h"
#include "lib/http_client.h"
#include "tests/unit/fs_fixture.h"

#include <errno.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define CONTENT_BYTES (256 * 1024)
#define BEGIN_BYTES   (100 * 1000)

/* What the router does with uploads. */
struct script {
	unsigned status;
	bool silent;
	atomic_bool receives; /* some of a body has come */
};

static enum fs_answer respond(void *state, const char *request, struct buf *ret_answer)
{
	struct script *script = state;
	char fields[512];

	(void)request;
	if (script->silent)
		return FS_SILENCE;
	fs_record_fields(fields, sizeof(fields), 7, CONTENT_BYTES);
	fs_write_answer(ret_answer, script->status, fields, NULL, 0);
	return FS_ANSWER;
}

static const struct remote_put_last last = {
	.content_type = "text/late",
	.encoding = "latin-1",
	.mtime_ns = -5,
	.durability = DURABILITY_DISK,
};

struct fixture {
	struct fs_router router;
	struct script script;
	struct uploads *uploads;
	struct staging *staging;
	struct upload *upload;
	char content[CONTENT_BYTES];
};

static void begin_from(struct fixture *fixture, uint64_t from)
{
	assert_int_equal(upload_begin(fixture->uploads, "00aa", NULL, fixture->staging, from,
				      &fixture->upload),
			 0);
}

static void set_up(struct fixture *fixture, unsigned status, uint32_t idle_ms)
{
	const char *dir = getenv("TMPDIR");
	struct uploads_options options = {
		.threads = 1,
		.begin_bytes = BEGIN_BYTES,
		.idle_ms = idle_ms,
	};

	memset(fixture, 0, sizeof(*fixture));
	for (size_t i = 0; i < sizeof(fixture->content); i++)
		fixture->content[i] = (char)(i % 251 + 1);
	fixture->script.status = status;
	fs_router_start(&fixture->router, respond, &fixture->script, 5000);
	options.remote = fixture->router.remote;
	assert_int_equal(uploads_new(&options, &fixture->uploads), 0);
	assert_int_equal(staging_new(dir && *dir ? dir : "/tmp", 0, &fixture->staging), 0);
	assert_int_equal(staging_write(fixture->staging, 0, fixture->content, CONTENT_BYTES / 2),
			 0);
}

static void tear_down(struct fixture *fixture)
{
	upload_unref(fixture->upload);
	uploads_free(fixture->uploads);
	staging_unref(fixture->staging);
	fs_router_stop(&fixture->router);
}

static int write_more(struct fixture *fixture, uint64_t offset, size_t len)
{
	int r = upload_before_change(fixture->upload, offset);

	if (r < 0)
		return r;
	assert_int_equal(staging_write(fixture->staging, offset, fixture->content + offset, len),
			 0);
	upload_after_change(fixture->upload, offset, len);
	return 0;
}

static int finish(struct fixture *fixture, const char *key)
{
	struct remote_stored stored = { 0 };
	int r = upload_finish(fixture->upload, key, &last, NULL, &stored);

	if (r == 0) {
		assert_int_equal(stored.version.sequence, 7);
		assert_int_equal(stored.mtime_ns, 77);
	}
	return r;
}

static void what_was_written_goes_out_with_what_was_known_last(void **state)
{
	static struct fixture fixture;

	(void)state;
	set_up(&fixture, 204, 10000);
	begin_from(&fixture, 0);
	assert_non_null(fixture.upload);
	for (size_t at = CONTENT_BYTES / 2; at < CONTENT_BYTES; at += CONTENT_BYTES / 8)
		assert_int_equal(write_more(&fixture, at, CONTENT_BYTES / 8), 0);
	assert_int_equal(fs_router_requests(&fixture.router), 0);
	assert_int_equal(finish(&fixture, "00aa"), 0);
	assert_int_equal(fs_router_requests(&fixture.router), 1);
	assert_string_equal(fs_request_field(fixture.router.last, "Transfer-Encoding"), "chunked");
	assert_string_equal(fs_request_field(fixture.router.last, "Trailer"),
			    "HexKV-Content-Type, HexKV-Encoding, HexKV-Mtime, HexKV-Durability");
	tear_down(&fixture);
}

static void little_content_and_more_than_threads_are_not_sent_ahead(void **state)
{
	static struct fixture fixture;
	struct upload *second = NULL;

	(void)state;
	set_up(&fixture, 204, 10000);
	begin_from(&fixture, CONTENT_BYTES / 2 - BEGIN_BYTES + 1);
	assert_null(fixture.upload);
	begin_from(&fixture, CONTENT_BYTES / 2 - BEGIN_BYTES);
	assert_non_null(fixture.upload);
	assert_int_equal(upload_begin(fixture.uploads, "00ab", NULL, fixture.staging, 0, &second),
			 0);
	assert_null(second);
	tear_down(&fixture);
}

static void content_that_is_not_in_order_is_not_sent_ahead(void **state)
{
	static struct fixture fixture;

	(void)state;
	set_up(&fixture, 204, 10000);
	assert_int_equal(staging_write(fixture.staging, 5, "again", 5), 0);
	begin_from(&fixture, 0);
	assert_null(fixture.upload);
	tear_down(&fixture);
}

static void an_abandoned_upload_stores_nothing(void **state)
{
	static struct fixture fixture;

	(void)state;
	set_up(&fixture, 204, 10000);
	begin_from(&fixture, 0);
	upload_abandon(fixture.upload);
	assert_int_equal(write_more(&fixture, 0, 10), 0);
	assert_int_equal(finish(&fixture, "00aa"), UPLOAD_NOTHING);
	tear_down(&fixture);
	assert_int_equal(fixture.router.requests, 0);
}

static void another_name_is_another_record(void **state)
{
	static struct fixture fixture;

	(void)state;
	set_up(&fixture, 204, 10000);
	begin_from(&fixture, 0);
	assert_int_equal(finish(&fixture, "00ab"), UPLOAD_NOTHING);
	tear_down(&fixture);
	assert_int_equal(fixture.router.requests, 0);
}

static void a_writer_that_pauses_is_given_up(void **state)
{
	static struct fixture fixture;
	uint64_t deadline = clock_monotonic_ms() + 10000;
	struct upload *next = NULL;

	(void)state;
	set_up(&fixture, 204, 1);
	begin_from(&fixture, 0);
	/* Its thread is free again. */
	while (!next && clock_monotonic_ms() < deadline) {
		assert_int_equal(
			upload_begin(fixture.uploads, "00ab", NULL, fixture.staging, 0, &next), 0);
		poll(NULL, 0, 5);
	}
	assert_non_null(next);
	assert_int_equal(finish(&fixture, "00aa"), UPLOAD_NOTHING);
	upload_unref(next);
	tear_down(&fixture);
	assert_int_equal(fixture.router.requests, 0);
}

/* A router that refuses before it has read the body. */
static void refuse(int fd, unsigned number, void *state)
{
	struct buf head = { 0 };

	(void)number;
	(void)state;
	if (fake_read_head(fd, &head))
		fake_write(fd,
			   "HTTP/1.1 507 Full\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
	fake_drain(fd, &head);
	buf_deinit(&head);
}

static void a_full_cluster_is_an_error_of_the_next_write(void **state)
{
	static struct fixture fixture;
	struct fake_server *full = fake_server_start(refuse, NULL);
	struct remote_options remote = { .connections_max = 2, .timeout_ms = 5000 };
	struct uploads_options options = {
		.threads = 1,
		.begin_bytes = BEGIN_BYTES,
		.idle_ms = 10000,
	};
	uint64_t deadline = clock_monotonic_ms() + 10000;
	size_t at = CONTENT_BYTES / 2;
	int r = 0;

	(void)state;
	set_up(&fixture, 204, 10000);
	uploads_free(fixture.uploads);
	remote.url = fake_server_url(full);
	assert_int_equal(remote_new(&remote, &options.remote), 0);
	assert_int_equal(uploads_new(&options, &fixture.uploads), 0);
	begin_from(&fixture, 0);
	while (r == 0 && clock_monotonic_ms() < deadline) {
		r = write_more(&fixture, at, 64);
		at = at + 64 < CONTENT_BYTES - 64 ? at + 64 : CONTENT_BYTES / 2;
		poll(NULL, 0, 1);
	}
	assert_int_equal(r, -ENOSPC);
	/* Flushing tries it once more. */
	assert_int_equal(finish(&fixture, "00aa"), UPLOAD_NOTHING);
	tear_down(&fixture);
	remote_free(options.remote);
	fake_server_stop(full);
}

static bool always(void *state)
{
	(void)state;
	return true;
}

static void waiting_for_the_answer_can_be_interrupted(void **state)
{
	static struct fixture fixture;
	const struct interrupt interrupt = { .raised = always };
	struct remote_stored stored;

	(void)state;
	set_up(&fixture, 204, 10000);
	fixture.script.silent = true;
	begin_from(&fixture, 0);
	assert_int_equal(upload_finish(fixture.upload, "00aa", &last, &interrupt, &stored), -EINTR);
	tear_down(&fixture);
}

static void the_answer_of_the_router_is_the_users(void **state)
{
	static struct fixture fixture;

	(void)state;
	set_up(&fixture, 412, 10000);
	begin_from(&fixture, 0);
	assert_int_equal(finish(&fixture, "00aa"), -ESTALE);
	tear_down(&fixture);
}

static int set_up_group(void **state)
{
	(void)state;
	return http_client_global_init();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_was_written_goes_out_with_what_was_known_last),
		cmocka_unit_test(little_content_and_more_than_threads_are_not_sent_ahead),
		cmocka_unit_test(content_that_is_not_in_order_is_not_sent_ahead),
		cmocka_unit_test(an_abandoned_upload_stores_nothing),
		cmocka_unit_test(another_name_is_another_record),
		cmocka_unit_test(a_writer_that_pauses_is_given_up),
		cmocka_unit_test(a_full_cluster_is_an_error_of_the_next_write),
		cmocka_unit_test(waiting_for_the_answer_can_be_interrupted),
		cmocka_unit_test(the_answer_of_the_router_is_the_users),
	};

	return cmocka_run_group_tests_name("fs_upload", tests, set_up_group, NULL);
}
