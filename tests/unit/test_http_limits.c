/* SPDX-License-Identifier: MIT */
/* What a server does not take: heads that others may read otherwise, too many connections, what
 * drips, and requests whose time is over. */
#include "tests/unit/net_fixture.h"

#include "lib/address_counts.h"
#include "lib/clock.h"
#include "lib/frame.h"
#include "lib/log.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#define GET_HELLO   "GET /hello HTTP/1.1\r\nHost: x\r\n\r\n"
#define PATIENCE_MS 20000

/* The first status of what comes back for these bytes; 0: none. */
static unsigned ask(const struct net_server *server, const char *bytes, size_t len)
{
	struct net_client client = { .fd = net_connect(server) };
	struct net_response response;
	unsigned status = 0;

	net_send(client.fd, bytes, len);
	if (net_receive(&client, false, &response)) {
		status = response.status;
		net_response_deinit(&response);
	}
	net_client_deinit(&client);
	return status;
}

#define ASK(server, text) ask(server, text, sizeof(text) - 1)

/* A later libmicrohttpd refuses some by itself, and may close without a word. */
static void refuse(const struct net_server *server, const char *bytes, size_t len)
{
	unsigned status = ask(server, bytes, len);

	if (status != 400 && (status != 0 || !http_server_parser_is_strict()))
		fail_msg("%u for %s", status, bytes);
}

#define REFUSE(server, text) refuse(server, text, sizeof(text) - 1)

static void a_nul_in_a_head_is_refused(void **state)
{
	struct net_server server;

	(void)state;
	net_server_start(&server, NULL, 0);
	assert_int_equal(ASK(&server, GET_HELLO), 200);
	assert_int_equal(ASK(&server, "GET /hello HTTP/1.0\r\n\r\n"), 200);
	assert_int_equal(ASK(&server, "GET /hello HTTP/1.1\r\nHost: x\r\nEmpty:\r\nA: b \r\n\r\n"),
			 200);
	REFUSE(&server, "GET /hello HTTP/1.1\r\nHost: x\0y\r\n\r\n");
	REFUSE(&server, "GET /hello HTTP/1.1\r\nHost: x\r\nA: \0b\r\nC: d\r\n\r\n");
	REFUSE(&server, "GET /hello HTTP/1.1\r\nHost: x\r\nA: b\0\r\nC: d\r\n\r\n");
	REFUSE(&server, "GET /hello HTTP/1.1\r\nHost: x\r\nA: b\0c\r\n\r\n");
	REFUSE(&server, "PUT /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 1\0"
			"0\r\n\r\nabcdefghij");
	REFUSE(&server, "GET /hello HTTP/1.1\0\r\nHost: x\r\n\r\n");
	REFUSE(&server, "GET /hello HTTP/1.1\r\nHost: x\r\n\0\r\n\r\n");
	REFUSE(&server, "GET /hello HTTP/1.1\r\nHost: x\r\nA: b\0\r\n\r\n");
	REFUSE(&server, "GET /hello HTTP/1.1\r\nHost: x\r\nA: b\r\n\n");
	REFUSE(&server, "GET /hello HTTP/1.1\r\nHost: x\r\nA: b\rc\r\n\r\n");
	assert_int_equal(ASK(&server, "\r\nGET /hello HTTP/1.1\r\nHost: x\r\nA:  b\tc  \r\n\r\n"),
			 200);
	net_server_stop(&server);
}

