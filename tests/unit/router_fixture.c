/* SPDX-License-Identifier: MIT */
#include "tests/unit/router_fixture.h"

#include "lib/container_of.h"
#include "lib/http_client.h"
#include "lib/log.h"
#include "lib/reply.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define CHECK(condition)                                                                           \
	do {                                                                                       \
		if (!(condition)) {                                                                \
			fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition);            \
			abort();                                                                   \
		}                                                                                  \
	} while (0)

#define BREAK_AT 500000

/* The nodes */

struct fake_request {
	struct fake_node *node;
	struct buf body;
};

static struct fake_record *find(struct fake_node *node, const char *path)
{
	struct fake_record *free_one = NULL;

	for (unsigned i = 0; i < FIXTURE_RECORDS; i++) {
		if (strcmp(node->records[i].path, path) == 0)
			return &node->records[i];
		if (!free_one && node->records[i].path[0] == '\0')
			free_one = &node->records[i];
	}
	CHECK(free_one);
	snprintf(free_one->path, sizeof(free_one->path), "%s", path);
	return free_one;
}

static void keep_labels(const struct fields *from, struct fields *to)
{
	static const enum field kept[] = { FIELD_CONTENT_TYPE, FIELD_ENCODING, FIELD_MTIME };

	for (unsigned i = 0; i < 3; i++) {
		const char *value = fields_get(from, kept[i], NULL);

		if (value)
			CHECK(fields_setf(to, kept[i], "%s", value) == 0);
	}
}

static bool precondition_holds(const struct exchange *ex, const struct fake_record *record)
{
	const char *match = fields_get(&ex->request, FIELD_IF_MATCH, NULL);
	const char *none = fields_get(&ex->request, FIELD_IF_NONE_MATCH, NULL);
	char etag[40];

	snprintf(etag, sizeof(etag), "\"1-%x\"", record->version);
	if (none && strcmp(none, "*") == 0 && record->version)
		return false;
	return !match || (record->version && strcmp(match, etag) == 0);
}

static void respond(struct exchange *ex, const struct fake_record *record, unsigned status,
		    bool with_value)
{
	struct answer answer = { .status = status };

	if (record->version) {
		CHECK(fields_setf(&answer.fields, FIELD_ETAG, "\"1-%x\"", record->version) == 0);
		CHECK(fields_setf(&answer.fields, FIELD_SIZE, "%zu", record->value.len) == 0);
	}
	if (with_value) {
		keep_labels(&record->fields, &answer.fields);
		CHECK(buf_append(&answer.bytes, record->value.data, record->value.len) == 0);
	}
	exchange_respond(ex, &answer);
}

static void handle_put(struct exchange *ex, struct fake_record *record)
{
	struct fake_request *request = ex->state;
	bool created = record->version == 0;

	atomic_fetch_add(&request->node->puts, 1);
	record->version = ++request->node->next_version;
	buf_deinit(&record->value);
	record->value = buf_take(&request->body);
	fields_deinit(&record->fields);
	keep_labels(&ex->request, &record->fields);
	respond(ex, record, created ? 201 : 204, false);
}

static void handle_delete(struct exchange *ex, struct fake_record *record)
{
	struct fake_node *node = ((struct fake_request *)ex->state)->node;

	atomic_fetch_add(&node->deletes, 1);
	if (!precondition_holds(ex, record)) {
		reply_problem(ex, OUTCOME_PRECONDITION_FAILED, "another version is there");
		return;
	}
	if (!record->version) {
		reply_problem(ex, OUTCOME_NOT_FOUND, "no such record");
		return;
	}
	record->version = 0;
	respond(ex, record, 204, false);
}

static void race(struct fake_node *node, struct fake_record *record)
{
	if (atomic_load(&node->races) == 0)
		return;
	atomic_fetch_sub(&node->races, 1);
	record->version = ++node->next_version;
	CHECK(buf_append_str(&record->value, "+") == 0);
}

static void handle(struct exchange *ex, struct fake_record *record)
{
	struct fake_request *request = ex->state;

	if (ex->method == METHOD_DELETE) {
		race(request->node, record);
		handle_delete(ex, record);
	} else if (!precondition_holds(ex, record)) {
		reply_problem(ex, OUTCOME_PRECONDITION_FAILED, "another version is there");
	} else if (ex->method == METHOD_PUT) {
		handle_put(ex, record);
	} else if (!record->version) {
		reply_problem(ex, OUTCOME_NOT_FOUND, "no such record");
	} else {
		respond(ex, record, 200, true);
	}
}

