/* SPDX-License-Identifier: MIT */
/* POST /: the key is the body, the answer is its record. */
#include "lib/container_of.h"
#include "lib/reply.h"
#include "router/json_door.h"
#include "router/json_key.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct json_post {
	struct service *service;
	struct exchange *ex; /* NULL once finished */
	enum key_form form;
	bool refused;
	size_t body_len;
	char body[KEY_HEX_MAX];

	struct key key;
	struct budget_share share;
	struct gather get;
	struct work work;
	int result; /* of the work */
	struct buf printed;
};

static void json_post_free(struct json_post *post)
{
	gather_deinit(&post->get);
	buf_deinit(&post->printed);
	budget_share_shrink(&post->share, 0);
	free(post);
}

static void reply_too_large(struct json_post *post)
{
	char hex[KEY_HEX_MAX + 1];

	key_to_hex(&post->key, hex);
	reply_problem(post->ex, OUTCOME_TOO_LARGE,
		      "the record is over %u MiB as JSON; use GET /kv/%s, which streams",
		      ROUTER_JSON_BODY_MAX >> 20, hex);
}

static void print_run(struct work *work)
{
	struct json_post *post = container_of(work, struct json_post, work);
	const char *type = fields_get(&post->get.fields, FIELD_CONTENT_TYPE, NULL);
	const char *encoding = fields_get(&post->get.fields, FIELD_ENCODING, NULL);

	post->result =
		json_record_print(&post->key, type ? type : CONTENT_TYPE_DEFAULT,
				  encoding ? encoding : ENCODING_DEFAULT, post->get.body.data,
				  post->get.body.len, ROUTER_JSON_BODY_MAX, &post->printed);
	buf_deinit(&post->get.body);
}

static void print_done(struct work *work)
{
	struct json_post *post = container_of(work, struct json_post, work);

	if (!post->ex) {
		json_post_free(post);
		return;
	}
	if (post->result == -EMSGSIZE)
		reply_too_large(post);
	else if (post->result == -EINVAL)
		reply_problem(post->ex, OUTCOME_BAD_GATEWAY,
			      "node %s answered with labels that are not text",
			      post->get.hop.node->name);
	else if (post->result < 0 || !budget_share_grow(&post->share, post->printed.len))
		json_reply_busy(post->ex, post->service);
	else
		json_reply_record(post->ex, 200, &post->key, &post->get.fields, &post->printed);
}

static void get_done(struct gather *get, enum outcome result)
{
	struct json_post *post = get->state;

	if (result == OUTCOME_TOO_LARGE) {
		reply_too_large(post);
		return;
	}
	if (result == OUTCOME_TOO_MANY_REQUESTS) {
		json_reply_busy(post->ex, post->service);
		return;
	}
	if (result != OUTCOME_OK) {
		hop_reply_failure(&get->hop, post->ex, result);
		return;
	}
	if (hop_reply_refused(&get->hop, post->ex, get->status))
		return;
	if (get->status != 200) {
		json_reply_node(post->ex, get);
		return;
	}
	post->work.run = print_run;
	post->work.done = print_done;
	work_start(&post->work, post->service, get->body.len);
}

static bool admit(struct gather *get, size_t bytes)
{
	struct json_post *post = get->state;

	return budget_share_grow(&post->share, bytes);
}

static void read_record(struct json_post *post)
{
	struct service *service = post->service;
	struct gather *get = &post->get;
	const char *from = fields_get(&post->ex->request, FIELD_READ, NULL);
	int r = 0;

	gather_init(get, service, service_shard_of(service, &post->key), METHOD_GET);
	get->body_max = ROUTER_JSON_BODY_MAX;
	get->admit = admit;
	get->done = get_done;
	get->state = post;
	hop_target_key(&get->hop, &post->key);
	if (from)
		r = fields_setf(&get->hop.call.fields, FIELD_READ, "%s", from);
	if (r == 0)
		r = gather_start(get);
	if (r < 0)
		hop_reply_not_sent(&get->hop, post->ex, r);
}

static size_t exchange_body(struct exchange *ex, const void *data, size_t len)
{
	struct json_post *post = ex->state;

	if (post->refused)
		return len;
	if (len > sizeof(post->body) - post->body_len) {
		post->refused = true;
		reply_problem(
			ex, OUTCOME_BAD_REQUEST,
			"the body is too long for a key; a key has 1 to %d bytes, twice as many "
			"in hex",
			KEY_BYTES_MAX);
		return len;
	}
	memcpy(post->body + post->body_len, data, len);
	post->body_len += len;
	return len;
}

static void exchange_end(struct exchange *ex)
{
	struct json_post *post = ex->state;
	const char *why = "";

	if (post->refused)
		return;
	if (json_key_read(post->body, post->body_len, post->form, &post->key, &why) < 0) {
		reply_problem(ex, OUTCOME_BAD_REQUEST, "%s", why);
		return;
	}
	read_record(post);
}

static void exchange_finish(struct exchange *ex, bool answered)
{
	struct json_post *post = ex->state;

	(void)answered;
	ex->state = NULL;
	post->ex = NULL;
	if (!post->work.under_way)
		json_post_free(post);
}

static const struct exchange_handler exchange_handler = {
	.body = exchange_body,
	.end = exchange_end,
	.finish = exchange_finish,
};

/* ?key= and HexKV-Read; the rest of the fields is not for a read by POST. */
static int read_options(struct exchange *ex, enum key_form *ret_form, const char **ret_why)
{
	char form[8];
	int found = exchange_query(ex, "key", form, sizeof(form));

	*ret_form = KEY_FORM_ANY;
	if (found < 0 || (found > 0 && key_form_parse(form, ret_form) < 0)) {
		*ret_why = "?key= says how to read the body: hex or raw";
		return -EINVAL;
	}
	if (!hop_read_is_understood(&ex->request)) {
		*ret_why = "HexKV-Read is leader or any";
		return -EINVAL;
	}
	return 0;
}

void json_post_begin(struct exchange *ex, struct service *service)
{
	struct json_post *post;
	enum key_form form;
	const char *why;

	if (read_options(ex, &form, &why) < 0) {
		reply_problem(ex, OUTCOME_BAD_REQUEST, "%s", why);
		return;
	}
	post = calloc(1, sizeof(*post));
	if (!post) {
		json_reply_busy(ex, service);
		return;
	}
	post->service = service;
	post->ex = ex;
	post->form = form;
	post->share.budget = &service->router->json;
	ex->state = post;
	ex->handler = &exchange_handler;
}
