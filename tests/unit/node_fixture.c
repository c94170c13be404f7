/* SPDX-License-Identifier: MIT */
#include "tests/unit/node_fixture.h"

#include "lib/clock.h"
#include "lib/container_of.h"
#include "node/routes.h"

#include <dirent.h>
#include <ftw.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define DEADLINE_MS 60000

static int remove_entry(const char *path, const struct stat *info, int type, struct FTW *ftw)
{
	(void)info;
	(void)type;
	(void)ftw;
	return remove(path);
}

static void write_cluster_file(const char *path, unsigned nodes)
{
	FILE *file = fopen(path, "w");

	assert_non_null(file);
	fprintf(file, "{\"cluster\":\"test\",\"shards\":[{\"name\":\"s0\",\"slots\":[[0,4095]],"
		      "\"leader\":\"n0\",\"nodes\":[");
	for (unsigned i = 0; i < nodes; i++)
		fprintf(file, "%s{\"name\":\"n%u\",\"url\":\"http://127.0.0.1:%u\"}", i ? "," : "",
			i, 20000 + i);
	fprintf(file, "]}]}");
	assert_int_equal(fclose(file), 0);
}

static void open_service(struct node_fixture *fixture)
{
	char cluster[80], data[80];
	struct service_options options = {
		.data = data,
		.cluster_file = cluster,
		.name = "n0",
		.memtable_bytes = 64 * 1024,
		.inline_bytes = 64 * 1024,
		.cache_bytes = 1024 * 1024,
		.log_retain_bytes = 1024 * 1024,
		.log_retain_s = 600,
		.ack_timeout_ms = 5000,
	};
	char *why = NULL;

	snprintf(cluster, sizeof(cluster), "%s/cluster.json", fixture->dir);
	snprintf(data, sizeof(data), "%s/data", fixture->dir);
	if (service_open(&options, &fixture->service, &why) != 0)
		fail_msg("%s", why ? why : "service_open");
	assert_int_equal(loop_new(&fixture->loop), 0);
	fixture->worker = (struct worker){ .loop = fixture->loop };
	assert_int_equal(service_callbacks.start(&fixture->worker, fixture->service), 0);
	fixture->state = fixture->worker.state;
}

void node_fixture_open(struct node_fixture *fixture, unsigned nodes)
{
	char cluster[80];

	*fixture = (struct node_fixture){ .dir = "/tmp/hexkv-node-XXXXXX" };
	assert_non_null(mkdtemp(fixture->dir));
	snprintf(cluster, sizeof(cluster), "%s/cluster.json", fixture->dir);
	write_cluster_file(cluster, nodes);
	open_service(fixture);
}

static bool nothing_in_flight(void *state)
{
	const struct node_fixture *fixture = state;

	return !service_callbacks.busy((struct worker *)&fixture->worker);
}

static void close_service(struct node_fixture *fixture)
{
	node_fixture_run_until(fixture, nothing_in_flight, fixture);
	assert_int_equal(fixture->state->stream_bytes, 0);
	assert_int_equal(fixture->state->upload_bytes, 0);
	service_callbacks.stop(&fixture->worker);
	fixture->service = service_close(fixture->service);
	fixture->loop = loop_free(fixture->loop);
}

void node_fixture_reopen(struct node_fixture *fixture)
{
	close_service(fixture);
	open_service(fixture);
}

void node_fixture_close(struct node_fixture *fixture)
{
	close_service(fixture);
	nftw(fixture->dir, remove_entry, 8, FTW_DEPTH | FTW_PHYS);
}

struct wait {
	struct loop_hook hook;
	struct loop_timer deadline;
	struct node_fixture *fixture;
	bool (*condition)(void *);
	void *state;
	bool late;
};

static int look(struct loop_hook *hook)
{
	struct wait *wait = container_of(hook, struct wait, hook);

	if (wait->condition(wait->state))
		loop_stop(wait->fixture->loop);
	return 2;
}

static void too_late(struct loop_timer *timer)
{
	struct wait *wait = container_of(timer, struct wait, deadline);

	wait->late = true;
	loop_stop(wait->fixture->loop);
}

void node_fixture_run_until(struct node_fixture *fixture, bool (*condition)(void *), void *state)
{
	struct wait wait = {
		.hook.turn = look,
		.deadline.expired = too_late,
		.fixture = fixture,
		.condition = condition,
		.state = state,
	};

	loop_add_hook(fixture->loop, &wait.hook);
	loop_set_timer(fixture->loop, &wait.deadline, clock_monotonic_ms() + DEADLINE_MS);
	loop_run(fixture->loop);
	loop_clear_timer(fixture->loop, &wait.deadline);
	loop_remove_hook(fixture->loop, &wait.hook);
	assert_false(wait.late);
}

unsigned node_fixture_value_files(const struct node_fixture *fixture)
{
	char path[80];
	struct dirent *entry;
	unsigned count = 0;
	DIR *dir;

	snprintf(path, sizeof(path), "%s/data/value", fixture->dir);
	dir = opendir(path);
	assert_non_null(dir);
	while ((entry = readdir(dir)))
		count += entry->d_name[0] != '.';
	closedir(dir);
	return count;
}

