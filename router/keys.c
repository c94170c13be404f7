/* SPDX-License-Identifier: MIT */
#include "router/keys.h"

#include "lib/cleanup.h"
#include "lib/log.h"
#include "lib/name_page.h"
#include "lib/reply.h"
#include "router/cursor.h"
#include "router/gather.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LIMIT_MAX      1000
#define PAGE_BYTES_MAX ((size_t)1 << 20)
/* Pages without a name, of deleted ones only, that one request passes over. */
#define EMPTY_PAGES_MAX 8

struct keys {
	struct service *service;
	struct exchange *ex;
	unsigned limit;
	bool text;
	unsigned empty_pages;
	bool stale; /* a follower's page is in it */
	struct cursor at;
	struct gather page;
};

static void ask(struct keys *keys);

static void reply_bad_page(struct keys *keys)
{
	const char *name = keys->page.hop.node->name;

	log_error("page of names is malformed", "node=%s target=%s", name, keys->page.hop.target);
	reply_problem(keys->ex, OUTCOME_BAD_GATEWAY,
		      "node %s answered with something that is not a page of names", name);
}

/* Where the next page begins: -ENOENT behind the last one, -EBADMSG for a cursor that no node
 * gives.
 */
static int advance(struct keys *keys, const char *node_cursor)
{
	if (*node_cursor)
		return cursor_set_node(&keys->at, node_cursor) < 0 ? -EBADMSG : 0;
	keys->at.node[0] = '\0';
	keys->at.shard++;
	return keys->at.shard < keys->service->router->cluster->shard_count ? 0 : -ENOENT;
}

/* Writes the node's names for the client. -EBADMSG or -ENOMEM. */
static int write_names(struct keys *keys, const char *prefix, struct name_page *from,
		       const char *cursor, struct buf *ret_body)
{
	struct name_line line;
	bool first = true;
	int r;

	r = buf_reserve(ret_body, keys->page.body.len);
	if (r == 0)
		r = keys->text ? name_page_begin(ret_body, prefix) : name_page_json_begin(ret_body);
	while (r == 0) {
		r = name_page_next(from, &line);
		if (r <= 0)
			break;
		r = keys->text ? name_page_add(ret_body, &line)
			       : name_page_json_add(ret_body, &line, first);
		first = false;
	}
	if (r < 0)
		return r;
	return keys->text ? name_page_end(ret_body, cursor) : name_page_json_end(ret_body, cursor);
}

/* One request may have read several pages; the last one's age stands for all, and a follower's mark
 * stays. */
static void respond(struct keys *keys, struct buf *body)
{
	struct answer answer = { .status = 200, .bytes = buf_take(body) };
	const char *staleness = fields_get(&keys->page.fields, FIELD_STALENESS_MS, NULL);

	fields_setf(&answer.fields, FIELD_CONTENT_TYPE, "%s",
		    keys->text ? NAME_PAGE_TYPE : "application/json");
	if (keys->stale)
		fields_setf(&answer.fields, FIELD_STALE, "true");
	if (staleness)
		fields_setf(&answer.fields, FIELD_STALENESS_MS, "%s", staleness);
	exchange_respond(keys->ex, &answer);
}

static void reply_names(struct keys *keys, const char *prefix, struct name_page *from,
			const char *cursor)
{
	_cleanup_(buf_deinit) struct buf body = { 0 };
	int r = write_names(keys, prefix, from, cursor, &body);

	if (r == -EBADMSG)
		reply_bad_page(keys);
	else if (r < 0)
		reply_problem(keys->ex, OUTCOME_UNAVAILABLE,
			      "the router is out of memory; try again later");
	else
		respond(keys, &body);
}

static void handle_page(struct keys *keys)
{
	const struct buf *body = &keys->page.body;
	char prefix[CURSOR_TEXT_MAX + 1], cursor[CURSOR_TEXT_MAX + 1];
	struct name_page names;
	bool empty;
	int r;

	r = name_page_open(body->data, body->len, &names);
	if (r == 0 && *names.prefix)
		r = -EBADMSG;
	if (r == 0) {
		cursor_print(&(struct cursor){ .shard = keys->at.shard }, prefix);
		r = advance(keys, names.cursor);
	}
	if (r == -EBADMSG) {
		reply_bad_page(keys);
		return;
	}
	empty = names.at == names.end;
	if (r == 0 && empty && (!*names.cursor || keys->empty_pages++ < EMPTY_PAGES_MAX)) {
		ask(keys);
		return;
	}
	cursor_print(&keys->at, cursor);
	reply_names(keys, prefix, &names, r == 0 ? cursor : NULL);
}