static ssize_t broken_read(void *state, struct exchange *ex, uint64_t offset, void *data,
			   size_t len)
{
	(void)state;
	(void)ex;
	if (offset >= BREAK_AT)
		return -1;
	len = len < BREAK_AT - offset ? len : (size_t)(BREAK_AT - offset);
	memset(data, 'b', len);
	return (ssize_t)len;
}

static void answer_broken(struct exchange *ex)
{
	static const struct body_source source = { .read = broken_read };
	struct answer answer = { .status = 200, .source = &source, .stream_bytes = 2 * BREAK_AT };

	CHECK(fields_setf(&answer.fields, FIELD_SIZE, "%d", 2 * BREAK_AT) == 0);
	exchange_respond(ex, &answer);
}

static size_t take_body(struct exchange *ex, const void *data, size_t len)
{
	struct fake_request *request = ex->state;

	CHECK(buf_append(&request->body, data, len) == 0);
	return len;
}

static void answer_role(struct exchange *ex, struct fake_node *node)
{
	static const char *const names[] = { "", "leader", "follower", "starting" };
	enum fake_role role = node->role;
	char epoch[16];

	atomic_fetch_add(&node->role_asked, 1);
	snprintf(epoch, sizeof(epoch), "%x", atomic_load(&node->epoch));
	if (role == FAKE_SILENT)
		reply_problem(ex, OUTCOME_NOT_FOUND, "no such path");
	else if (role != FAKE_STUCK)
		reply_json(ex, OUTCOME_OK,
			   json_pack("{s:s, s:s, s:b, s:i}", "role", names[role], "epoch", epoch,
				     "reads", role != FAKE_STARTING, "staleness_ms", 7));
}

/* True if the node has refused it, or is stuck. */
static bool is_refused(struct exchange *ex, struct fake_node *node)
{
	const char *read = fields_get(&ex->request, FIELD_READ, NULL);
	bool any = read && strcmp(read, "any") == 0;

	switch ((enum fake_role)node->role) {
	case FAKE_SILENT:
	case FAKE_LEADER:
		return false;
	case FAKE_STUCK:
		return true;
	case FAKE_STARTING:
		break;
	case FAKE_FOLLOWER:
		if (any && (ex->method == METHOD_GET || ex->method == METHOD_HEAD))
			return false;
	}
	atomic_fetch_add(&node->refused, 1);
	if (node->role == FAKE_STARTING) {
		struct answer answer = { .status = 503 };

		CHECK(fields_setf(&answer.fields, FIELD_LEADER, "unknown") == 0);
		exchange_respond(ex, &answer);
	} else {
		reply_problem(ex, OUTCOME_MISDIRECTED, "another leads");
	}
	return true;
}

static void body_is_whole(struct exchange *ex)
{
	struct fake_request *request = ex->state;

	if (strcmp(ex->path, "/role") == 0) {
		answer_role(ex, request->node);
		return;
	}
	if (is_refused(ex, request->node))
		return;
	if (ex->method == METHOD_GET)
		atomic_fetch_add(&request->node->reads, 1);
	if (strcmp(ex->path, "/kv/ee04") == 0)
		return;
	if (strcmp(ex->path, "/kv/ee15") == 0)
		reply_problem(ex, OUTCOME_MISDIRECTED, "not here");
	else if (strcmp(ex->path, "/kv/ee01") == 0)
		reply_problem(ex, OUTCOME_UNAUTHENTICATED, "who are you");
	else if (strcmp(ex->path, "/kv/ee02") == 0)
		answer_broken(ex);
	else
		handle(ex, find(request->node, ex->path));
}

static void request_finished(struct exchange *ex, bool answered)
{
	struct fake_request *request = ex->state;

	(void)answered;
	buf_deinit(&request->body);
	free(request);
}

static const struct exchange_handler node_handler = { take_body, body_is_whole, request_finished };

