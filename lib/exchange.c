/* SPDX-License-Identifier: MIT */
#include "lib/exchange.h"

#include "lib/target.h"

#include <assert.h>
#include <string.h>

static const struct {
	enum method method;
	const char *name;
} methods[] = {
	{ METHOD_GET, "GET" },       { METHOD_HEAD, "HEAD" },   { METHOD_PUT, "PUT" },
	{ METHOD_DELETE, "DELETE" }, { METHOD_PATCH, "PATCH" }, { METHOD_MOVE, "MOVE" },
	{ METHOD_POST, "POST" },
};

const char *method_name(enum method method)
{
	for (size_t i = 0; i < sizeof(methods) / sizeof(methods[0]); i++)
		if (methods[i].method == method)
			return methods[i].name;
	return "OTHER";
}

enum method method_from_name(const char *name)
{
	/* Methods are case-sensitive (RFC 9110, 9.1). */
	for (size_t i = 0; i < sizeof(methods) / sizeof(methods[0]); i++)
		if (strcmp(methods[i].name, name) == 0)
			return methods[i].method;
	return METHOD_OTHER;
}

void answer_deinit(struct answer *answer)
{
	fields_deinit(&answer->fields);
	buf_deinit(&answer->bytes);
	if (answer->source && answer->source->close)
		answer->source->close(answer->source_state);
	*answer = (struct answer){ 0 };
}

struct exchange *exchange_ref(struct exchange *ex)
{
	ex->references++;
	return ex;
}

struct exchange *exchange_unref(struct exchange *ex)
{
	if (!ex)
		return NULL;
	assert(ex->references > 0);
	if (--ex->references == 0)
		ex->transport->free(ex);
	return NULL;
}

void exchange_respond(struct exchange *ex, struct answer *answer)
{
	if (ex->finished) {
		answer_deinit(answer);
		return;
	}
	assert(!ex->answered);
	ex->answered = true;
	ex->transport->respond(ex, answer);
	/* The transport has moved the content away; nothing is left to be freed twice. */
	*answer = (struct answer){ 0 };
}

void exchange_resume_body(struct exchange *ex)
{
	if (!ex->finished)
		ex->transport->resume_body(ex);
}

void exchange_resume_answer(struct exchange *ex)
{
	if (!ex->finished)
		ex->transport->resume_answer(ex);
}

void exchange_moving(struct exchange *ex)
{
	if (!ex->finished && ex->transport->moving)
		ex->transport->moving(ex);
}

int exchange_query(const struct exchange *ex, const char *name, char *ret_value, size_t size)
{
	size_t name_len = strlen(name);
	const char *at = ex->query;

	while (*at) {
		size_t len = strcspn(at, "&");

		if (len >= name_len && memcmp(at, name, name_len) == 0 &&
		    (len == name_len || at[name_len] == '=')) {
			size_t skip = len == name_len ? len : name_len + 1;
			int r = percent_decode(at + skip, len - skip, ret_value, size);

			return r < 0 ? r : 1;
		}
		at += len;
		if (*at == '&')
			at++;
	}
	return 0;
}