static void page_done(struct gather *page, enum outcome result)
{
	struct keys *keys = page->state;
	struct answer answer = { 0 };

	if (result == OUTCOME_TOO_LARGE) {
		reply_bad_page(keys);
		return;
	}
	if (result != OUTCOME_OK) {
		hop_reply_failure(&page->hop, keys->ex,
				  result == OUTCOME_TOO_MANY_REQUESTS ? OUTCOME_UNAVAILABLE
								      : result);
		return;
	}
	if (hop_reply_refused(&page->hop, keys->ex, page->status))
		return;
	keys->stale |= fields_get(&page->fields, FIELD_STALE, NULL) != NULL;
	if (page->status == 200) {
		handle_page(keys);
		return;
	}
	answer.status = page->status;
	answer.fields = fields_take(&page->fields);
	answer.bytes = buf_take(&page->body);
	hop_clean_fields(&answer.fields);
	exchange_respond(keys->ex, &answer);
}

static void ask(struct keys *keys)
{
	const char *read = fields_get(&keys->ex->request, FIELD_READ, NULL);
	struct gather *page = &keys->page;
	int r = 0;

	/* Pages of deleted names may have to be passed over. */
	exchange_moving(keys->ex);
	gather_deinit(page);
	gather_init(page, keys->service, keys->at.shard, METHOD_GET);
	page->body_max = PAGE_BYTES_MAX;
	page->done = page_done;
	page->state = keys;
	snprintf(page->hop.target, sizeof(page->hop.target), "/keys?format=text&limit=%u%s%s",
		 keys->limit, keys->at.node[0] ? "&cursor=" : "", keys->at.node);
	if (read)
		r = fields_setf(&page->hop.call.fields, FIELD_READ, "%s", read);
	if (r == 0)
		r = gather_start(page);
	if (r < 0)
		hop_reply_not_sent(&page->hop, keys->ex, r);
}

static int parse_limit(const struct exchange *ex, unsigned *ret_limit)
{
	char text[8];
	char *end;
	unsigned long limit;
	int found = exchange_query(ex, "limit", text, sizeof(text));

	*ret_limit = LIMIT_MAX;
	if (found <= 0)
		return found;
	if (text[0] < '0' || text[0] > '9')
		return -EINVAL;
	limit = strtoul(text, &end, 10);
	if (*end != '\0' || limit < 1 || limit > LIMIT_MAX)
		return -EINVAL;
	*ret_limit = (unsigned)limit;
	return 0;
}

static int parse_cursor(const struct exchange *ex, const struct cluster *cluster,
			struct cursor *ret_cursor)
{
	char text[CURSOR_TEXT_MAX + 1];
	int found = exchange_query(ex, "cursor", text, sizeof(text));

	*ret_cursor = (struct cursor){ 0 };
	if (found <= 0)
		return found;
	return cursor_parse(text, cluster->shard_count, ret_cursor);
}

static void exchange_end(struct exchange *ex)
{
	(void)ex;
}

static void exchange_finish(struct exchange *ex, bool answered)
{
	struct keys *keys = ex->state;

	(void)answered;
	gather_deinit(&keys->page);
	free(keys);
	ex->state = NULL;
}

static const struct exchange_handler exchange_handler = {
	.end = exchange_end,
	.finish = exchange_finish,
};

void keys_begin(struct exchange *ex, struct service *service)
{
	struct cursor at;
	struct keys *keys;
	unsigned limit;
	bool text;

	if (!service->router->listing) {
		reply_problem(ex, OUTCOME_FORBIDDEN,
			      "names are not listed here; the router runs with --no-listing");
		return;
	}
	if (parse_limit(ex, &limit) < 0) {
		reply_problem(ex, OUTCOME_BAD_REQUEST, "limit is a number from 1 to %d", LIMIT_MAX);
		return;
	}
	if (name_page_format(ex, &text) < 0) {
		reply_problem(ex, OUTCOME_BAD_REQUEST, "format is json or text");
		return;
	}
	if (parse_cursor(ex, service->router->cluster, &at) < 0) {
		reply_problem(ex, OUTCOME_BAD_REQUEST,
			      "cursor is not one that this cluster gave; begin without one");
		return;
	}
	if (!hop_read_is_understood(&ex->request)) {
		reply_problem(ex, OUTCOME_BAD_REQUEST, "HexKV-Read is leader or any");
		return;
	}
	keys = calloc(1, sizeof(*keys));
	if (!keys) {
		reply_problem(ex, OUTCOME_UNAVAILABLE,
			      "the router is out of memory; try again later");
		return;
	}
	keys->service = service;
	keys->ex = ex;
	keys->limit = limit;
	keys->text = text;
	keys->at = at;
	ex->state = keys;
	ex->handler = &exchange_handler;
	ask(keys);
}
