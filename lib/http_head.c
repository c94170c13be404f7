/* SPDX-License-Identifier: MIT */
/*
 * The head of a request. Whatever could be read in two ways by two servers in a row is refused:
 * two lengths, a length twice, a transfer coding other than chunked (RFC 9112, 6.1 and 11.2).
 */
#include "lib/http_internal.h"
#include "lib/reply.h"
#include "lib/target.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

struct head_scan {
	struct http_request *request;
	unsigned lengths;
	unsigned transfer_codings;
	bool chunked;
	bool length_is_bad;
	bool name_is_bad;
	bool value_is_bad;
	const char *repeated; /* name of a field that came twice */
	const char *line; /* where the next line must begin; NULL: unknown */
	bool line_is_bad;
	int error; /* of storing a field */
};

/* Lists may come in several lines, which count as one (RFC 9110, 5.3). */
static int join_field(struct fields *fields, enum field field, const char *value, size_t len)
{
	char joined[FIELD_VALUE_MAX + 1];
	size_t old_len;
	const char *old = fields_get(fields, field, &old_len);

	if (old_len + 2 + len > FIELD_VALUE_MAX)
		return -E2BIG;
	memcpy(joined, old, old_len);
	memcpy(joined + old_len, ", ", 2);
	memcpy(joined + old_len + 2, value, len);
	return fields_set(fields, field, joined, old_len + 2 + len);
}

static void scan_length(struct head_scan *scan, const char *value, size_t len)
{
	int64_t length = 0;

	scan->lengths++;
	scan->length_is_bad = len == 0;
	for (size_t i = 0; i < len; i++) {
		if (value[i] < '0' || value[i] > '9' ||
		    __builtin_mul_overflow(length, 10, &length) ||
		    __builtin_add_overflow(length, value[i] - '0', &length)) {
			scan->length_is_bad = true;
			return;
		}
	}
	scan->request->exchange.content_length = length;
}

/* A lone CR, for instance, which the next server may take for the end of the line. */
static bool has_control_byte(const char *value, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if (((unsigned char)value[i] < 0x20 && value[i] != '\t') || value[i] == 0x7f)
			return true;
	return false;
}

/* A name with a space before its colon is one name to this server and another to the next. */
static bool is_token(const char *text, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if (!isalnum((unsigned char)text[i]) && !strchr("!#$%&'*+-.^_`|~", text[i]))
			return false;
	return len > 0;
}

/*
 * libmicrohttpd 0.9.75 ends a text at its first NUL, silently, takes a lone LF for the end of a
 * line, and joins lines that begin with a space: three things that the next server may see
 * otherwise. Its texts lie where they were received, CR and LF overwritten with NULs, so they show
 * in what lies between one text and the next. So it is in 0.9.76; later ones may keep their texts
 * elsewhere, and what they refuse is left to them.
 */
bool http_server_parser_is_strict(void)
{
	return strcmp(MHD_get_version(), "0.9.75") != 0 && strcmp(MHD_get_version(), "0.9.76") != 0;
}

/*
 * One space between two texts, which was overwritten with a NUL, and nothing that a NUL within one
 * of them has cut off. The target is measured as it was logged: since then libmicrohttpd has cut
 * its own at the query.
 */
static bool request_line_is_whole(const struct request_line *line, size_t target_len)
{
	return line->method + strlen(line->method) + 1 == line->target &&
	       line->target + target_len + 1 == line->version;
}

static void scan_line(struct head_scan *scan, const char *name, const char *value, size_t len)
{
	if (http_server_parser_is_strict() || !value)
		return;
	if ((scan->line && name != scan->line) || value[len + 1] != '\0')
		scan->line_is_bad = true;
	scan->line = value + len + 2;
}

/* Behind its empty line. */
static const char *end_of_head(const struct http_request *request, const char *method)
{
	const union MHD_ConnectionInfo *info = MHD_get_connection_info(
		request->connection->mhd, MHD_CONNECTION_INFO_REQUEST_HEADER_SIZE);

	return info ? method + info->header_size : NULL;
}

static enum MHD_Result scan_field(void *cls, enum MHD_ValueKind kind, const char *name,
				  size_t name_len, const char *value, size_t len)
{
	struct head_scan *scan = cls;
	struct fields *fields = &scan->request->exchange.request;
	enum field field = field_from_name(name, name_len);
	int r;

	(void)kind;
	scan_line(scan, name, value, len);
	if (!value)
		value = "";
	if (has_control_byte(value, len))
		scan->value_is_bad = true;
	if (!is_token(name, name_len))
		scan->name_is_bad = true;
	if (field) {
		if (!fields_get(fields, field, NULL))
			r = len > FIELD_VALUE_MAX ? -E2BIG : fields_set(fields, field, value, len);
		else if (field == FIELD_IF_MATCH || field == FIELD_IF_NONE_MATCH)
			r = join_field(fields, field, value, len);
		else {
			scan->repeated = field_name(field);
			r = 0;
		}
		if (r < 0 && !scan->error)
			scan->error = r;
	} else if (strcasecmp(name, "Content-Length") == 0) {
		scan_length(scan, value, len);
	} else if (strcasecmp(name, "Transfer-Encoding") == 0) {
		scan->transfer_codings++;
		scan->chunked = strcasecmp(value, "chunked") == 0;
	} else if (strcasecmp(name, "Expect") == 0) {
		scan->request->expects_continue = strcasecmp(value, "100-continue") == 0;
	} else if (strcasecmp(name, "Accept") == 0) {
		scan->request->exchange.accepts_openmetrics =
			strcasestr(value, "application/openmetrics-text") != NULL;
	}
	return MHD_YES;
}