static void node_begin(struct exchange *ex, void *state)
{
	struct fake_request *request = calloc(1, sizeof(*request));

	CHECK(request);
	request->node = state;
	ex->state = request;
	ex->handler = &node_handler;
	if (strcmp(ex->path, "/role") == 0)
		return;
	fields_deinit(&request->node->seen);
	CHECK(fields_copy(&ex->request, &request->node->seen) == 0);
}

/* All of it */

static int listen_anywhere(uint16_t *ret_port)
{
	struct sockaddr_in address = { .sin_family = AF_INET,
				       .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof(address);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);

	CHECK(fd >= 0);
	CHECK(bind(fd, (struct sockaddr *)&address, sizeof(address)) == 0);
	CHECK(listen(fd, 128) == 0);
	CHECK(getsockname(fd, (struct sockaddr *)&address, &len) == 0);
	*ret_port = ntohs(address.sin_port);
	return fd;
}

static const struct http_server_options server_options = {
	.connection_limit = 100,
	.idle_timeout_ms = 30000,
	.head_timeout_ms = 10000,
	.offer_mux = true,
};

static const struct http_server_options router_options = {
	.connection_limit = 100,
	.idle_timeout_ms = 30000,
	.head_timeout_ms = 10000,
	.offer_mux = true,
	.mux_of_clients = true,
};

static void router_begin(struct exchange *ex, void *state)
{
	router_service.begin(ex, state);
}

static void stop(struct loop_task *task)
{
	struct fixture *fixture = container_of(task, struct fixture, stop);

	http_server_free(fixture->http);
	router_service.stop(&fixture->worker);
	for (unsigned i = 0; i < 2; i++)
		http_server_free(fixture->nodes[i].http);
	loop_stop(fixture->loop);
}

static void *thread(void *arg)
{
	struct fixture *fixture = arg;

	CHECK(loop_run(fixture->loop) == 0);
	return NULL;
}

static void start_nodes(struct fixture *fixture, bool one_shard)
{
	uint16_t ports[2];
	char text[1024], *why = NULL;

	for (unsigned i = 0; i < 2; i++) {
		struct fake_node *node = &fixture->nodes[i];
		struct http_service service = { .begin = node_begin, .state = node };

		node->fixture = fixture;
		node->fd = listen_anywhere(&ports[i]);
		CHECK(http_server_new(fixture->loop, node->fd, &service, &server_options,
				      &node->http) == 0);
	}
	if (one_shard)
		snprintf(text, sizeof(text),
			 "{\"cluster\":\"t\",\"shards\":["
			 "{\"name\":\"s0\",\"slots\":[[0,4095]],\"leader\":\"a\",\"nodes\":["
			 "{\"name\":\"a\",\"url\":\"http://127.0.0.1:%u\"},"
			 "{\"name\":\"b\",\"url\":\"http://127.0.0.1:%u\"}]}]}",
			 ports[0], ports[1]);
	else
		snprintf(text, sizeof(text),
			 "{\"cluster\":\"t\",\"shards\":["
			 "{\"name\":\"s0\",\"slots\":[[0,2047]],\"leader\":\"a\",\"nodes\":"
			 "[{\"name\":\"a\",\"url\":\"http://127.0.0.1:%u\"}]},"
			 "{\"name\":\"s1\",\"slots\":[[2048,4095]],\"leader\":\"b\",\"nodes\":"
			 "[{\"name\":\"b\",\"url\":\"http://127.0.0.1:%u\"}]}]}",
			 ports[0], ports[1]);
	CHECK(cluster_parse(text, strlen(text), &fixture->router.cluster, &why) == 0);
}

