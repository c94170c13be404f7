/* SPDX-License-Identifier: MIT */
#include "tests/unit/fs_leader.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static bool is_method(const char *request, const char *method)
{
	return strncmp(request, method, strlen(method)) == 0 && request[strlen(method)] == ' ';
}

static bool holds(const struct fs_leader_record *record, const char *request)
{
	unsigned version = 0;

	if (*fs_request_field(request, "If-None-Match"))
		return !record->exists;
	if (!*fs_request_field(request, "If-Match"))
		return true;
	sscanf(fs_request_field(request, "If-Match"), "\"10001-%x\"", &version);
	return record->exists && record->version == version;
}

static unsigned apply(struct fs_leader *leader, const char *request,
		      struct fs_leader_record *record)
{
	bool delete = is_method(request, "DELETE");
	bool fences = delete &&*fs_request_field(request, "If-None-Match");
	const char *body = strstr(request, "\r\n\r\n");
	unsigned status = record->exists ? 204 : 201;

	if (!is_method(request, "PUT") && !record->exists && !fences)
		return 404;
	if (!holds(record, request))
		return 412;
	record->version = ++leader->versions;
	if (is_method(request, "PUT"))
		snprintf(record->value, sizeof(record->value), "%.*s", 5, body + 4);
	if (is_method(request, "MOVE")) {
		leader->records[1] = *record;
		delete = true;
	}
	record->exists = !delete;
	return delete ? 204 : status;
}

static unsigned take(struct fs_leader *leader, const char *request, char *ret_fields, size_t size)
{
	char key = strstr(request, "/kv/")[5];
	char id[33];
	unsigned status;

	snprintf(id, sizeof(id), "%s", fs_request_field(request, "HexKV-Request-Id"));
	for (unsigned i = 0; i < leader->applied_count; i++) {
		if (strcmp(leader->applied[i].id, id) == 0 && leader->applied[i].key == key) {
			snprintf(ret_fields, size, "%sHexKV-Repeated: true\r\n",
				 leader->applied[i].etag);
			return 204;
		}
	}
	status = apply(leader, request, &leader->records[key - '0']);
	if (status >= 300)
		return status;
	assert_true(leader->applied_count < FS_LEADER_IDS);
	snprintf(ret_fields, size, "ETag: \"10001-%x\"\r\n", leader->versions);
	strcpy(leader->applied[leader->applied_count].id, id);
	strcpy(leader->applied[leader->applied_count].etag, ret_fields);
	leader->applied[leader->applied_count++].key = key;
	return status;
}

static void answer_read(struct fs_leader *leader, const char *request, struct buf *ret_answer)
{
	const struct fs_leader_record *record = &leader->records[strstr(request, "/kv/")[5] - '0'];
	bool is_head = is_method(request, "HEAD");
	char fields[512] = "";

	if (!record->exists) {
		fs_write_answer(ret_answer, 404, "", NULL, 0);
		return;
	}
	fs_record_fields(fields, sizeof(fields), record->version, strlen(record->value));
	fs_write_answer(ret_answer, is_head ? 200 : 206, fields, record->value,
			is_head ? 0 : strlen(record->value));
}

enum fs_answer fs_leader_answer(void *state, const char *request, struct buf *ret_answer)
{
	struct fs_leader *leader = state;
	static const char not_applied[] = "{\"outcome\":\"not-applied\"}";
	enum fs_fault fault = leader->fault;
	char fields[128] = "";
	unsigned status;

	if (is_method(request, "HEAD") || is_method(request, "GET")) {
		answer_read(leader, request, ret_answer);
		return FS_ANSWER;
	}
	leader->fault = FS_NO_FAULT;
	leader->writes++;
	if (fault == FS_LATE) {
		snprintf(leader->late, sizeof(leader->late), "%s", request);
		return FS_SILENCE;
	}
	status = fault == FS_REFUSED ? 507 : take(leader, request, fields, sizeof(fields));
	if (fault == FS_APPLIED_UNSEEN)
		return FS_SILENCE;
	fs_write_answer(ret_answer, status, fields, not_applied,
			status == 507 ? strlen(not_applied) : 0);
	return FS_ANSWER;
}

void fs_leader_go_on(struct fs_leader *leader)
{
	char fields[128];

	assert_true(*leader->late);
	(void)take(leader, leader->late, fields, sizeof(fields));
}