/* Refuses fields that are malformed. Returns false once it has answered. */
static bool fields_are_sound(struct head_scan *scan)
{
	struct exchange *ex = &scan->request->exchange;

	if (scan->repeated)
		reply_problem(ex, OUTCOME_BAD_REQUEST, "the header %s came twice; send it once",
			      scan->repeated);
	else if (scan->error == -E2BIG)
		reply_problem(ex, OUTCOME_HEADERS_TOO_LARGE,
			      "a header is longer than %d bytes; shorten it", FIELD_VALUE_MAX);
	else if (scan->error == -ENOMEM)
		reply_problem(ex, OUTCOME_UNAVAILABLE, "out of memory; try again");
	else if (scan->error)
		reply_problem(ex, OUTCOME_BAD_REQUEST, "a header has a forbidden byte; mend it");
	else
		return true;
	return false;
}

/* Refuses what is malformed. Returns false once it has answered. */
static bool head_is_sound(struct head_scan *scan, int target_error)
{
	struct http_request *request = scan->request;
	struct exchange *ex = &request->exchange;

	/* What follows on a connection whose framing is in doubt is not read. */
	request->close = true;
	if (scan->lengths && scan->transfer_codings)
		reply_problem(
			ex, OUTCOME_BAD_REQUEST,
			"the request has both Content-Length and Transfer-Encoding; send one");
	else if (scan->lengths > 1 || scan->length_is_bad)
		reply_problem(ex, OUTCOME_BAD_REQUEST,
			      "Content-Length is repeated or not a number; send it once");
	else if (scan->transfer_codings > 1 || (scan->transfer_codings && !scan->chunked))
		reply_problem(ex, OUTCOME_NOT_IMPLEMENTED,
			      "the only transfer coding that is understood is chunked; use it");
	else if (scan->line_is_bad)
		reply_problem(ex, OUTCOME_BAD_REQUEST,
			      "a line of the head has a NUL or a space too many, or does not end "
			      "with CR LF; mend it");
	else if (scan->name_is_bad)
		reply_problem(ex, OUTCOME_BAD_REQUEST,
			      "the name of a header has a forbidden byte; mend it");
	else if (scan->value_is_bad)
		reply_problem(ex, OUTCOME_BAD_REQUEST, "a header has a control byte; mend it");
	else
		request->close = false;
	if (request->close)
		return false;

	if (!target_error)
		return fields_are_sound(scan);
	reply_problem(ex, OUTCOME_BAD_REQUEST,
		      "the request target is not a well-encoded path; mend its %%XX");
	return false;
}

/* Takes the same time wherever the two differ. */
static bool tokens_equal(const char *shown, size_t shown_len, const char *token)
{
	size_t len = strlen(token);
	unsigned difference = shown_len != len;

	for (size_t i = 0; i < shown_len; i++)
		difference |= (unsigned char)shown[i] ^ (unsigned char)token[len ? i % len : 0];
	return difference == 0;
}

static bool is_authorized(const struct http_request *request)
{
	const struct exchange *ex = &request->exchange;
	const char *token = request->server->token;
	const char *shown;
	size_t len;

	if (!token || (strncmp(ex->path, "/health/", 8) == 0 &&
		       (ex->method == METHOD_GET || ex->method == METHOD_HEAD)))
		return true;
	shown = fields_get(&ex->request, FIELD_AUTHORIZATION, &len);
	if (!shown || strncasecmp(shown, "Bearer ", 7) != 0)
		return false;
	return tokens_equal(shown + 7, len - 7, token);
}

static void refuse_token(struct exchange *ex)
{
	struct answer answer = { 0 };

	if (answer_problem(&answer, ex, OUTCOME_UNAUTHENTICATED, APPLIED_NOT,
			   "the bearer token is missing or wrong; send Authorization: Bearer") <
		    0 ||
	    fields_set(&answer.fields, FIELD_WWW_AUTHENTICATE, "Bearer", 6) < 0) {
		answer_deinit(&answer);
		answer.status = MHD_HTTP_UNAUTHORIZED;
	}
	exchange_respond(ex, &answer);
}