static void a_nul_in_a_request_line_is_refused(void **state)
{
	struct net_server server;

	(void)state;
	net_server_start(&server, NULL, 0);
	REFUSE(&server, "GET /hello\0 HTTP/1.1\r\nHost: x\r\n\r\n");
	REFUSE(&server, "GET /hello\0/more HTTP/1.1\r\nHost: x\r\n\r\n");
	REFUSE(&server, "GET \0/hello HTTP/1.1\r\nHost: x\r\n\r\n");
	REFUSE(&server, "GET\0 /hello HTTP/1.1\r\nHost: x\r\n\r\n");
	REFUSE(&server, "GET\0/never /hello HTTP/1.1\r\nHost: x\r\n\r\n");
	REFUSE(&server, "\0GET /hello HTTP/1.1\r\nHost: x\r\n\r\n");
	REFUSE(&server, "GET /hello?a=b\0 HTTP/1.1\r\nHost: x\r\n\r\n");
	REFUSE(&server, "GET /hello?\0a=b&c=d HTTP/1.1\r\nHost: x\r\n\r\n");
	REFUSE(&server, "GET /hello?a=b&c=\0d HTTP/1.0\r\n\r\n");
	REFUSE(&server, "GET /hello\0?a=b HTTP/1.1\r\nHost: x\r\n\r\n");
	REFUSE(&server, "GET /hello \0HTTP/1.1\r\nHost: x\r\n\r\n");
	assert_int_equal(ASK(&server, "GET /hello?a=b&c=%64&e HTTP/1.1\r\nHost: x\r\n\r\n"), 200);
	assert_int_equal(ASK(&server, "GET /hello? HTTP/1.1\r\nHost: x\r\n\r\n"), 200);
	assert_int_equal(ASK(&server, "GET http://x/hello HTTP/1.1\r\nHost: x\r\n\r\n"), 200);
	net_server_stop(&server);
}

/* The next server may take another word of the line for the target. */
static void a_request_line_with_spaces_to_spare_is_refused(void **state)
{
	struct net_server server;

	(void)state;
	net_server_start(&server, NULL, 0);
	REFUSE(&server, "GET  /hello HTTP/1.1\r\nHost: x\r\n\r\n");
	assert_int_equal(ASK(&server, "GET /hello  HTTP/1.1\r\nHost: x\r\n\r\n") % 400, 0);
	assert_int_equal(ASK(&server, "GET /hello /a HTTP/1.1\r\nHost: x\r\n\r\n") % 400, 0);
	net_server_stop(&server);
}

static void lines_that_end_or_go_on_otherwise_are_refused(void **state)
{
	struct net_server server;

	(void)state;
	net_server_start(&server, NULL, 0);
	REFUSE(&server, "GET /hello HTTP/1.1\nHost: x\r\n\r\n");
	REFUSE(&server, "GET /hello HTTP/1.1\r\nHost: x\nA: b\r\n\r\n");
	REFUSE(&server, "PUT /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 3\n\nabc");
	REFUSE(&server, "GET /hello HTTP/1.1\r\nHost: x\r\nA: b\r\n c\r\n\r\n");
	REFUSE(&server, "GET /hello HTTP/1.1\r\nHost: x\r\n y\r\n\r\n");
	REFUSE(&server, "PUT /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
			"1\r\na\r\n0\r\nHexKV-Encoding: a\0b\r\n\r\n");
	assert_int_equal(ASK(&server,
			     "PUT /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
			     "1\r\na\r\n0\r\nHexKV-Encoding: a\r\nX: y\r\n\r\n"),
			 200);
	net_server_stop(&server);
}

static unsigned ask_again(struct net_client *client)
{
	struct net_response response;
	unsigned status = 0;

	net_send_text(client->fd, GET_HELLO);
	if (net_receive(client, false, &response)) {
		status = response.status;
		net_response_deinit(&response);
	}
	return status;
}

/* Sends a request whose answer never comes. */
static struct net_client begin_never(const struct net_server *server)
{
	struct net_client client = { .fd = net_connect(server) };

	net_send_text(client.fd, "GET /never HTTP/1.1\r\nHost: x\r\n\r\n");
	return client;
}