static void start(struct fixture *fixture, bool one_shard)
{
	struct http_service service = { .begin = router_begin, .state = &fixture->worker };
	struct http_sync_options client = { .connections_max = 4, .connect_timeout_ms = 5000 };
	uint16_t port;
	char url[64];

	signal(SIGPIPE, SIG_IGN);
	log_init("test", LOG_LEVEL_ERROR);
	CHECK(http_client_global_init() == 0);
	*fixture = (struct fixture){ .stop.run = stop };
	if (one_shard) {
		fixture->nodes[0].role = FAKE_LEADER;
		fixture->nodes[0].epoch = 1;
		fixture->nodes[1].role = FAKE_FOLLOWER;
		fixture->nodes[1].epoch = 1;
	}
	CHECK(loop_new(&fixture->loop) == 0);
	start_nodes(fixture, one_shard);
	fixture->router.node_count = 2;
	fixture->router.node_timeout_ms = one_shard ? 3000 : 1000;
	fixture->router.listing = true;
	fixture->router.json.limit = ROUTER_JSON_TOTAL_MAX;
	fixture->router.leaders = leaders_new(fixture->router.cluster);
	CHECK(fixture->router.leaders);
	CHECK(counters_init(&fixture->router.counters, 2) == 0);
	fixture->worker.loop = fixture->loop;
	CHECK(router_service.start(&fixture->worker, &fixture->router) == 0);
	fixture->fd = listen_anywhere(&port);
	CHECK(http_server_new(fixture->loop, fixture->fd, &service, &router_options,
			      &fixture->http) == 0);
	snprintf(url, sizeof(url), "http://127.0.0.1:%u", port);
	client.base = url;
	CHECK(http_sync_new(&client, &fixture->client) == 0);
	CHECK(pthread_create(&fixture->thread, NULL, thread, fixture) == 0);
}

void fixture_start(struct fixture *fixture)
{
	start(fixture, false);
}

void fixture_start_shard(struct fixture *fixture)
{
	start(fixture, true);
}

void fixture_stop(struct fixture *fixture)
{
	http_sync_free(fixture->client);
	loop_post(fixture->loop, &fixture->stop);
	CHECK(pthread_join(fixture->thread, NULL) == 0);
	loop_free(fixture->loop);
	close(fixture->fd);
	for (unsigned i = 0; i < 2; i++) {
		struct fake_node *node = &fixture->nodes[i];

		close(node->fd);
		fields_deinit(&node->seen);
		for (unsigned r = 0; r < FIXTURE_RECORDS; r++) {
			buf_deinit(&node->records[r].value);
			fields_deinit(&node->records[r].fields);
		}
	}
	counters_deinit(&fixture->router.counters);
	leaders_free(fixture->router.leaders);
	cluster_free(fixture->router.cluster);
}

/* Asking */

struct asking {
	const char *body;
	size_t len;
	struct buf answer;
};

static ssize_t give_body(void *state, uint64_t offset, void *data, size_t len)
{
	const struct asking *asking = state;

	if (len > asking->len - offset)
		len = asking->len - (size_t)offset;
	memcpy(data, asking->body + offset, len);
	return (ssize_t)len;
}

static int keep_answer(void *state, const void *data, size_t len)
{
	struct asking *asking = state;

	return buf_append(&asking->answer, data, len);
}

struct fixture_answer fixture_ask(struct fixture *fixture, enum method method, const char *target,
				  struct fields *fields, const void *body, size_t len)
{
	struct asking asking = { .body = body, .len = len };
	struct http_sync_request request = {
		.method = method,
		.target = target,
		.has_body = body != NULL,
		.upload_len = len,
		.upload = give_body,
		.body = keep_answer,
		.state = &asking,
		.small = fixture->frames,
		.timeout_ms = 20000,
	};
	struct http_sync_answer answer = { 0 };
	struct fixture_answer result = { 0 };

	if (fields)
		request.fields = fields_take(fields);
	result.result = http_sync_perform(fixture->client, &request, &answer);
	result.status = answer.status;
	result.fields = fields_take(&answer.fields);
	result.body = asking.answer;
	if (answer.problem.len)
		CHECK(buf_append(&result.body, answer.problem.data, answer.problem.len) == 0);
	CHECK(buf_append_u8(&result.body, 0) == 0);
	result.body.len--;
	http_sync_answer_deinit(&answer);
	fields_deinit(&request.fields);
	return result;
}

void fixture_answer_deinit(struct fixture_answer *answer)
{
	fields_deinit(&answer->fields);
	buf_deinit(&answer->body);
}

unsigned fixture_shard(const struct fixture *fixture, const char *hex)
{
	struct key key;

	CHECK(key_from_hex(hex, strlen(hex), &key) == 0);
	return cluster_shard_of(fixture->router.cluster, key.bytes, key.len);
}

void fixture_key(const struct fixture *fixture, unsigned shard, const char *prefix,
		 char ret_hex[16])
{
	for (unsigned i = 0; i < 256; i++) {
		snprintf(ret_hex, 16, "%s%02x", prefix, i);
		if (fixture_shard(fixture, ret_hex) == shard)
			return;
	}
	CHECK(!"no key found");
}