/* GET /mux. Its answer is libmicrohttpd's upgrade response, or a refusal. */
static void begin_mux(struct http_request *request)
{
	struct exchange *ex = &request->exchange;
	struct MHD_Connection *mhd = request->connection->mhd;
	const char *protocol = MHD_lookup_connection_value(mhd, MHD_HEADER_KIND, "Upgrade");
	const char *connection = MHD_lookup_connection_value(mhd, MHD_HEADER_KIND, "Connection");

	if (ex->method != METHOD_GET) {
		reply_method_not_allowed(ex, "GET", "/mux takes GET with Upgrade only");
	} else if (ex->has_body || !protocol || strcmp(protocol, "hexkv-mux/1") != 0 ||
		   !connection || !strcasestr(connection, "upgrade")) {
		reply_problem(ex, OUTCOME_BAD_REQUEST,
			      "/mux opens a multiplexed connection; ask with "
			      "Upgrade: hexkv-mux/1 and Connection: Upgrade");
	} else if (request->server->draining) {
		reply_problem(ex, OUTCOME_UNAVAILABLE, "the server is stopping; ask another");
	} else {
		request->upgrade = true;
		request->status = MHD_HTTP_SWITCHING_PROTOCOLS;
		request->response =
			MHD_create_response_for_upgrade(http_connection_upgraded, request->server);
		if (request->response &&
		    MHD_add_response_header(request->response, MHD_HTTP_HEADER_UPGRADE,
					    "hexkv-mux/1") != MHD_YES) {
			MHD_destroy_response(request->response);
			request->response = NULL;
		}
		request->cut = !request->response;
		ex->answered = true;
	}
}

static enum MHD_Result scan_trailer(void *cls, enum MHD_ValueKind kind, const char *name,
				    size_t name_len, const char *value, size_t len)
{
	struct head_scan *scan = cls;
	struct fields *fields = &scan->request->exchange.trailer;
	enum field field = field_from_name(name, name_len);
	int r;

	(void)kind;
	scan_line(scan, name, value, len);
	if (!field)
		return MHD_YES;
	if (fields_get(fields, field, NULL))
		scan->repeated = field_name(field);
	r = len > FIELD_VALUE_MAX ? -E2BIG : fields_set(fields, field, value ? value : "", len);
	if (r < 0 && !scan->error)
		scan->error = r;
	return MHD_YES;
}

void http_head_take_trailer(struct http_request *request)
{
	struct exchange *ex = &request->exchange;
	struct head_scan scan = { .request = request };

	if (ex->content_length >= 0)
		return;
	MHD_get_connection_values_n(request->connection->mhd, MHD_FOOTER_KIND, scan_trailer, &scan);
	if (scan.line_is_bad)
		reply_problem(ex, OUTCOME_BAD_REQUEST,
			      "a line behind the body has a NUL, begins with a space, or does not "
			      "end with CR LF; mend it");
	else if (scan.repeated || scan.error)
		fields_are_sound(&scan);
}

/* The first request of a connection that there was no room for. True once it has been refused. */
static bool refuse_excess(struct http_request *request)
{
	struct exchange *ex = &request->exchange;
	enum connection_excess excess = http_connection_excess(request->connection);

	request->connection->doubtful = excess != EXCESS_NONE;
	if (excess == EXCESS_NONE)
		return false;
	request->close = true;
	if (excess == EXCESS_OF_ALL)
		reply_problem(ex, OUTCOME_UNAVAILABLE,
			      "there are as many connections as there may be; try again later");
	else
		reply_problem(ex, OUTCOME_TOO_MANY_REQUESTS,
			      "your address has as many connections as it may have; use those");
	return true;
}

void http_head_begin(struct http_request *request, const struct request_line *line)
{
	struct exchange *ex = &request->exchange;
	struct head_scan scan = { .request = request };
	size_t target_len = strlen(request->target);
	int target_error = target_parse(request->target, request->path, &ex->query);

	ex->path = request->path;
	ex->method = method_from_name(line->method);
	ex->content_length = -1;
	if (!http_server_parser_is_strict()) {
		scan.line = line->version + strlen(line->version) + 2;
		scan.line_is_bad = !request_line_is_whole(line, target_len);
	}
	MHD_get_connection_values_n(request->connection->mhd, MHD_HEADER_KIND, scan_field, &scan);
	if (scan.line && scan.line + 2 != end_of_head(request, line->method))
		scan.line_is_bad = true;
	ex->has_body = scan.lengths || scan.transfer_codings;
	if (!ex->has_body)
		ex->content_length = 0;
	if (request->connection->doubtful && refuse_excess(request))
		return;
	if (!head_is_sound(&scan, target_error))
		return;
	if (!is_authorized(request)) {
		refuse_token(ex);
		return;
	}
	if (request->server->options.offer_mux && strcmp(ex->path, "/mux") == 0) {
		begin_mux(request);
		return;
	}
	request->begun = true;
	request->server->busy++;
	request->server->service.begin(ex, request->server->service.state);
}
