/* SPDX-License-Identifier: MIT */
/*
 * A router that misbehaves in one way and is right in all others, for the mount to be tried on.
 *
 * usage: hostile_router MISBEHAVIOUR
 *        hostile_router --list
 *
 * Listens on a free port of the loopback, which it prints, and ends on SIGTERM. It has two records:
 * "aa", of 12 bytes, and "bb", of 3000000; byte i of both is the letter 'a' + i % 26. What is
 * written is accepted and forgotten.
 */
#include <arpa/inet.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#define SMALL_BYTES      12
#define LARGE_BYTES      3000000
#define HEAD_BYTES_MAX   8192
#define FRAME_HEADER     24
#define FRAME_BYTES_MAX  (400 * 1024)
#define CONNECTIONS_MAX  256
#define LIFE_S           60 /* of a connection */
#define TRICKLE_PAUSE_MS 100
#define DIGITS_50        "01234567890123456789012345678901234567890123456789"

enum quirk {
	RIGHT,
	BODY_SHORT,
	BODY_LONG,
	BODY_ENDLESS,
	BODY_TRICKLE,
	RANGE_WHOLE, /* 200 and everything, whatever was asked for */
	RANGE_SHIFTED, /* 206, of another place, as it says */
	VERSION_OTHER, /* in all ranges but the first; conditions are not looked at */
	NOT_MODIFIED, /* though there was no condition */
};

struct misbehaviour {
	const char *name;
	void (*connection)(int fd); /* NULL: HTTP is spoken */
	void (*frames)(int fd); /* NULL: none are spoken */
	enum quirk quirk; /* of values */
	const char *etag; /* "": left out; NULL: right. So are the next */
	const char *size;
	const char *listing;
	const char *status;
};

struct request {
	char method[8];
	char target[1024];
	uint64_t upload_bytes;
	bool has_range;
	uint64_t first, last;
};

static const struct misbehaviour *how;
static atomic_uint connections;

/* Bytes */

static bool send_all(int fd, const void *data, size_t len)
{
	const char *at = data;

	while (len > 0) {
		ssize_t n = send(fd, at, len, MSG_NOSIGNAL);

		if (n <= 0)
			return false;
		at += n;
		len -= (size_t)n;
	}
	return true;
}

static bool send_text(int fd, const char *text)
{
	return send_all(fd, text, strlen(text));
}

static bool receive_all(int fd, void *data, size_t len)
{
	char *at = data;

	while (len > 0) {
		ssize_t n = recv(fd, at, len, 0);

		if (n <= 0)
			return false;
		at += n;
		len -= (size_t)n;
	}
	return true;
}

static time_t now_s(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec;
}

/* @data again and again, for as long as the other side takes it. */
static void send_endlessly(int fd, const void *data, size_t len, int pause_ms)
{
	time_t end = now_s() + LIFE_S;

	while (now_s() < end && send_all(fd, data, len))
		if (pause_ms > 0)
			poll(NULL, 0, pause_ms);
}

/* Connections */

static void garbage(int fd)
{
	uint8_t bytes[4096];

	for (size_t i = 0; i < sizeof(bytes); i++)
		bytes[i] = (uint8_t)(i * 167 + 13 + i / 256);
	send_all(fd, bytes, sizeof(bytes));
}

static void hang_up(int fd)
{
	(void)fd;
}

static void say_nothing(int fd)
{
	char byte;

	while (recv(fd, &byte, 1, 0) > 0)
		;
}

static void head_without_end(int fd)
{
	static const char line[] = "X-Filler: " DIGITS_50 DIGITS_50 DIGITS_50 DIGITS_50 "\r\n";

	send_text(fd, "HTTP/1.1 200 OK\r\n");
	send_endlessly(fd, line, strlen(line), 0);
}

static void line_without_end(int fd)
{
	send_text(fd, "HTTP/1.1 200 OK\r\nX-Filler: ");
	send_endlessly(fd, DIGITS_50, strlen(DIGITS_50), 0);
}

static void head_in_drops(int fd)
{
	send_text(fd, "HTTP/1.1 200 OK\r\n");
	send_endlessly(fd, "X: y\r\n", 6, TRICKLE_PAUSE_MS);
}

static void go_on_for_ever(int fd)
{
	static const char line[] = "HTTP/1.1 100 Continue\r\n\r\n";

	send_endlessly(fd, line, strlen(line), TRICKLE_PAUSE_MS);
}

/* Frames */

static void put_u32(uint8_t *at, uint32_t number)
{
	for (int i = 0; i < 4; i++)
		at[i] = (uint8_t)(number >> 8 * i);
}

