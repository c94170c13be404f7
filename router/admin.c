/* SPDX-License-Identifier: MIT */
#include "router/admin.h"

#include "lib/reply.h"

void admin_live(struct exchange *ex, struct service *service)
{
	(void)service;
	reply_json(ex, OUTCOME_OK, json_pack("{s:s}", "status", "live"));
}

void admin_topology(struct exchange *ex, struct service *service)
{
	reply_json(ex, OUTCOME_OK, cluster_to_json(service->router->cluster));
}

void admin_metrics(struct exchange *ex, struct service *service)
{
	enum metrics_format format =
		ex->accepts_openmetrics ? METRICS_OPENMETRICS : METRICS_PROMETHEUS;
	struct buf text = { 0 };

	if (counters_print(service->router, &text) < 0 || metrics_end(&text, format) < 0)
		reply_problem(ex, OUTCOME_UNAVAILABLE,
			      "the router is out of memory; try again later");
	else
		reply_text(ex, OUTCOME_OK, metrics_content_type(format), &text);
	buf_deinit(&text);
}