static void more_busy_connections_than_the_limit_are_503(void **state)
{
	struct http_server_options options = { .connection_limit = 10,
					       .idle_timeout_ms = 30000,
					       .head_timeout_ms = 4000 };
	struct linger reset = { .l_onoff = 1 };
	struct net_client clients[10];
	struct net_response response;
	struct net_server server;
	uint64_t deadline = clock_monotonic_ms() + PATIENCE_MS;

	(void)state;
	net_server_start(&server, &options, 0);
	for (int i = 0; i < 10; i++)
		clients[i] = begin_never(&server);
	assert_true(net_wait_for(&server.begun, 10));
	assert_int_equal(net_ask(&server, GET_HELLO, &response), 503);
	assert_non_null(strstr(response.head, "Retry-After: "));
	assert_non_null(strstr(response.head, "Connection: close"));
	net_response_deinit(&response);
	/* Room again as soon as one has gone. */
	setsockopt(clients[0].fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
	net_client_deinit(&clients[0]);
	while (ASK(&server, GET_HELLO) != 200)
		assert_true(clock_monotonic_ms() < deadline);
	for (int i = 1; i < 10; i++)
		net_client_deinit(&clients[i]);
	net_server_stop(&server);
}

/* Those who say nothing on a connection too many do not keep others from being told. */
static void connections_too_many_that_say_nothing_are_cut_off(void **state)
{
	struct http_server_options options = { .connection_limit = 10,
					       .idle_timeout_ms = 30000,
					       .head_timeout_ms = 4000 };
	struct net_client clients[10];
	struct net_client silent[30];
	struct net_server server;
	struct pollfd poll_fd = { .events = POLLIN };
	char byte;

	(void)state;
	net_server_start(&server, &options, 0);
	for (int i = 0; i < 10; i++)
		clients[i] = begin_never(&server);
	assert_true(net_wait_for(&server.begun, 10));
	for (int i = 0; i < 30; i++)
		silent[i] = (struct net_client){ .fd = net_connect(&server) };
	assert_int_equal(ASK(&server, GET_HELLO), 503);
	for (int i = 0; i < 30; i++) {
		poll_fd.fd = silent[i].fd;
		assert_int_equal(poll(&poll_fd, 1, PATIENCE_MS), 1);
		assert_true(recv(silent[i].fd, &byte, 1, 0) <= 0);
		net_client_deinit(&silent[i]);
	}
	for (int i = 0; i < 10; i++)
		net_client_deinit(&clients[i]);
	net_server_stop(&server);
}

static void more_connections_of_one_address_are_429(void **state)
{
	struct http_server_options options = { .connection_limit = 10,
					       .address_limit = 3,
					       .idle_timeout_ms = 30000,
					       .head_timeout_ms = 4000 };
	struct net_client clients[3];
	struct net_response response;
	struct net_server server;
	uint64_t deadline = clock_monotonic_ms() + PATIENCE_MS;

	(void)state;
	net_server_start(&server, &options, 0);
	for (int i = 0; i < 3; i++) {
		clients[i] = (struct net_client){ .fd = net_connect(&server) };
		assert_int_equal(ask_again(&clients[i]), 200);
	}
	assert_int_equal(net_ask(&server, GET_HELLO, &response), 429);
	assert_non_null(strstr(response.head, "Retry-After: "));
	net_response_deinit(&response);
	for (int i = 0; i < 3; i++)
		assert_int_equal(ask_again(&clients[i]), 200);
	net_client_deinit(&clients[1]);
	while (ASK(&server, GET_HELLO) != 200)
		assert_true(clock_monotonic_ms() < deadline);
	net_client_deinit(&clients[0]);
	net_client_deinit(&clients[2]);
	net_server_stop(&server);
}

static struct address_count *add(struct address_counts *counts, const char *text)
{
	struct sockaddr_in6 six = { .sin6_family = AF_INET6 };
	struct sockaddr_in four = { .sin_family = AF_INET };

	if (inet_pton(AF_INET, text, &four.sin_addr) == 1)
		return address_counts_add(counts, (struct sockaddr *)&four);
	assert_int_equal(inet_pton(AF_INET6, text, &six.sin6_addr), 1);
	return address_counts_add(counts, (struct sockaddr *)&six);
}

static void addresses_count_by_machine_or_network(void **state)
{
	struct address_counts *counts = address_counts_new();
	struct address_count *four = add(counts, "10.0.0.1"), *six = add(counts, "2001:db8::1");
	struct sockaddr local = { .sa_family = AF_UNIX };
	struct address_count *other;

	(void)state;
	assert_ptr_equal(add(counts, "::ffff:10.0.0.1"), four);
	assert_ptr_equal(add(counts, "2001:db8::ffff:1:2"), six);
	assert_int_equal(address_count_get(four), 2);
	assert_int_equal(address_count_get(six), 2);
	other = add(counts, "10.0.0.2");
	assert_int_equal(address_count_get(other), 1);
	address_count_remove(other);
	other = add(counts, "2001:db8:0:1::1");
	assert_ptr_not_equal(other, six);
	address_count_remove(other);
	address_count_remove(four);
	assert_int_equal(address_count_get(four), 1);
	address_count_remove(four);
	address_count_remove(six);
	address_count_remove(six);
	assert_null(address_counts_add(counts, &local));
	address_count_remove(NULL);
	address_counts_free(counts);
}

static void a_body_that_drips_is_cut_off(void **state)
{
	struct http_server_options options = { .connection_limit = 10,
					       .idle_timeout_ms = 30000,
					       .head_timeout_ms = 4000,
					       .body_timeout_ms = 200 };
	uint64_t deadline = clock_monotonic_ms() + PATIENCE_MS;
	struct net_server server;
	char byte;
	ssize_t n;
	int fd;

	(void)state;
	net_server_start(&server, &options, 0);
	fd = net_connect(&server);
	net_send_text(fd, "PUT /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\n");
	do {
		(void)!send(fd, "x", 1, MSG_NOSIGNAL);
		poll(NULL, 0, 5);
		n = recv(fd, &byte, 1, MSG_DONTWAIT);
		assert_true(clock_monotonic_ms() < deadline);
	} while (n < 0 && errno == EAGAIN);
	assert_true(net_wait_for(&server.lost, 1));
	close(fd);
	net_server_stop(&server);
}

/* Sends @piece bytes of a body every @pause_ms. Whether the server cut it off before @most bytes.
 */
static bool drip(const struct net_server *server, const char *head, size_t piece, int pause_ms,
		 size_t most)
{
	uint64_t deadline = clock_monotonic_ms() + PATIENCE_MS;
	char *data = calloc(1, piece);
	int fd = net_connect(server);
	size_t sent = 0;
	bool cut = false;
	char byte;

	assert_non_null(data);
	net_send_text(fd, head);
	while (!cut && sent < most) {
		ssize_t n = send(fd, data, piece, MSG_NOSIGNAL);

		sent += n > 0 ? (size_t)n : 0;
		cut = n < 0;
		poll(NULL, 0, pause_ms);
		n = recv(fd, &byte, 1, MSG_DONTWAIT);
		cut = cut || n == 0 || (n < 0 && errno != EAGAIN);
		assert_true(clock_monotonic_ms() < deadline);
	}
	close(fd);
	free(data);
	return cut;
}

#define PUT_OF(header) "PUT /slow-body HTTP/1.1\r\nHost: x\r\n" header "\r\n\r\n"

static void a_body_below_the_rate_is_cut_off(void **state)
{
	struct http_server_options options = { .connection_limit = 10,
					       .idle_timeout_ms = 30000,
					       .head_timeout_ms = 4000,
					       .body_timeout_ms = 400,
					       .body_rate = 100 * 1024 * 1024 };
	struct net_server server;

	(void)state;
	net_server_start(&server, &options, 0);
	assert_true(drip(&server, PUT_OF("Content-Length: 1000000000"), 8192, 10, 1000000000));
	assert_true(net_wait_for(&server.lost, 1));
	/* One chunk that never ends. */
	assert_true(drip(&server, PUT_OF("Transfer-Encoding: chunked") "7fffffff\r\n", 8192, 10,
			 1000000000));
	assert_true(net_wait_for(&server.lost, 2));
	net_server_stop(&server);
}

static void a_body_above_the_rate_is_taken(void **state)
{
	struct http_server_options options = { .connection_limit = 10,
					       .idle_timeout_ms = 30000,
					       .head_timeout_ms = 4000,
					       .body_timeout_ms = 1000,
					       .body_rate = 500 };
	struct net_server server;

	(void)state;
	net_server_start(&server, &options, 0);
	assert_false(drip(&server, PUT_OF("Content-Length: 320000"), 16000, 100, 320000));
	net_server_stop(&server);
}

/* Until the server has lost as many. */
static void read_a_byte_now_and_then(struct net_server *server, int fd, unsigned lost)
{
	uint64_t deadline = clock_monotonic_ms() + PATIENCE_MS;
	char byte;

	while (atomic_load(&server->lost) < lost) {
		(void)!recv(fd, &byte, 1, MSG_DONTWAIT);
		poll(NULL, 0, 5);
		assert_true(clock_monotonic_ms() < deadline);
	}
}

static void an_answer_in_one_piece_that_drips_is_cut_off(void **state)
{
	struct http_server_options options = { .connection_limit = 10,
					       .idle_timeout_ms = 30000,
					       .head_timeout_ms = 4000,
					       .body_timeout_ms = 40 };
	struct net_server server;
	int small = 4096;
	int fd;

	(void)state;
	net_server_start(&server, &options, 0);
	fd = net_connect(&server);
	setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof(small));
	net_send_text(fd, "GET /whole?size=33554432 HTTP/1.1\r\nHost: x\r\n\r\n");
	read_a_byte_now_and_then(&server, fd, 1);
	assert_int_equal(atomic_load(&server.answered), 0);
	close(fd);
	net_server_stop(&server);
}

