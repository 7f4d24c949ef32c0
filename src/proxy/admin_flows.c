// SPDX-License-Identifier: GPL-2.0-or-later
/* /flows: what flows there are, as JSON, a page at a time (flow_list.h). */
#include "admin_http.h"

#include "parse.h"

#include <errno.h>

/* Flows in one answer, where the request names no other limit. */
#define LIMIT 10000u

/* An answer in the making. */
struct listing {
	struct flow_reader *reader;
	uint32_t limit, count;
	bool begun;
};

static void listing_free(void *source)
{
	struct listing *l = source;

	flow_reader_free(l->reader);
	free(l);
}

/* "10.0.0.1:80", "[fd00::1]:80", or null, as JSON. */
static const char *end_text(const union sockaddr_any *sa, char text[ADDR_TEXT_MAX + 16])
{
	char address[ADDR_TEXT_MAX];
	struct addr a;

	if (sa->sa.sa_family == AF_UNSPEC)
		return "null";
	a = sockaddr_addr(sa);
	snprintf(text, ADDR_TEXT_MAX + 16, a.family == ADDR_V6 ? "\"[%s]:%u\"" : "\"%s:%u\"",
		 addr_text(&a, address), sockaddr_port(sa));
	return text;
}

/* Nothing in it needs an escape: names of ours, addresses, numbers. */
static int append_row(struct admin_reply *r, const struct flow_row *row, bool first)
{
	char client[ADDR_TEXT_MAX + 16], to[ADDR_TEXT_MAX + 16], upstream[ADDR_TEXT_MAX + 16];
	char text[512];
	int n = snprintf(text, sizeof(text),
			 "%s\n{\"id\":%llu,\"direction\":\"%s\",\"protocol\":\"%s\","
			 "\"state\":\"%s\",\"client\":%s,\"destination\":%s,\"upstream\":%s,"
			 "\"age_seconds\":%llu.%03llu,\"bytes\":{\"to_server\":%llu,"
			 "\"to_client\":%llu},\"requests\":%u}",
			 first ? "" : ",", (unsigned long long)row->id,
			 direction_names[row->direction], protocol_names[row->protocol], row->state,
			 end_text(&row->client, client), end_text(&row->destination, to),
			 end_text(&row->upstream, upstream),
			 (unsigned long long)(row->age_ns / 1000000000),
			 (unsigned long long)(row->age_ns / 1000000 % 1000),
			 (unsigned long long)row->bytes[WAY_TO_SERVER],
			 (unsigned long long)row->bytes[WAY_TO_CLIENT], row->requests);

	return admin_reply_append(r, SPAN(text, (size_t)n));
}

/* The end of the document: whether there would have been more. */
static int append_end(struct admin_reply *r, const struct listing *l, bool cut)
{
	char text[64];
	int n = snprintf(text, sizeof(text), "\n],\"listed\":%u,\"truncated\":%s}\n", l->count,
			 cut ? "true" : "false");

	return admin_reply_append(r, SPAN(text, (size_t)n)) < 0 ? -ENOMEM : -ENODATA;
}

static int more(struct admin_reply *r)
{
	struct listing *l = r->source;
	const struct flow_page *page;
	int rc = flow_reader_next(l->reader, &page);

	if (rc == 0)
		return 0;
	if (!l->begun && admin_reply_append(r, SPAN_LIT("{\"flows\":[")) < 0)
		return -ENOMEM;
	l->begun = true;
	if (rc == -ENODATA)
		return append_end(r, l, false);
	for (unsigned i = 0; i < page->count; i++) {
		if (l->count == l->limit)
			return append_end(r, l, true);
		if (append_row(r, &page->rows[i], l->count == 0) < 0)
			return -ENOMEM;
		l->count++;
	}
	return 1;
}

/* The limit that the query names, "limit=N" of several. False: it is none. */
static bool read_limit(struct span query, uint32_t *limit)
{
	struct span pair;
	bool done = false;

	while (span_next(&query, '&', &pair, &done)) {
		if (span_starts(pair, SPAN_LIT("limit=")) &&
		    parse_u32(SPAN(pair.ptr + 6, pair.len - 6), 0, UINT32_MAX, limit, NULL) < 0)
			return false;
	}
	return true;
}

int admin_answer_flows(const struct admin_config *config, const struct admin_request *q,
		       struct admin_reply *r)
{
	struct listing *l;
	uint32_t limit = LIMIT;

	if (!read_limit(q->query, &limit))
		return admin_reply_line(r, 400, "limit: a number from 0 to 4294967295");
	l = malloc(sizeof(*l));
	if (!l)
		return -ENOMEM;
	*l = (struct listing){ .reader = config->flows ? flow_reader_new(config->flows) : NULL,
			       .limit = limit };
	if (!l->reader) {
		free(l);
		return admin_reply_line(r, 503, "others are reading the flows: try again");
	}
	r->type = admin_json_type;
	r->fields = admin_json_fields;
	r->source = l;
	r->source_free = listing_free;
	r->more = more;
	return 0;
}
