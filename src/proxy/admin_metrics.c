// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The answers to /metrics and /stats/prometheus.
 *
 * The first is made as it goes out: a client that takes it slowly holds a piece of it, the page's
 * 20 KiB, and, if it wants it compressed, the compressor's 100 KiB. The second is short, and whole.
 */
#include "admin_http.h"
#include "gzip.h"
#include "negotiate.h"

#include <errno.h>

static const char *const format_types[] = {
	/* https://prometheus.io/docs/instrumenting/exposition_formats/ */
	[METRICS_TEXT] = "text/plain; version=0.0.4; charset=utf-8",
	/* https://prometheus.io/docs/specs/om/open_metrics_spec/ */
	[METRICS_OPENMETRICS] = "application/openmetrics-text; version=1.0.0; charset=utf-8",
};
_Static_assert(ARRAY_SIZE(format_types) == METRICS_FORMAT_COUNT, "one for each");

#define VARY "Vary: Accept, Accept-Encoding\r\n"

/* A compressor if the client takes that, and there is memory for it; else NULL. Says so in @r. */
static struct gzip *compressor(const struct admin_request *q, struct admin_reply *r)
{
	struct gzip *g = negotiate_gzip(q->fields) ? gzip_new(admin_reply_append, r) : NULL;

	r->fields = g ? "Content-Encoding: gzip\r\n" VARY : VARY;
	return g;
}

/* An answer to /metrics. */
struct scrape {
	struct metrics_page *page;
	struct gzip *gzip; /* or NULL */
};

static void scrape_free(void *source)
{
	struct scrape *s = source;

	gzip_free(s->gzip);
	free(s->page);
	free(s);
}

/* The compressor keeps what it can: on until there is something to send. */
static int more(struct admin_reply *r)
{
	struct scrape *s = r->source;
	size_t had = r->end;
	int rc;

	/* Answers move when another client goes. */
	if (s->gzip)
		gzip_redirect(s->gzip, r);
	do {
		rc = s->gzip ? metrics_page_next(s->page, gzip_write, s->gzip)
			     : metrics_page_next(s->page, admin_reply_append, r);
	} while (rc > 0 && r->end == had);
	if (rc == 0 && s->gzip)
		rc = gzip_finish(s->gzip);
	return rc == 0 ? -ENODATA : rc;
}

int admin_answer_metrics(const struct admin_config *config, const struct admin_request *q,
			 struct admin_reply *r)
{
	enum metrics_format format = negotiate_format(q->fields);
	struct metrics_process process = { .worker_restarts = 0 };
	struct scrape *s = calloc(1, sizeof(*s));

	config->process(config->ctx, &process);
	if (s)
		s->page = metrics_page_new(config->metrics, &process, format);
	if (!s || !s->page) {
		free(s);
		return -ENOMEM;
	}
	r->type = format_types[format];
	s->gzip = compressor(q, r);
	r->source = s;
	r->source_free = scrape_free;
	r->more = more;
	return 0;
}

/* As Envoy spells it. */
int admin_answer_envoy(const struct admin_config *config, const struct admin_request *q,
		       struct admin_reply *r)
{
	struct gzip *g = compressor(q, r);
	struct envoy_view view;
	int rc;

	config->envoy(config->ctx, &view);
	r->type = "text/plain; charset=UTF-8";
	rc = g ? envoy_stats_text(&view, gzip_write, g)
	       : envoy_stats_text(&view, admin_reply_append, r);
	if (rc == 0 && g)
		rc = gzip_finish(g);
	gzip_free(g);
	return rc;
}
