// SPDX-License-Identifier: GPL-2.0-or-later
/* What the admin server serves, one row a path: see admin_http.h. */
#include "admin_http.h"

/* https://prometheus.io/docs/instrumenting/exposition_formats/ */
static const char exposition[] = "text/plain; version=0.0.4; charset=utf-8";

static int answer_metrics(const struct admin_config *config, const struct admin_request *q,
			  struct admin_reply *r)
{
	struct metrics_process process = { .worker_restarts = 0 };

	(void)q;
	config->process(config->ctx, &process);
	r->type = exposition;
	return metrics_text(config->metrics, &process, admin_reply_append, r);
}

/* As Envoy spells it. */
static int answer_envoy(const struct admin_config *config, const struct admin_request *q,
			struct admin_reply *r)
{
	struct envoy_view view;

	(void)q;
	config->envoy(config->ctx, &view);
	r->type = "text/plain; charset=UTF-8";
	return envoy_stats_text(&view, admin_reply_append, r);
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
	{ "/metrics", ADMIN_GET, ADMIN_ANYONE, answer_metrics },
	{ "/stats/prometheus", ADMIN_GET, ADMIN_ANYONE, answer_envoy },
	{ "/ready", ADMIN_GET, ADMIN_ANYONE, answer_ready },
	{ "/live", ADMIN_GET, ADMIN_ANYONE, answer_live },
	{ "/flows", ADMIN_GET, ADMIN_LOCAL, admin_answer_flows },
	{ "/drain", ADMIN_POST, ADMIN_ORDER, answer_drain },
	{ "/quit", ADMIN_POST, ADMIN_ORDER, answer_quit },
};

const size_t admin_endpoint_count = ARRAY_SIZE(admin_endpoints);
