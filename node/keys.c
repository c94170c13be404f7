/* SPDX-License-Identifier: MIT */
/*
 * A page is made in a pool thread: listing reads segments. Its body is bounded in names and in
 * bytes; the cursor is the hex of the last key that was visited, so that each page costs what it
 * shows (and a bounded number of tombstones).
 */
#include "node/keys.h"

#include "lib/container_of.h"

#include "lib/cleanup.h"
#include "lib/log.h"
#include "lib/name_page.h"
#include "node/role.h"

#include <errno.h>
#include <string.h>

/* Before and behind the names, the cursor included. */
#define FRAME_BYTES (KEY_HEX_MAX + 32)
/* So that a usual page's buffer grows but once. */
#define BODY_BYTES_FIRST (64 * 1024)

struct page {
	struct request request;
	struct pool_job job;
	struct key after; /* len 0: from the start */
	size_t limit;
	bool text; /* for programs; otherwise JSON */

	/* The job's while it runs. */
	struct buf body;
	struct key last;
	bool full; /* stopped by its size */
	int result;
};

static void page_free(struct page *page)
{
	buf_deinit(&page->body);
	free(page);
}

static struct page *from_job(struct pool_job *job)
{
	return container_of(job, struct page, job);
}

static int add_name(const struct entry *entry, void *state)
{
	struct page *page = state;
	size_t before = page->body.len;
	char hex[KEY_HEX_MAX + 1];
	struct key key;
	int r;

	r = key_from_bytes(entry->key, entry->key_len, &key);
	if (r < 0)
		return -EBADMSG;
	key_to_hex(&key, hex);
	const struct name_line line = {
		.key = hex,
		.key_len = 2 * (size_t)key.len,
		.size_bytes = entry->size_bytes,
		.mtime_ns = entry->mtime_ns,
		.version = entry->version,
	};
	r = page->text ? name_page_add(&page->body, &line)
		       : name_page_json_add(&page->body, &line, page->last.len == 0);
	if (r < 0)
		return r;
	if (page->body.len + FRAME_BYTES > KEYS_BODY_MAX) {
		page->body.len = before;
		page->full = true;
		return 1;
	}
	page->last = key;
	return 0;
}

static int end_page(struct page *page, const char *cursor)
{
	return page->text ? name_page_end(&page->body, cursor)
			  : name_page_json_end(&page->body, cursor);
}

static int make_page(struct page *page)
{
	struct store *store = request_service(&page->request)->store;
	char hex[KEY_HEX_MAX + 1];
	struct key visited = { 0 };
	bool more = false;
	int r;

	r = buf_reserve(&page->body, BODY_BYTES_FIRST);
	/* A key is the cursor behind it. */
	if (r == 0)
		r = page->text ? name_page_begin(&page->body, "")
			       : name_page_json_begin(&page->body);
	if (r == 0)
		r = store_list(store, &page->after, page->limit, add_name, page, &more, &visited);
	if (r < 0)
		return r;
	if (!more && !page->full)
		return end_page(page, NULL);
	key_to_hex(page->full ? &page->last : &visited, hex);
	return end_page(page, hex);
}

/* In a pool thread. */
static void page_run(struct pool_job *job)
{
	struct page *page = from_job(job);

	page->result = make_page(page);
}

static void page_done(struct pool_job *job)
{
	struct page *page = from_job(job);
	struct exchange *ex = page->request.ex;

	service_job_done(page->request.worker);
	if (page->result >= 0) {
		request_text(&page->request, page->text ? NAME_PAGE_TYPE : "application/json",
			     &page->body);
	} else {
		log_error("keys not readable", "error=\"%s\"", strerror(-page->result));
		request_problem(&page->request, outcome_from_error(page->result),
				"the names could not be read; see the node's log");
	}
	page_free(page);
	exchange_unref(ex);
}

/* NULL, or what is wrong. */
static const char *parse_limit(const struct exchange *ex, size_t *ret_limit)
{
	static const char wrong[] = "limit must be a number from 1 to 1000";
	unsigned long limit;
	char text[16], *end;
	int r;

	*ret_limit = KEYS_LIMIT_MAX;
	r = exchange_query(ex, "limit", text, sizeof(text));
	if (r == 0)
		return NULL;
	if (r < 0 || text[0] < '0' || text[0] > '9')
		return wrong;
	limit = strtoul(text, &end, 10);
	if (*end != '\0' || limit < 1 || limit > KEYS_LIMIT_MAX)
		return wrong;
	*ret_limit = limit;
	return NULL;
}

static const char *parse_cursor(const struct exchange *ex, struct key *ret_after)
{
	static const char wrong[] = "cursor must be what the page before gave";
	char text[KEY_HEX_MAX + 1];
	int r;

	*ret_after = (struct key){ 0 };
	r = exchange_query(ex, "cursor", text, sizeof(text));
	if (r == 0)
		return NULL;
	if (r < 0 || key_from_hex(text, strlen(text), ret_after) < 0)
		return wrong;
	return NULL;
}

static const char *parse_format(const struct exchange *ex, bool *ret_text)
{
	return name_page_format(ex, ret_text) < 0 ? "format is json or text" : NULL;
}

static bool may_list(struct request *request)
{
	struct object_request wanted;
	const char *why = "memory is out; try again";
	int r;

	if (!request_service(request)->listing) {
		request_problem(request, OUTCOME_FORBIDDEN, "this node does not list its keys");
		return false;
	}
	r = object_request_parse(&request->ex->request, &wanted, &why);
	if (r < 0) {
		request_problem(request, r == -EINVAL ? OUTCOME_BAD_REQUEST : outcome_from_error(r),
				"%s", why);
		return false;
	}
	return role_may_read(request, wanted.read);
}

void keys_begin(const struct request *asked)
{
	struct request own = *asked, *request = &own;
	struct page *page;
	const char *why;
	struct key after;
	size_t limit;
	bool text;

	if (!may_list(request))
		return;
	why = parse_limit(request->ex, &limit);
	if (!why)
		why = parse_cursor(request->ex, &after);
	if (!why)
		why = parse_format(request->ex, &text);
	if (why) {
		request_problem(request, OUTCOME_BAD_REQUEST, "%s", why);
		return;
	}
	page = calloc(1, sizeof(*page));
	if (!page) {
		request_problem(request, OUTCOME_UNAVAILABLE, "memory is out; try again");
		return;
	}
	page->request = *request;
	page->after = after;
	page->limit = limit;
	page->text = text;
	page->job.run = page_run;
	page->job.done = page_done;
	request->ex->handler = &request_waits;
	exchange_ref(request->ex);
	service_submit(request->worker, request_service(request)->read_pool, &page->job);
}