static uint32_t get_u32(const uint8_t *at)
{
	return at[0] | (uint32_t)at[1] << 8 | (uint32_t)at[2] << 16 | (uint32_t)at[3] << 24;
}

/* The id of the next request. */
static bool receive_frame(int fd, uint32_t *ret_id)
{
	static _Thread_local uint8_t frame[FRAME_BYTES_MAX];
	uint32_t len;

	if (!receive_all(fd, frame, 4))
		return false;
	len = get_u32(frame);
	if (len < FRAME_HEADER - 4 || len > sizeof(frame) - 4 || !receive_all(fd, frame + 4, len))
		return false;
	*ret_id = get_u32(frame + 8);
	return true;
}

enum { FRAME_RESPONSE = 2, FRAME_PING = 4, FRAME_GOODBYE = 6 };

static void make_frame(uint8_t frame[FRAME_HEADER], uint8_t type, uint32_t id, uint32_t status)
{
	memset(frame, 0, FRAME_HEADER);
	put_u32(frame, FRAME_HEADER - 4);
	frame[4] = type;
	put_u32(frame + 8, id);
	put_u32(frame + 12, status);
}

static void frame_too_long(int fd)
{
	uint8_t frame[FRAME_HEADER];
	uint32_t id;

	if (!receive_frame(fd, &id))
		return;
	make_frame(frame, FRAME_RESPONSE, id, 200);
	put_u32(frame, UINT32_MAX);
	send_all(fd, frame, sizeof(frame));
	say_nothing(fd);
}

static void frame_cut(int fd)
{
	uint8_t frame[FRAME_HEADER];
	uint32_t id;

	if (!receive_frame(fd, &id))
		return;
	make_frame(frame, FRAME_RESPONSE, id, 200);
	send_all(fd, frame, sizeof(frame) / 2);
}

static void answer_others(int fd, int pause_ms)
{
	uint8_t frame[FRAME_HEADER];
	uint32_t id;

	if (!receive_frame(fd, &id))
		return;
	make_frame(frame, FRAME_RESPONSE, id + 1000, 200);
	send_endlessly(fd, frame, sizeof(frame), pause_ms);
}

static void answer_others_fast(int fd)
{
	answer_others(fd, 0);
}

static void answer_others_slowly(int fd)
{
	answer_others(fd, TRICKLE_PAUSE_MS);
}

static void ping_for_ever(int fd)
{
	uint8_t frame[FRAME_HEADER];

	make_frame(frame, FRAME_PING, 1, 0);
	send_endlessly(fd, frame, sizeof(frame), TRICKLE_PAUSE_MS);
}

static void say_goodbye(int fd)
{
	uint8_t frame[FRAME_HEADER];

	make_frame(frame, FRAME_GOODBYE, 0, 0);
	send_all(fd, frame, sizeof(frame));
	say_nothing(fd);
}

static void answer_all(int fd, uint8_t flags, uint32_t status)
{
	uint8_t frame[FRAME_HEADER];
	uint32_t id;

	while (receive_frame(fd, &id)) {
		make_frame(frame, FRAME_RESPONSE, id, status);
		frame[5] = flags;
		if (!send_all(fd, frame, sizeof(frame)))
			return;
	}
}

static void answer_nothing(int fd)
{
	answer_all(fd, 0, 200);
}

static void answer_unasked(int fd)
{
	answer_all(fd, 0, 304);
}

static void ask_elsewhere(int fd)
{
	answer_all(fd, 1, 200);
}

/* HTTP */

static bool send_head(int fd, const char *format, ...) __attribute__((format(printf, 2, 3)));

static bool send_head(int fd, const char *format, ...)
{
	char head[2048];
	va_list args;

	va_start(args, format);
	vsnprintf(head, sizeof(head), format, args);
	va_end(args);
	return send_text(fd, head);
}

static bool send_answer(int fd, const struct request *request, const char *type, const char *body)
{
	return send_head(fd, "HTTP/1.1 200 OK\r\nContent-Type: %s\r\nContent-Length: %zu\r\n\r\n",
			 type, strlen(body)) &&
	       (strcmp(request->method, "HEAD") == 0 || send_text(fd, body));
}

