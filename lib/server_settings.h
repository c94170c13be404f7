/* SPDX-License-Identifier: MIT */
/*
 * What every server's command line has in common: lib/server's options, the log, the token, and
 * what a process sets up before it has threads.
 *
 * Ownership: zero cost until server_settings_apply(), which makes token; server_settings_deinit()
 * frees it. Strings that options set are borrowed from argv.
 */
#pragma once

#include "lib/options.h"
#include "lib/server.h"

struct server_settings {
	struct server_options server; /* complete after server_settings_apply() */
	const char *token_file;
	const char *log_level;
	unsigned idle_timeout_s;
	unsigned head_timeout_s;
	unsigned body_timeout_s;
	unsigned drain_s;
	char *token;
};

#define SERVER_SETTINGS_DEFAULT                                                                    \
	{                                                                                          \
		.server = { .workers = 2, .http = { .connection_limit = 1024 } },                  \
		.log_level = "info", .idle_timeout_s = 120, .head_timeout_s = 10,                  \
		.body_timeout_s = 30, .drain_s = 30,                                               \
	}

#define SERVER_SETTINGS_SPECS 12

/* The rows for lib/options, all but --listen, whose default is the program's own. */
void server_settings_specs(struct server_settings *settings,
			   struct option_spec ret_specs[SERVER_SETTINGS_SPECS]);
/* Before threads: starts the log, reads the token, raises the limit on open files, and blocks the
 * signals that server_run() waits for, so that every thread inherits the mask. 0, or the exit
 * status after one sentence to stderr. */
int server_settings_apply(struct server_settings *settings, const char *program);
void server_settings_deinit(struct server_settings *settings);
