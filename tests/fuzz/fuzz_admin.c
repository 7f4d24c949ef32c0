// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The admin server's requests: any bytes are cut into heads and answered, as from loopback and as
 * from elsewhere. An answer must be whole HTTP, and what is for loopback must stay there.
 */
#include "admin_http.h"

#include <assert.h>

static const char *not_ready(void *ctx)
{
	(void)ctx;
	return NULL;
}

static void process(void *ctx, struct metrics_process *out)
{
	(void)ctx, (void)out;
}

static void envoy(void *ctx, struct envoy_view *out)
{
	static const struct envoy_stats none;

	(void)ctx;
	*out = (struct envoy_view){ .threads = &none, .thread_count = 1 };
}

static const char *order(void *ctx, enum vitals_order what)
{
	(void)ctx, (void)what;
	return "as you like it";
}

/* The status of an answer that is whole. */
static int status_of(const struct admin_reply *r)
{
	struct span answer = SPAN(r->data + r->start, r->end - r->start);

	assert(span_starts(answer, SPAN_LIT("HTTP/1.1 ")));
	assert(memmem(answer.ptr, answer.len, "\r\n\r\n", 4));
	return atoi(answer.ptr + 9);
}

static void answer(const struct admin_config *config, struct span head)
{
	struct admin_request q;
	bool known = admin_request_parse(head, &q);

	for (int local = 0; local < 2; local++) {
		struct admin_reply reply;
		int status;

		assert(admin_answer(config, local, head, &reply) == 0);
		status = status_of(&reply);
		/* Of what is known, only the query of /flows can be wrong. */
		assert((status == 400) == !known ||
		       (status == 400 && span_eq(q.path, SPAN_LIT("/flows"))));
		for (size_t i = 0; known && i < admin_endpoint_count; i++) {
			const struct admin_endpoint *e = &admin_endpoints[i];

			if (span_eq(q.path, span_str(e->path)) && e->access != ADMIN_ANYONE)
				assert(local || status == 403 || status == 405);
		}
		admin_reply_fini(&reply);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct admin_config config = {
		.not_ready = not_ready, .process = process, .envoy = envoy, .order = order
	};
	const struct metrics_config metrics = { .max_samples = 1000, .max_names = { 10, 10, 10 } };
	struct span rest = SPAN((const char *)data, size);
	size_t len;

	if (!config.metrics)
		config.metrics = metrics_new(&metrics, NULL);
	for (int n = 0; n < 16 && (len = admin_head_len(rest)) > 0; n++) {
		assert(len <= rest.len);
		answer(&config, SPAN(rest.ptr, len));
		rest = SPAN(rest.ptr + len, rest.len - len);
	}
	return 0;
}
