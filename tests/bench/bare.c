/* SPDX-License-Identifier: MIT */
/*
 * The least that libmicrohttpd can do for an answer: no look-up, no fields, the same bytes for
 * every request. What a node adds to that is measured against it. Says on which port it listens.
 */
#include "lib/cleanup.h"
#include "lib/options.h"

#include <arpa/inet.h>
#include <microhttpd.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static enum MHD_Result answer(void *cls, struct MHD_Connection *connection, const char *url,
			      const char *method, const char *version, const char *data,
			      size_t *data_size, void **context)
{
	static int seen;

	(void)url;
	(void)method;
	(void)version;
	(void)data;
	*data_size = 0;
	/* The first call is for the head; an answer then would end the connection. */
	if (!*context) {
		*context = &seen;
		return MHD_YES;
	}
	return MHD_queue_response(connection, MHD_HTTP_OK, cls);
}

static struct MHD_Daemon *start(struct MHD_Response *response)
{
	const struct sockaddr_in loopback = {
		.sin_family = AF_INET,
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK),
	};

	/* As many threads as a node has. */
	return MHD_start_daemon(MHD_USE_EPOLL_INTERNAL_THREAD, 0, NULL, NULL, answer, response,
				MHD_OPTION_SOCK_ADDR, &loopback, MHD_OPTION_THREAD_POOL_SIZE, 2u,
				MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)8192,
				MHD_OPTION_CONNECTION_LIMIT, 4096u, MHD_OPTION_END);
}

static int serve(const void *value, size_t len)
{
	struct MHD_Response *response =
		MHD_create_response_from_buffer(len, (void *)value, MHD_RESPMEM_MUST_COPY);
	struct MHD_Daemon *daemon = response ? start(response) : NULL;
	sigset_t ends;
	int signal;

	if (!daemon) {
		fprintf(stderr, "bench-bare: libmicrohttpd does not start\n");
		return 1;
	}
	printf("%u\n", MHD_get_daemon_info(daemon, MHD_DAEMON_INFO_BIND_PORT)->port);
	fflush(stdout);
	sigemptyset(&ends);
	sigaddset(&ends, SIGTERM);
	sigwait(&ends, &signal);
	MHD_stop_daemon(daemon);
	MHD_destroy_response(response);
	return 0;
}

int main(int argc, char **argv)
{
	unsigned value_bytes = 1024;
	const struct option_spec specs[] = {
		{ "value-bytes", 'v', OPTION_UNSIGNED, &value_bytes, "N", "of each answer", 1,
		  1 << 20 },
	};
	const struct options options = {
		.program = "bench-bare",
		.summary = "answers every request with the same bytes",
		.specs = specs,
		.spec_count = sizeof(specs) / sizeof(specs[0]),
	};
	_cleanup_(freep) char *value = NULL;
	int operand, status;
	sigset_t ends;

	if (options_parse(&options, argc, argv, &operand, &status))
		return status;
	value = malloc(value_bytes);
	if (!value)
		return 1;
	memset(value, 'v', value_bytes);
	/* Before there are threads: all of them leave it to this one. */
	sigemptyset(&ends);
	sigaddset(&ends, SIGTERM);
	sigprocmask(SIG_BLOCK, &ends, NULL);
	return serve(value, value_bytes);
}