static bool send_bytes(int fd, uint64_t first, uint64_t len, char letter, int pause_ms)
{
	for (uint64_t sent = 0; sent < len;) {
		char part[4096];
		size_t n = pause_ms > 0 ? 1 : sizeof(part);

		if (n > len - sent)
			n = (size_t)(len - sent);
		for (size_t i = 0; i < n; i++)
			part[i] = (char)(letter + (first + sent + i) % 26);
		if (!send_all(fd, part, n))
			return false;
		sent += n;
		if (pause_ms > 0)
			poll(NULL, 0, pause_ms);
	}
	return true;
}

/* What says which version it is, of what size. */
static void describe(uint64_t value_bytes, bool other, char text[1024])
{
	char etag[64], size[64];

	snprintf(etag, sizeof(etag), "%s", how->etag ? how->etag : other ? "\"1-9\"" : "\"1-2\"");
	snprintf(size, sizeof(size), "%" PRIu64, value_bytes);
	snprintf(text, 1024,
		 "Content-Type: text/plain\r\nHexKV-Encoding: utf-8\r\nHexKV-Utf8: true\r\n"
		 "HexKV-Mtime: 1700000000123456789\r\n"
		 "HexKV-Hash: 00112233445566778899aabbccddeeff\r\n%s%s%s%s%s%s",
		 *etag ? "ETag: " : "", etag, *etag ? "\r\n" : "",
		 how->size && !*how->size ? "" : "HexKV-Size: ", how->size ? how->size : size,
		 how->size && !*how->size ? "" : "\r\n");
}

static bool send_part(int fd, const struct request *request, uint64_t value_bytes)
{
	uint64_t first = 0, last = value_bytes - 1, len, announced;
	bool other = how->quirk == VERSION_OTHER && request->first > 0;
	bool partial = request->has_range && how->quirk != RANGE_WHOLE;
	char about[1024], range[128] = "";

	if (partial) {
		first = request->first;
		last = request->last < last ? request->last : last;
	}
	if (how->quirk == RANGE_SHIFTED && first > 0)
		first--;
	len = announced = last - first + 1;
	if (how->quirk == BODY_SHORT)
		len /= 2;
	if (how->quirk == BODY_LONG)
		len += 100;
	if (partial)
		snprintf(range, sizeof(range),
			 "Content-Range: bytes %" PRIu64 "-%" PRIu64 "/%" PRIu64 "\r\n", first,
			 last, value_bytes);
	describe(value_bytes, other, about);
	if (!send_head(fd, "HTTP/1.1 %s\r\n%s%sContent-Length: %" PRIu64 "\r\n\r\n",
		       partial ? "206 Partial Content" : "200 OK", about, range, announced))
		return false;
	return strcmp(request->method, "HEAD") == 0 ||
	       (send_bytes(fd, first, len, other ? 'A' : 'a',
			   how->quirk == BODY_TRICKLE ? TRICKLE_PAUSE_MS : 0) &&
		len == announced);
}

/* The letters of all bytes there could be. */
static void send_chunks(int fd)
{
	char chunk[6 + 26 * 160 + 2];

	memcpy(chunk, "1040\r\n", 6);
	for (int i = 0; i < 26 * 160; i++)
		chunk[6 + i] = (char)('a' + i % 26);
	memcpy(chunk + sizeof(chunk) - 2, "\r\n", 2);
	send_endlessly(fd, chunk, sizeof(chunk), 0);
}

static bool send_value(int fd, const struct request *request, uint64_t value_bytes)
{
	char about[1024];

	describe(value_bytes, false, about);
	if (how->quirk == NOT_MODIFIED)
		return send_head(fd, "HTTP/1.1 304 Not Modified\r\n%s\r\n", about);
	if (request->has_range && how->quirk != RANGE_WHOLE && request->first >= value_bytes)
		return send_head(fd, "HTTP/1.1 416 No\r\nContent-Length: 0\r\n\r\n");
	if (how->quirk != BODY_ENDLESS || strcmp(request->method, "HEAD") == 0)
		return send_part(fd, request, value_bytes);
	if (send_head(fd, "HTTP/1.1 200 OK\r\n%sTransfer-Encoding: chunked\r\n\r\n", about))
		send_chunks(fd);
	return false;
}

static bool take_upload(int fd, uint64_t len)
{
	char part[4096];

	while (len > 0) {
		size_t n = len < sizeof(part) ? (size_t)len : sizeof(part);

		if (!receive_all(fd, part, n))
			return false;
		len -= n;
	}
	return true;
}

static bool change(int fd, const struct request *request)
{
	char about[1024];

	if (!take_upload(fd, request->upload_bytes))
		return false;
	describe(SMALL_BYTES, false, about);
	if (how->quirk == NOT_MODIFIED)
		return send_head(fd, "HTTP/1.1 304 Not Modified\r\n\r\n");
	return send_head(fd, "HTTP/1.1 201 Created\r\n%sContent-Length: 0\r\n\r\n", about);
}

