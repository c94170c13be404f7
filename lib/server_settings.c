/* SPDX-License-Identifier: MIT */
#include "lib/server_settings.h"

#include "lib/log.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

void server_settings_specs(struct server_settings *s,
			   struct option_spec ret_specs[SERVER_SETTINGS_SPECS])
{
	struct server_options *server = &s->server;
	const struct option_spec specs[SERVER_SETTINGS_SPECS] = {
		{ NULL, 0, OPTION_GROUP, NULL, NULL, "Serving", 0, 0 },
		{ "port-file", 0, OPTION_STRING, &server->port_file, "FILE",
		  "write the port there once it listens", 0, 0 },
		{ "workers", 0, OPTION_UNSIGNED, &server->workers, "N", "threads that serve (2)", 1,
		  64 },
		{ "connection-limit", 0, OPTION_UNSIGNED, &server->http.connection_limit, "N",
		  "open connections of a worker at most (1024)", 8, 65536 },
		{ "address-limit", 0, OPTION_UNSIGNED, &server->http.address_limit, "N",
		  "of these from one address at most (three quarters)", 1, 65536 },
		{ "idle-timeout", 0, OPTION_UNSIGNED, &s->idle_timeout_s, "SECONDS",
		  "close a connection on which nothing moves for that long (120)", 1, 86400 },
		{ "head-timeout", 0, OPTION_UNSIGNED, &s->head_timeout_s, "SECONDS",
		  "time to send the head of a request (10)", 1, 3600 },
		{ "body-timeout", 0, OPTION_UNSIGNED, &s->body_timeout_s, "SECONDS",
		  "time for every 4 KiB of a request's body (30)", 1, 3600 },
		{ "body-rate", 0, OPTION_UNSIGNED, &server->http.body_rate, "BYTES",
		  "a second that a body or an answer must reach on the whole (4096)", 1, 1 << 30 },
		{ "drain-timeout", 0, OPTION_UNSIGNED, &s->drain_s, "SECONDS",
		  "time for what is under way at SIGTERM (30)", 0, 3600 },
		{ "token-file", 0, OPTION_STRING, &s->token_file, "FILE",
		  "ask for the bearer token in FILE; a router shows it to the nodes", 0, 0 },
		{ "log-level", 0, OPTION_STRING, &s->log_level, "LEVEL",
		  "error, warn, info or debug (info)", 0, 0 },
	};

	memcpy(ret_specs, specs, sizeof(specs));
}

static int complain(const char *program, const char *sentence)
{
	fprintf(stderr, "%s: %s\n", program, sentence);
	return 2;
}

/* Segments, value files and connections have no bound of their own. */
static void raise_file_limit(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
		return;
	limit.rlim_cur = limit.rlim_max;
	if (setrlimit(RLIMIT_NOFILE, &limit) < 0)
		log_warn("file limit not raised", "limit=%llu", (unsigned long long)limit.rlim_cur);
}

int server_settings_apply(struct server_settings *s, const char *program)
{
	enum log_level level;

	if (log_level_parse(s->log_level, &level) < 0)
		return complain(program, "--log-level must be error, warn, info or debug");
	log_init(program, level);
	if (s->token_file && read_token_file(s->token_file, &s->token) < 0)
		return complain(program,
				"--token-file must name a readable file whose first line is the "
				"token");
	s->server.http.token = s->token;
	s->server.http.idle_timeout_ms = s->idle_timeout_s * 1000;
	s->server.http.head_timeout_ms = s->head_timeout_s * 1000;
	s->server.http.body_timeout_ms = s->body_timeout_s * 1000;
	if (!s->server.http.address_limit)
		s->server.http.address_limit = s->server.http.connection_limit / 4 * 3;
	s->server.drain_ms = s->drain_s * 1000;
	raise_file_limit();
	server_block_signals(NULL);
	return 0;
}

void server_settings_deinit(struct server_settings *s)
{
	free(s->token);
	s->token = NULL;
	s->server.http.token = NULL;
}
