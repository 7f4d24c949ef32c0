// SPDX-License-Identifier: GPL-2.0-or-later
/* What the admin server serves, one row a path: see admin_http.h. */
#include "admin_http.h"

#include "gzip.h"
#include "negotiate.h"
#include "page.h"

static const char *const format_types[] = {
	/* https://prometheus.io/docs/instrumenting/exposition_formats/ */
	[METRICS_TEXT] = "text/plain; version=0.0.4; charset=utf-8",
	/* https://prometheus.io/docs/specs/om/open_metrics_spec/ */
	[METRICS_OPENMETRICS] = "application/openmetrics-text; version=1.0.0; charset=utf-8",
};
_Static_assert(ARRAY_SIZE(format_types) == METRICS_FORMAT_COUNT, "one for each");

#define VARY "Vary: Accept, Accept-Encoding\r\n"

/* Where the content goes to: compressed if the client takes that, and there is memory for it. */
struct sink {
	int (*write)(void *to, struct span piece);
	void *to;
	struct gzip *gzip; /* owned, or NULL */
};

static void sink_open(struct sink *s, const struct admin_request *q, struct admin_reply *r)
{
	*s = (struct sink){ .write = admin_reply_append, .to = r };
	r->fields = VARY;
	if (!negotiate_gzip(q->fields))
		return;
	s->gzip = gzip_new(admin_reply_append, r);
	if (!s->gzip)
		return;
	s->write = gzip_write;
	s->to = s->gzip;
	r->fields = "Content-Encoding: gzip\r\n" VARY;
}

/* Everything was written, or @rc says why not. */
static int sink_close(struct sink *s, int rc)
{
	if (rc == 0 && s->gzip)
		rc = gzip_finish(s->gzip);
	gzip_free(s->gzip);
	return rc;
}

static int answer_metrics(const struct admin_config *config, const struct admin_request *q,
			  struct admin_reply *r)
{
	enum metrics_format format = negotiate_format(q->fields);
	struct metrics_process process = { .worker_restarts = 0 };
	struct sink s;

	config->process(config->ctx, &process);
	r->type = format_types[format];
	sink_open(&s, q, r);
	return sink_close(&s, metrics_text(config->metrics, &process, format, s.write, s.to));
}

/* As Envoy spells it. */
static int answer_envoy(const struct admin_config *config, const struct admin_request *q,
			struct admin_reply *r)
{
	struct envoy_view view;
	struct sink s;

	config->envoy(config->ctx, &view);
	r->type = "text/plain; charset=UTF-8";
	sink_open(&s, q, r);
	return sink_close(&s, envoy_stats_text(&view, s.write, s.to));
}

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
	{ "/metrics", ADMIN_GET, ADMIN_ANYONE, answer_metrics },
	{ "/stats/prometheus", ADMIN_GET, ADMIN_ANYONE, answer_envoy },
	{ "/ready", ADMIN_GET, ADMIN_ANYONE, answer_ready },
	{ "/live", ADMIN_GET, ADMIN_ANYONE, answer_live },
	{ "/flows", ADMIN_GET, ADMIN_LOCAL, admin_answer_flows },
	{ "/config", ADMIN_GET, ADMIN_LOCAL, admin_answer_config },
	{ "/drain", ADMIN_POST, ADMIN_ORDER, answer_drain },
	{ "/quit", ADMIN_POST, ADMIN_ORDER, answer_quit },
};

const size_t admin_endpoint_count = ARRAY_SIZE(admin_endpoints);