#define LINES "prefix 0.\naa 12 1700000000123456789 1-2\nbb 3000000 1700000000123456789 1-2\n"

/* Whether the connection goes on. */
static bool answer(int fd, const struct request *request)
{
	bool reads = strcmp(request->method, "GET") == 0 || strcmp(request->method, "HEAD") == 0;

	if (strcmp(request->target, "/mux") == 0 && how->frames) {
		if (send_text(fd, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\n"
				  "Upgrade: hexkv-mux/1\r\n\r\n"))
			how->frames(fd);
		return false;
	}
	if (strncmp(request->target, "/keys", 5) == 0)
		return send_answer(fd, request, "text/plain",
				   how->listing ? how->listing : LINES "end\n");
	if (strcmp(request->target, "/status") == 0)
		return send_answer(fd, request, "application/json",
				   how->status ? how->status
					       : "{\"space\":{\"free_bytes\":1000000000,"
						 "\"total_bytes\":2000000000},\"entries\":2}");
	if (strncmp(request->target, "/kv/", 4) == 0 && !reads)
		return change(fd, request);
	if (strcmp(request->target, "/kv/aa") == 0)
		return send_value(fd, request, SMALL_BYTES);
	if (strcmp(request->target, "/kv/bb") == 0)
		return send_value(fd, request, LARGE_BYTES);
	return send_text(fd, "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n");
}

static bool receive_request(int fd, struct request *ret_request)
{
	char head[HEAD_BYTES_MAX + 1];
	const char *field;
	size_t len = 0;

	do {
		if (len == HEAD_BYTES_MAX || !receive_all(fd, head + len, 1))
			return false;
		head[++len] = '\0';
	} while (len < 4 || memcmp(head + len - 4, "\r\n\r\n", 4) != 0);
	*ret_request = (struct request){ 0 };
	if (sscanf(head, "%7s %1023s", ret_request->method, ret_request->target) != 2)
		return false;
	field = strcasestr(head, "\r\nContent-Length: ");
	if (field)
		ret_request->upload_bytes =
			strtoull(field + strlen("\r\nContent-Length: "), NULL, 10);
	field = strcasestr(head, "\r\nRange: bytes=");
	if (field) {
		char *dash;

		ret_request->has_range = true;
		ret_request->first = strtoull(field + strlen("\r\nRange: bytes="), &dash, 10);
		ret_request->last = strtoull(dash + 1, NULL, 10);
	}
	return true;
}

static void *serve(void *state)
{
	int fd = (int)(intptr_t)state;
	struct request request;

	if (how->connection)
		how->connection(fd);
	else
		while (receive_request(fd, &request) && answer(fd, &request))
			;
	close(fd);
	atomic_fetch_sub(&connections, 1);
	return NULL;
}