static struct client *client_of(struct exchange *ex)
{
	return container_of(ex, struct client, ex);
}

/* Reads as far as the source goes. */
static void read_answer(struct client *client)
{
	struct answer *answer = &client->answer;
	uint8_t piece[10000];
	ssize_t n;

	while (client->reads && client->result == 0) {
		if (!answer->source) {
			assert_int_equal(
				buf_append(&client->body, answer->bytes.data, answer->bytes.len),
				0);
			client->result = 1;
			return;
		}
		if (client->body.len == answer->stream_bytes) {
			client->result = 1;
			return;
		}
		n = answer->source->read(answer->source_state, &client->ex, client->body.len, piece,
					 sizeof(piece));
		if (n == 0)
			return;
		if (n < 0) {
			client->result = n;
			return;
		}
		assert_true(client->body.len + (size_t)n <= answer->stream_bytes);
		assert_int_equal(buf_append(&client->body, piece, (size_t)n), 0);
	}
}

static void respond(struct exchange *ex, struct answer *answer)
{
	struct client *client = client_of(ex);

	assert_int_equal(client->status, 0);
	client->status = answer->status;
	client->answer = *answer;
}

static void resume_body(struct exchange *ex)
{
	client_of(ex)->refused = false;
}

static void resume_answer(struct exchange *ex)
{
	(void)ex;
}

static void free_exchange(struct exchange *ex)
{
	client_of(ex)->freed = true;
}

static const struct exchange_transport transport = {
	.respond = respond,
	.resume_body = resume_body,
	.resume_answer = resume_answer,
	.free = free_exchange,
};

void client_begin(struct client *client, struct node_fixture *fixture, enum method method,
		  const char *path, const void *body, size_t body_len, ...)
{
	va_list args;
	int field;

	*client = (struct client){
		.ex = { .method = method,
			.path = path,
			.query = "",
			.content_length = fixture->chunked ? -1 : (int64_t)body_len,
			.has_body = body_len > 0,
			.loop = fixture->loop,
			.over_frame = fixture->over_frame,
			.transport = &transport,
			.references = 1 },
		.fixture = fixture,
		.data = body,
		.left = body_len,
		.piece = 8192,
		.reads = true,
	};
	va_start(args, body_len);
	while ((field = va_arg(args, int)) != 0) {
		const char *value = va_arg(args, const char *);

		assert_int_equal(
			fields_set(&client->ex.request, (enum field)field, value, strlen(value)),
			0);
	}
	va_end(args);
	routes_begin(&client->ex, &fixture->worker);
}

void client_send(struct client *client)
{
	struct exchange *ex = &client->ex;

	while (client->left > 0 && !client->refused && !ex->answered) {
		size_t len = client->left < client->piece ? client->left : client->piece;
		size_t taken = len;

		if (ex->handler->body) {
			client->refused = true;
			taken = ex->handler->body(ex, client->data, len);
			if (taken == len)
				client->refused = false;
		}
		client->data += taken;
		client->left -= taken;
	}
	if (client->left == 0 && !client->ended && !ex->answered) {
		client->ended = true;
		ex->handler->end(ex);
	}
}

static bool has_head(void *state)
{
	struct client *client = state;

	client_send(client);
	return client->status != 0;
}

void client_step(struct client *client)
{
	client_send(client);
	if (client->status != 0)
		read_answer(client);
}

static bool has_all(void *state)
{
	struct client *client = state;

	client_step(client);
	return client->result != 0;
}

void client_wait_head(struct client *client)
{
	node_fixture_run_until(client->fixture, has_head, client);
}

void client_wait(struct client *client)
{
	node_fixture_run_until(client->fixture, has_all, client);
}

void client_finish(struct client *client)
{
	struct exchange *ex = &client->ex;

	ex->finished = true;
	if (ex->handler && ex->handler->finish)
		ex->handler->finish(ex, client->result > 0);
	/* Keeps the fields for the test to look at. */
	if (client->answer.source)
		client->answer.source->close(client->answer.source_state);
	client->answer.source = NULL;
	exchange_unref(ex);
}

static bool is_freed(void *state)
{
	return ((struct client *)state)->freed;
}

void client_deinit(struct client *client)
{
	node_fixture_run_until(client->fixture, is_freed, client);
	fields_deinit(&client->ex.request);
	answer_deinit(&client->answer);
	buf_deinit(&client->body);
}

const char *client_field(const struct client *client, enum field field)
{
	return fields_get(&client->answer.fields, field, NULL);
}

unsigned client_ask(struct node_fixture *fixture, enum method method, const char *path,
		    const void *body, size_t body_len)
{
	struct client client;
	unsigned status;

	client_begin(&client, fixture, method, path, body, body_len, 0);
	client_wait(&client);
	status = client.status;
	client_finish(&client);
	client_deinit(&client);
	return status;
}
