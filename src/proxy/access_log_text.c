// SPDX-License-Identifier: GPL-2.0-or-later
/* A line of the access log: see access_log.h. */
#include "access_log.h"

#include "json.h"

#include <stdarg.h>

/* Always with room for the line's end. */
struct line {
	char *out;
	size_t len;
};

/* All pieces together are far below the limit, which is held here all the same. */
#define ROOM (ACCESS_LINE_MAX - 2u)

static void put(struct line *l, const char *fmt, ...) _printf_(2, 3);

static void put(struct line *l, const char *fmt, ...)
{
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(l->out + l->len, ROOM - l->len, fmt, ap);
	va_end(ap);
	if (n > 0)
		l->len = MIN(l->len + (size_t)n, ROOM - 1u);
}

static void put_string(struct line *l, const char *name, struct span value)
{
	put(l, ",\"%s\":\"", name);
	l->len += json_escape(value, l->out + l->len, ROOM - 1u - l->len);
	put(l, "\"");
}

/* A string that is left out when it is empty. */
static void put_some(struct line *l, const char *name, struct span value)
{
	if (value.len)
		put_string(l, name, value);
}

/*
 * The date of @days since 1970-01-01, by the Gregorian calendar: years begin in March, so that the
 * leap day is the last, and 400 of them are 146,097 days.
 */
static void put_date(struct line *l, int64_t days)
{
	int64_t shifted = days + 719468, era = (shifted >= 0 ? shifted : shifted - 146096) / 146097;
	int64_t day = shifted - era * 146097;
	int64_t year = (day - day / 1460 + day / 36524 - day / 146096) / 365;
	int64_t of_year = day - (365 * year + year / 4 - year / 100);
	int64_t month = (5 * of_year + 2) / 153;
	int64_t civil_month = month < 10 ? month + 3 : month - 9;

	year += era * 400 + (civil_month <= 2);
	day = of_year - (153 * month + 2) / 5 + 1;
	put(l, "%04lld-%02lld-%02lld", (long long)year, (long long)civil_month, (long long)day);
}

/* RFC 3339, UTC, with milliseconds. */
static void put_time(struct line *l, int64_t ns)
{
	int64_t ms = ns / 1000000, seconds = ms / 1000, of_day = seconds % 86400;

	put_date(l, seconds / 86400);
	put(l, "T%02d:%02d:%02d.%03dZ", (int)(of_day / 3600), (int)(of_day / 60 % 60),
	    (int)(of_day % 60), (int)(ms % 1000));
}

static void put_end(struct line *l, const char *name, const struct addr *a, uint16_t port)
{
	char text[ADDR_TEXT_MAX];

	if (a->family == ADDR_FAMILY_COUNT)
		return;
	put(l, a->family == ADDR_V6 ? ",\"%s\":\"[%s]:%u\"" : ",\"%s\":\"%s:%u\"", name,
	    addr_text(a, text), port);
}

static void put_seconds(struct line *l, const char *name, uint64_t ns)
{
	put(l, ",\"%s\":%llu.%06llu", name, (unsigned long long)(ns / 1000000000),
	    (unsigned long long)(ns / 1000 % 1000000));
}

static void put_trace(struct line *l, const struct trace *trace)
{
	if (!trace_is_some(trace))
		return;
	put(l, ",\"trace_id\":\"");
	for (size_t i = 0; i < sizeof(trace->trace_id); i++)
		put(l, "%02x", trace->trace_id[i]);
	put(l, "\"");
}

/* What was asked and answered. */
static void put_path(struct line *l, struct span path)
{
	const char *query = path.len ? memchr(path.ptr, '?', path.len) : NULL;
	size_t len = query ? (size_t)(query - path.ptr) : path.len;

	put_some(l, "path", SPAN(path.ptr, len));
	if (query)
		put_some(l, "query", SPAN(query + 1, path.len - len - 1));
}

static void put_request(struct line *l, const struct access_entry *x, struct span path,
			const struct metrics *m, const struct routes *routes)
{
	if (x->kind == ACCESS_GRPC) {
		put_string(l, "rpc_method", metrics_name_text(m, x->detail));
		put_some(l, "rpc_response_status_code", span_str(rpc_status_names[x->rpc_status]));
	} else {
		put_string(l, "method", span_str(http_method_names[x->method]));
		put_some(l, "version", span_str(http_version_names[x->version]));
		put_path(l, path);
		if (x->route && routes)
			put_string(l, "route", span_str(routes_template(routes, x->route)));
	}
	if (x->status)
		put(l, ",\"status\":%u", x->status);
	if (x->error == ERROR_STATUS && x->kind == ACCESS_HTTP)
		put(l, ",\"error_type\":\"%u\"", x->status);
	else if (x->error == ERROR_STATUS)
		put_string(l, "error_type", span_str(rpc_status_names[x->rpc_status]));
	else if (x->error != ERROR_NONE)
		put_string(l, "error_type", span_str(error_type_names[x->error]));
	if (x->first_byte)
		put_seconds(l, "first_byte_seconds", x->first_byte - x->started);
	put_trace(l, &x->trace);
}

static void put_connection(struct line *l, const struct access_entry *x, const struct metrics *m)
{
	put_some(l, "tls_server_name", metrics_name_text(m, x->detail));
	put_string(l, "outcome", span_str(outcome_names[x->outcome]));
}

size_t access_log_line(const struct access_entry *x, struct span path, const struct metrics *m,
		       const struct routes *routes, int64_t clock, char *out)
{
	static const char *const kinds[] = { "http", "grpc", "connection" };
	struct line l = { .out = out };

	put(&l, "{\"time\":\"");
	put_time(&l, (int64_t)x->started + clock);
	put(&l, "\",\"type\":\"%s\",\"flow\":%llu,\"direction\":\"%s\",\"protocol\":\"%s\"",
	    kinds[x->kind], (unsigned long long)x->flow, direction_names[x->direction],
	    protocol_names[x->protocol]);
	put_end(&l, "client", &x->client, x->client_port);
	put_end(&l, "destination", &x->address, x->port);
	put_string(&l, "server_address",
		   x->host_len ? SPAN(x->host, x->host_len) : metrics_name_text(m, x->server_name));
	if (x->kind == ACCESS_CONNECTION)
		put_connection(&l, x, m);
	else
		put_request(&l, x, path, m, routes);
	put(&l, ",\"bytes\":{\"to_server\":%llu,\"to_client\":%llu}",
	    (unsigned long long)x->bytes[WAY_TO_SERVER],
	    (unsigned long long)x->bytes[WAY_TO_CLIENT]);
	put_seconds(&l, "duration_seconds", x->ended - x->started);
	put(&l, "}");
	out[l.len++] = '\n';
	return l.len;
}