static void a_client_that_hardly_reads_its_answer_is_cut_off(void **state)
{
	struct http_server_options options = { .connection_limit = 10,
					       .idle_timeout_ms = 30000,
					       .head_timeout_ms = 4000,
					       .body_timeout_ms = 40 };
	struct net_server server;
	int one = 4096;
	int fd;

	(void)state;
	net_server_start(&server, &options, 0);
	fd = net_connect(&server);
	setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &one, sizeof(one));
	net_send_text(fd, "GET /stream?size=100000000 HTTP/1.1\r\nHost: x\r\n\r\n");
	read_a_byte_now_and_then(&server, fd, 1);
	close(fd);
	net_server_stop(&server);
}

/* Frames */

static struct net_client upgrade(const struct net_server *server)
{
	struct net_client client = { .fd = net_connect(server) };
	struct net_response response;

	net_send_text(client.fd, "GET /mux HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\n"
				 "Upgrade: hexkv-mux/1\r\n\r\n");
	assert_true(net_receive(&client, true, &response));
	assert_int_equal(response.status, 101);
	net_response_deinit(&response);
	return client;
}

static void send_request(const struct net_client *client, enum method method, const char *target,
			 uint32_t id, uint32_t deadline_ms)
{
	struct frame frame = { .type = FRAME_REQUEST,
			       .method = method,
			       .id = id,
			       .target = target,
			       .target_len = strlen(target),
			       .deadline_ms = deadline_ms };
	struct buf bytes = { 0 };

	assert_int_equal(frame_encode(&frame, &bytes), 0);
	net_send(client->fd, bytes.data, bytes.len);
	buf_deinit(&bytes);
}

