// SPDX-License-Identifier: GPL-2.0-or-later
/* What the admin server serves, one row a path: see admin_http.h. */
#include "admin_http.h"

#include "page.h"

static int answer_page(const struct admin_config *config, const struct admin_request *q,
		       struct admin_reply *r)
{
	(void)config, (void)q;
	r->type = "text/html; charset=utf-8";
	r->fields = page_policy;
	return admin_reply_append(r, SPAN(page_html, page_html_len));
}

static int answer_ready(const struct admin_config *config, const struct admin_request *q,
			struct admin_reply *r)
{
	const char *why = config->not_ready(config->ctx);

	(void)q;
	return admin_reply_line(r, why ? 503 : 200, why ? why : "ready");
}

static int answer_live(const struct admin_config *config, const struct admin_request *q,
		       struct admin_reply *r)
{
	(void)config, (void)q;
	return admin_reply_line(r, 200, "live");
}

static int order(const struct admin_config *config, enum vitals_order what, struct admin_reply *r)
{
	return admin_reply_line(r, 202, config->order(config->ctx, what));
}

static int answer_drain(const struct admin_config *config, const struct admin_request *q,
			struct admin_reply *r)
{
	(void)q;
	return order(config, ORDER_DRAIN, r);
}

static int answer_quit(const struct admin_config *config, const struct admin_request *q,
		       struct admin_reply *r)
{
	(void)q;
	return order(config, ORDER_QUIT, r);
}

const struct admin_endpoint admin_endpoints[] = {
	{ "/", ADMIN_GET, ADMIN_LOCAL, answer_page },
	{ "/metrics", ADMIN_GET, ADMIN_ANYONE, admin_answer_metrics },
	{ "/stats/prometheus", ADMIN_GET, ADMIN_ANYONE, admin_answer_envoy },
	{ "/ready", ADMIN_GET, ADMIN_ANYONE, answer_ready },
	{ "/live", ADMIN_GET, ADMIN_ANYONE, answer_live },
	{ "/flows", ADMIN_GET, ADMIN_LOCAL, admin_answer_flows },
	{ "/config", ADMIN_GET, ADMIN_LOCAL, admin_answer_config },
	{ "/drain", ADMIN_POST, ADMIN_ORDER, answer_drain },
	{ "/quit", ADMIN_POST, ADMIN_ORDER, answer_quit },
};

const size_t admin_endpoint_count = ARRAY_SIZE(admin_endpoints);