static const struct misbehaviour all[] = {
	{ .name = "none" },
	{ .name = "garbage", .connection = garbage },
	{ .name = "closing", .connection = hang_up },
	{ .name = "silence", .connection = say_nothing },
	{ .name = "head-without-end", .connection = head_without_end },
	{ .name = "line-without-end", .connection = line_without_end },
	{ .name = "head-in-drops", .connection = head_in_drops },
	{ .name = "continue-for-ever", .connection = go_on_for_ever },

	{ .name = "body-short", .quirk = BODY_SHORT },
	{ .name = "body-long", .quirk = BODY_LONG },
	{ .name = "body-endless", .quirk = BODY_ENDLESS },
	{ .name = "body-trickle", .quirk = BODY_TRICKLE },
	{ .name = "range-whole", .quirk = RANGE_WHOLE },
	{ .name = "range-shifted", .quirk = RANGE_SHIFTED },
	{ .name = "version-other", .quirk = VERSION_OTHER },
	{ .name = "not-modified", .quirk = NOT_MODIFIED },

	{ .name = "etag-missing", .etag = "" },
	{ .name = "etag-broken", .etag = "W/\"zzz" },
	{ .name = "size-missing", .size = "" },
	{ .name = "size-negative", .size = "-1" },
	{ .name = "size-2-63", .size = "9223372036854775808" },
	{ .name = "size-2-64", .size = "18446744073709551616" },
	{ .name = "size-2-63-1", .size = "9223372036854775807" },

	{ .name = "status-garbage", .status = "{\"space\":[[[[" },
	{ .name = "status-huge",
	  .status = "{\"space\":{\"free_bytes\":9223372036854775807,"
		    "\"total_bytes\":9223372036854775807},\"entries\":9223372036854775807}" },
	{ .name = "status-negative",
	  .status = "{\"space\":{\"free_bytes\":-5,\"total_bytes\":-7},\"entries\":-1}" },

	{ .name = "listing-empty", .listing = "" },
	{ .name = "listing-garbage", .listing = "\001\002\n\n\n\377" },
	{ .name = "listing-json", .listing = "{\"names\":[],\"cursor\":null}" },
	{ .name = "listing-cut", .listing = LINES },
	{ .name = "listing-cut-line", .listing = LINES "cursor 0.b" },
	{ .name = "listing-path", .listing = "prefix 0.\n../etc 1 1 1-2\nend\n" },
	{ .name = "listing-long",
	  .listing = "prefix 0.\n" DIGITS_50 DIGITS_50 DIGITS_50 DIGITS_50 DIGITS_50 DIGITS_50
		     " 1 1 1-2\nend\n" },
	{ .name = "listing-upper", .listing = "prefix 0.\nAA 1 1 1-2\nend\n" },
	{ .name = "listing-odd", .listing = "prefix 0.\naaa 1 1 1-2\nend\n" },
	{ .name = "listing-size-negative", .listing = "prefix 0.\naa -1 1 1-2\nend\n" },
	{ .name = "listing-size-2-63",
	  .listing = "prefix 0.\naa 9223372036854775808 1 1-2\nend\n" },
	{ .name = "listing-backwards", .listing = "prefix 0.\nbb 1 1 1-2\naa 1 1 1-2\nend\n" },
	{ .name = "listing-again", .listing = LINES "cursor 0.bb\n" },
	{ .name = "listing-nothing-again", .listing = "prefix 0.\ncursor 0.bb\n" },
	{ .name = "listing-cursor-path", .listing = LINES "cursor ../../x\n" },

	{ .name = "frames-garbage", .frames = garbage },
	{ .name = "frames-closing", .frames = hang_up },
	{ .name = "frames-silence", .frames = say_nothing },
	{ .name = "frames-too-long", .frames = frame_too_long },
	{ .name = "frames-cut", .frames = frame_cut },
	{ .name = "frames-other-id", .frames = answer_others_fast },
	{ .name = "frames-other-id-slow", .frames = answer_others_slowly },
	{ .name = "frames-pings", .frames = ping_for_ever },
	{ .name = "frames-goodbye", .frames = say_goodbye },
	{ .name = "frames-without-fields", .frames = answer_nothing },
	{ .name = "frames-not-modified", .frames = answer_unasked },
	{ .name = "frames-elsewhere", .frames = ask_elsewhere },
};

static void end(int signal)
{
	(void)signal;
	_exit(0);
}

static int listen_on_loopback(void)
{
	struct sockaddr_in address = { .sin_family = AF_INET,
				       .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof(address);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0 || bind(fd, (const struct sockaddr *)&address, len) < 0 ||
	    listen(fd, CONNECTIONS_MAX) < 0 ||
	    getsockname(fd, (struct sockaddr *)&address, &len) < 0)
		return -1;
	printf("%u\n", ntohs(address.sin_port));
	fflush(stdout);
	return fd;
}

static void serve_all(int listening)
{
	const struct timeval life = { .tv_sec = LIFE_S };

	for (;;) {
		int fd = accept4(listening, NULL, NULL, SOCK_CLOEXEC);
		pthread_t thread;

		if (fd < 0)
			continue;
		setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &life, sizeof(life));
		setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &life, sizeof(life));
		if (atomic_fetch_add(&connections, 1) >= CONNECTIONS_MAX ||
		    pthread_create(&thread, NULL, serve, (void *)(intptr_t)fd) != 0) {
			atomic_fetch_sub(&connections, 1);
			close(fd);
			continue;
		}
		pthread_detach(thread);
	}
}

int main(int argc, char **argv)
{
	const size_t count = sizeof(all) / sizeof(all[0]);
	int listening;

	for (size_t i = 0; i < count && argc == 2; i++) {
		if (strcmp(argv[1], "--list") == 0)
			puts(all[i].name);
		else if (strcmp(argv[1], all[i].name) == 0)
			how = &all[i];
	}
	if (!how)
		return argc == 2 && strcmp(argv[1], "--list") == 0 ? 0 : 2;
	signal(SIGTERM, end);
	listening = listen_on_loopback();
	if (listening < 0)
		return 1;
	serve_all(listening);
}