/* The next frame's; the body is left in client->in until the next call. */
static unsigned next_status(struct net_client *client, uint32_t *ret_id, struct buf *ret_body)
{
	struct frame frame = { 0 };
	unsigned status;
	size_t used;

	while (frame_decode(client->in.data, client->in.len, &frame, &used) == 0) {
		ssize_t n;

		assert_int_equal(buf_reserve(&client->in, 65536), 0);
		n = recv(client->fd, client->in.data + client->in.len, 65536, 0);
		assert_true(n > 0);
		client->in.len += (size_t)n;
	}
	assert_int_equal(frame.type, FRAME_RESPONSE);
	*ret_id = frame.id;
	status = frame.status;
	buf_clear(ret_body);
	assert_int_equal(buf_append(ret_body, frame.body, frame.body_len), 0);
	assert_int_equal(buf_append_u8(ret_body, 0), 0);
	frame_deinit(&frame);
	buf_consume(&client->in, used);
	return status;
}

static void a_frame_whose_time_is_over_is_504_and_cancelled(void **state)
{
	struct http_server_options options = { .connection_limit = 10,
					       .idle_timeout_ms = 30000,
					       .head_timeout_ms = 4000,
					       .offer_mux = true };
	struct buf body = { 0 };
	struct net_server server;
	struct net_client client;
	uint32_t id;

	(void)state;
	net_server_start(&server, &options, 0);
	client = upgrade(&server);
	send_request(&client, METHOD_GET, "/never", 1, 60000);
	send_request(&client, METHOD_PUT, "/never", 2, 30);
	send_request(&client, METHOD_GET, "/never", 3, 60);
	send_request(&client, METHOD_GET, "/later", 4, 0);
	assert_int_equal(next_status(&client, &id, &body), 200);
	assert_int_equal(id, 4);
	assert_int_equal(next_status(&client, &id, &body), 504);
	assert_int_equal(id, 2);
	assert_non_null(strstr((char *)body.data, "\"outcome\":\"unknown\""));
	assert_int_equal(next_status(&client, &id, &body), 504);
	assert_int_equal(id, 3);
	assert_non_null(strstr((char *)body.data, "\"outcome\":\"not-applied\""));
	assert_true(net_wait_for(&server.lost, 2));
	send_request(&client, METHOD_GET, "/hello", 5, 1000);
	assert_int_equal(next_status(&client, &id, &body), 200);
	buf_deinit(&body);
	net_client_deinit(&client);
	net_server_stop(&server);
}

static void a_client_that_hardly_reads_its_frames_is_cut_off(void **state)
{
	struct http_server_options options = { .connection_limit = 10,
					       .idle_timeout_ms = 30000,
					       .head_timeout_ms = 4000,
					       .body_timeout_ms = 40,
					       .offer_mux = true,
					       .mux_of_clients = true };
	struct frame frame = { .type = FRAME_REQUEST, .method = METHOD_GET };
	struct buf bytes = { 0 };
	struct net_server server;
	struct net_client client;
	int small = 4096;

	(void)state;
	net_server_start(&server, &options, 0);
	client = upgrade(&server);
	setsockopt(client.fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof(small));
	/* The first one shows that the connection has ended. */
	for (frame.id = 1; frame.id <= 200; frame.id++) {
		frame.target = frame.id == 1 ? "/never" : "/whole?size=200000";
		frame.target_len = strlen(frame.target);
		assert_int_equal(frame_encode(&frame, &bytes), 0);
	}
	net_send(client.fd, bytes.data, bytes.len);
	read_a_byte_now_and_then(&server, client.fd, 1);
	buf_deinit(&bytes);
	net_client_deinit(&client);
	net_server_stop(&server);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_nul_in_a_head_is_refused),
		cmocka_unit_test(a_nul_in_a_request_line_is_refused),
		cmocka_unit_test(a_request_line_with_spaces_to_spare_is_refused),
		cmocka_unit_test(lines_that_end_or_go_on_otherwise_are_refused),
		cmocka_unit_test(more_busy_connections_than_the_limit_are_503),
		cmocka_unit_test(connections_too_many_that_say_nothing_are_cut_off),
		cmocka_unit_test(more_connections_of_one_address_are_429),
		cmocka_unit_test(addresses_count_by_machine_or_network),
		cmocka_unit_test(a_body_that_drips_is_cut_off),
		cmocka_unit_test(a_body_below_the_rate_is_cut_off),
		cmocka_unit_test(a_body_above_the_rate_is_taken),
		cmocka_unit_test(a_client_that_hardly_reads_its_answer_is_cut_off),
		cmocka_unit_test(an_answer_in_one_piece_that_drips_is_cut_off),
		cmocka_unit_test(a_client_that_hardly_reads_its_frames_is_cut_off),
		cmocka_unit_test(a_frame_whose_time_is_over_is_504_and_cancelled),
	};

	log_init("test", LOG_LEVEL_ERROR);
	return cmocka_run_group_tests_name("http_limits", tests, NULL, NULL);
}
