// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Text format 0.0.4: https://prometheus.io/docs/instrumenting/exposition_formats/
 *
 * Written while the owning threads go on counting: each number is one relaxed load. A histogram's
 * count is the sum of the buckets that were read, so the two always agree.
 */
#include "metrics_internal.h"
#include "version.h"

#include <errno.h>

#define OUT_SIZE 16384u
/* Longest piece that is added at once: a line's labels. */
#define LABELS_MAX 1024u

struct out {
	int (*write)(void *to, struct span piece);
	void *to;
	int rc; /* the first failure, then nothing is written any more */
	size_t len;
	char text[OUT_SIZE];
};

static void out_flush(struct out *o)
{
	if (o->len && o->rc == 0)
		o->rc = o->write(o->to, SPAN(o->text, o->len));
	o->len = 0;
}

static void out_span(struct out *o, struct span s)
{
	while (s.len) {
		size_t n = MIN(s.len, OUT_SIZE - o->len);

		memcpy(o->text + o->len, s.ptr, n);
		o->len += n;
		s = SPAN(s.ptr + n, s.len - n);
		if (o->len == OUT_SIZE)
			out_flush(o);
	}
}

static void out_str(struct out *o, const char *s)
{
	out_span(o, span_str(s));
}

static void out_u64(struct out *o, uint64_t value)
{
	char digits[20];
	size_t at = sizeof(digits);

	do {
		digits[--at] = (char)('0' + value % 10);
		value /= 10;
	} while (value);
	out_span(o, SPAN(digits + at, sizeof(digits) - at));
}

__extension__ typedef unsigned __int128 u128;

/* Nanoseconds as seconds, exactly. */
static void out_seconds(struct out *o, u128 ns)
{
	uint32_t fraction = (uint32_t)(ns % 1000000000u);
	char digits[9];
	size_t len = sizeof(digits);

	out_u64(o, (uint64_t)(ns / 1000000000u));
	for (size_t i = sizeof(digits); i > 0; i--) {
		digits[i - 1] = (char)('0' + fraction % 10);
		fraction /= 10;
	}
	while (len > 1 && digits[len - 1] == '0')
		len--;
	out_str(o, ".");
	out_span(o, SPAN(digits, len));
}

static void out_header(struct out *o, const char *name, const char *type, const char *help)
{
	const char *const pieces[] = { "# HELP ", name, " ", help, "\n# TYPE ", name, " ", type };

	for (unsigned i = 0; i < ARRAY_SIZE(pieces); i++)
		out_str(o, pieces[i]);
	out_str(o, "\n");
}

/* name_suffix{labels,le="le"} and a blank. @suffix, @labels may be ""; @le NULL: none. */
static void out_sample(struct out *o, const char *name, const char *suffix, struct span labels,
		       const char *le)
{
	out_str(o, name);
	out_str(o, suffix);
	if (labels.len || le) {
		out_str(o, "{");
		out_span(o, labels);
		if (le) {
			out_str(o, labels.len ? ",le=\"" : "le=\"");
			out_str(o, le);
			out_str(o, "\"");
		}
		out_str(o, "}");
	}
	out_str(o, " ");
}

/* Labels as text, cut never: names are bounded, and the base is added apart. */
struct labels {
	size_t len;
	char text[LABELS_MAX];
};

static void labels_add(struct labels *l, const char *name, struct span value)
{
	int n;

	if (!value.len)
		return;
	n = snprintf(l->text + l->len, sizeof(l->text) - l->len, "%s%s=\"%.*s\"", l->len ? "," : "",
		     name, SPAN_FMT(value));
	l->len += MIN((size_t)n, sizeof(l->text) - 1 - l->len);
}

static const char *const label_names[] = {
	[LABEL_END] = NULL,
	[LABEL_DIRECTION] = "direction",
	[LABEL_WAY] = "way",
	[LABEL_PROTOCOL] = "protocol",
	[LABEL_OUTCOME] = "outcome",
	[LABEL_REASON] = "reason",
	[LABEL_METHOD] = "http_request_method",
	[LABEL_STATUS] = "http_response_status_code",
	[LABEL_SCHEME] = "url_scheme",
	[LABEL_VERSION] = "network_protocol_version",
	[LABEL_ADDRESS] = "server_address",
	[LABEL_PORT] = "server_port",
	[LABEL_ROUTE] = "http_route",
	[LABEL_ERROR] = "error_type",
	[LABEL_RPC_SYSTEM] = "rpc_system_name",
	[LABEL_RPC_METHOD] = "rpc_method",
	[LABEL_RPC_STATUS] = "rpc_response_status_code",
	[LABEL_RPC_ERROR] = "error_type",
	[LABEL_OLD_SYSTEM] = "rpc_system",
	[LABEL_OLD_SERVICE] = "rpc_service",
	[LABEL_OLD_METHOD] = "rpc_method",
	[LABEL_OLD_STATUS] = "rpc_grpc_status_code",
	[LABEL_SNI] = "sni",
	[LABEL_ALPN] = "alpn",
	[LABEL_TLS_VERSION] = "version",
};
_Static_assert(ARRAY_SIZE(label_names) == LABEL_COUNT, "a name for each");

static struct span number(char text[16], unsigned value)
{
	/* None is no label. */
	return SPAN(text, value ? (size_t)snprintf(text, 16, "%u", value) : 0);
}

/* The service of package.Service/Method, or its method; all of what is no such name. */
static struct span half_of(struct span name, bool method)
{
	const char *slash = name.len ? memrchr(name.ptr, '/', name.len) : NULL;
	size_t at = slash ? (size_t)(slash - name.ptr) : name.len;

	if (!slash)
		return name;
	return method ? SPAN(slash + 1, name.len - at - 1) : SPAN(name.ptr, at);
}

/* The text of a label's value; empty: the label is absent. @text is room for a number. */
static struct span label_value(const struct metrics *m, const struct metric_key *key,
			       enum metric_label label, char text[16])
{
	switch (label) {
	case LABEL_DIRECTION:
		return span_str(direction_names[key->direction]);
	case LABEL_WAY:
		return span_str(way_names[key->way]);
	case LABEL_REASON:
		return span_str(lost_reason_names[key->lost]);
	case LABEL_SCHEME:
		return SPAN_LIT("http");
	case LABEL_RPC_SYSTEM:
	case LABEL_OLD_SYSTEM:
		return SPAN_LIT("grpc");
	default:
		break;
	}
	if (key->reserved == KEY_OVERFLOW) {
		bool absent = label == LABEL_ERROR || label == LABEL_RPC_ERROR ||
			      (label == LABEL_ROUTE && !m->routes);

		return absent ? SPAN_LIT("") : SPAN_LIT("_OTHER");
	}
	switch (label) {
	case LABEL_PROTOCOL:
		return span_str(protocol_names[key->protocol]);
	case LABEL_OUTCOME:
		return span_str(outcome_names[key->outcome]);
	case LABEL_METHOD:
		return span_str(http_method_names[key->method]);
	case LABEL_STATUS:
		return number(text, key->status);
	case LABEL_VERSION:
		return span_str(http_version_names[key->version]);
	case LABEL_ADDRESS:
	case LABEL_SNI:
		return metric_names_text(&m->names, key->name);
	case LABEL_PORT:
		return number(text, key->port);
	case LABEL_ROUTE:
		return span_str(key->detail ? routes_template(m->routes, (uint16_t)key->detail)
					    : "");
	case LABEL_ERROR:
		if (key->error == ERROR_STATUS)
			return number(text, key->status);
		return span_str(error_type_names[key->error]);
	case LABEL_RPC_METHOD:
	case LABEL_ALPN:
		return metric_names_text(&m->names, key->detail);
	case LABEL_RPC_STATUS:
		return span_str(rpc_status_names[key->status]);
	case LABEL_RPC_ERROR:
		if (key->error == ERROR_STATUS)
			return span_str(rpc_status_names[key->status]);
		return span_str(error_type_names[key->error]);
	case LABEL_OLD_SERVICE:
	case LABEL_OLD_METHOD:
		return half_of(metric_names_text(&m->names, key->detail),
			       label == LABEL_OLD_METHOD);
	case LABEL_OLD_STATUS:
		if (key->status == RPC_STATUS_MISSING)
			return SPAN_LIT("missing");
		return SPAN(text, (size_t)snprintf(text, 16, "%u", key->status));
	case LABEL_TLS_VERSION:
		return span_str(tls_version_names[key->version]);
	default:
		return SPAN_LIT("");
	}
}

static void labels_of(const struct metrics *m, const struct metric_key *key, struct labels *out)
{
	const uint8_t *label = metric_infos[key->metric].labels;
	char text[16];

	out->len = 0;
	for (int i = 0; i < METRIC_LABELS_MAX && label[i] != LABEL_END; i++)
		labels_add(out, label_names[label[i]],
			   label_value(m, key, (enum metric_label)label[i], text));
}

static uint64_t load(const _Atomic uint64_t *from)
{
	return atomic_load_explicit(from, memory_order_relaxed);
}

/* The parts of a series of every shard, added up. */
struct total {
	uint64_t buckets[METRIC_BUCKETS_MAX];
	u128 sum;
	uint64_t value;
};

static u128 histogram_sum(const struct metric_histogram *h)
{
	uint64_t wraps, sum;

	/* The sum wraps once in centuries; then two loads must belong together. */
	do {
		wraps = load(&h->sum_wraps);
		sum = load(&h->sum);
	} while (wraps != load(&h->sum_wraps));
	return (u128)wraps << 64 | sum;
}

static void total_of(const struct metric_series *x, struct total *t)
{
	const struct metric_info *info = &metric_infos[x->key.metric];
	const struct metric_part *part = atomic_load_explicit(&x->parts, memory_order_acquire);

	*t = (struct total){ .sum = 0 };
	for (; part; part = part->next) {
		if (info->type != METRIC_HISTOGRAM) {
			t->value += load(&part->value.value);
			continue;
		}
		t->sum += histogram_sum(&part->histogram);
		for (unsigned i = 0; i <= info->bounds->count; i++)
			t->buckets[i] += load(&part->histogram.buckets[i]);
	}
}

static void out_histogram(struct out *o, const struct metric_info *info, struct span labels,
			  const struct total *t)
{
	uint64_t count = 0;

	for (unsigned i = 0; i <= info->bounds->count; i++) {
		count += t->buckets[i];
		out_sample(o, info->name, "_bucket", labels,
			   i < info->bounds->count ? info->bounds->texts[i] : "+Inf");
		out_u64(o, count);
		out_str(o, "\n");
	}
	out_sample(o, info->name, "_sum", labels, NULL);
	if (info->bounds->seconds)
		out_seconds(o, t->sum);
	else
		out_u64(o, (uint64_t)t->sum);
	out_str(o, "\n");
	out_sample(o, info->name, "_count", labels, NULL);
	out_u64(o, count);
	out_str(o, "\n");
}

/* The base labels and @own, joined in @joined. */
static struct span join(const struct metrics *m, const struct labels *own, char *joined)
{
	size_t base = strlen(m->base_labels);
	char *at = joined;

	memcpy(at, m->base_labels, base);
	at += base;
	if (base && own->len)
		*at++ = ',';
	memcpy(at, own->text, own->len);
	at += own->len;
	return SPAN(joined, (size_t)(at - joined));
}

static void out_metric(struct out *o, struct metrics *m, enum metric metric, char *joined)
{
	static const char *const types[] = { "counter", "gauge", "histogram" };
	const struct metric_info *info = &metric_infos[metric];
	const struct metric_series *x =
		atomic_load_explicit(&m->first[metric], memory_order_acquire);
	struct labels own;
	struct total t;

	if (x)
		out_header(o, info->name, types[info->type], info->help);
	for (; x && o->rc == 0; x = atomic_load_explicit(&x->next, memory_order_acquire)) {
		struct span labels;

		labels_of(m, &x->key, &own);
		labels = join(m, &own, joined);
		total_of(x, &t);
		if (info->type == METRIC_HISTOGRAM) {
			out_histogram(o, info, labels, &t);
			continue;
		}
		out_sample(o, info->name, "", labels, NULL);
		if (info->type == METRIC_GAUGE && (int64_t)t.value < 0) {
			out_str(o, "-");
			t.value = -t.value;
		}
		out_u64(o, t.value);
		out_str(o, "\n");
	}
}

/* One series that is not in the registry. */
struct fact {
	const char *name, *type, *help;
	uint64_t value;
	bool ns; /* nanoseconds, printed as seconds */
};

static void out_rests(struct out *o, struct metrics *m, const uint64_t rests[REST_COUNT],
		      char *joined)
{
	struct labels own;

	out_header(o, "sluice_heartbeats_withheld_total", "counter",
		   "Heartbeats that were not sent, so that new connections go past the proxy.");
	for (int reason = REST_NONE + 1; reason < REST_COUNT; reason++) {
		own.len = 0;
		labels_add(&own, "reason", span_str(rest_names[reason]));
		out_sample(o, "sluice_heartbeats_withheld_total", "", join(m, &own, joined), NULL);
		out_u64(o, rests[reason]);
		out_str(o, "\n");
	}
}

static void out_facts(struct out *o, struct metrics *m, const struct metrics_process *p,
		      char *joined)
{
	struct labels none = { .len = 0 };
	struct span base;
	struct metrics_self self;

	metrics_self_read(&self);
	const struct fact facts[] = {
		{ "sluice_worker_restarts_total", "counter", "Workers started after one that died.",
		  p->worker_restarts, false },
		{ "sluice_connections_limit", "gauge", "Connections that may be open at once.",
		  p->limit_connections, false },
		{ "sluice_connections_used", "gauge", "Connections that count against the limit.",
		  p->used_connections, false },
		{ "sluice_memory_limit_bytes", "gauge",
		  "What process_resident_memory_bytes may be.", p->limit_memory, false },
		{ "sluice_backlog_bytes", "gauge",
		  "Bytes that were read and wait for a slow reader.", p->backlog, false },
		{ "sluice_observers_off", "gauge",
		  "Whether nothing is observed of new connections, after too many crashes.",
		  p->observers_off, false },
		{ "sluice_loop_rounds_total", "counter", "Times that event loops went round.",
		  p->rounds, false },
		{ "sluice_samples_limit", "gauge",
		  "Lines of series that there may be before _OTHER takes the rest.", m->samples_max,
		  false },
		{ "sluice_samples_used", "gauge", "Lines of series that there are.",
		  atomic_load_explicit(&m->samples, memory_order_relaxed), false },
		{ "process_cpu_seconds_total", "counter", "User and system time of the worker.",
		  self.cpu_ns, true },
		{ "process_resident_memory_bytes", "gauge",
		  "Memory of the worker that is resident.", self.resident_bytes, false },
		{ "process_open_fds", "gauge", "Descriptors that the worker has open.",
		  self.open_fds, false },
		{ "process_max_fds", "gauge", "Descriptors that it may have open.", self.max_fds,
		  false },
		{ "process_start_time_seconds", "gauge",
		  "When the worker started, in seconds since 1970.", p->start_time_ns, true },
	};

	out_rests(o, m, p->rests, joined);
	base = join(m, &none, joined);
	if (p->armed_known) {
		out_header(o, "sluice_armed", "gauge",
			   "Whether the kernel redirects new connections to this proxy.");
		out_sample(o, "sluice_armed", "", base, NULL);
		out_str(o, p->armed ? "1\n" : "0\n");
	}
	for (unsigned i = 0; i < ARRAY_SIZE(facts); i++) {
		out_header(o, facts[i].name, facts[i].type, facts[i].help);
		out_sample(o, facts[i].name, "", base, NULL);
		if (facts[i].ns)
			out_seconds(o, facts[i].value);
		else
			out_u64(o, facts[i].value);
		out_str(o, "\n");
	}
}

/* How near the bounds on names are. */
static void out_names(struct out *o, struct metrics *m, bool limit, char *joined)
{
	const char *name = limit ? "sluice_names_limit" : "sluice_names_used";
	struct labels own;

	out_header(o, name, "gauge",
		   limit ? "Distinct names in labels at most." : "Distinct names in labels.");
	for (int kind = 0; kind < METRIC_NAME_KIND_COUNT; kind++) {
		own.len = 0;
		labels_add(&own, "kind", span_str(metric_name_kinds[kind]));
		out_sample(o, name, "", join(m, &own, joined), NULL);
		out_u64(o,
			limit ? m->names.max[kind]
			      : atomic_load_explicit(&m->names.used[kind], memory_order_relaxed));
		out_str(o, "\n");
	}
}

static void out_infos(struct out *o, struct metrics *m, char *joined)
{
	struct labels own = { .len = 0 };

	if (*m->base_labels) {
		out_header(o, "target_info", "gauge", "The service that is observed.");
		out_sample(o, "target_info", "", join(m, &own, joined), NULL);
		out_str(o, "1\n");
	}
	out_header(o, "sluice_build_info", "gauge", "The program's version.");
	labels_add(&own, "version", span_str(VERSION));
	out_sample(o, "sluice_build_info", "", join(m, &own, joined), NULL);
	out_str(o, "1\n");
	out_header(
		o, "sluice_series_overflow_total", "counter",
		"Times that a series beyond the bound on samples was asked for and _OTHER taken.");
	for (int metric = 0; metric < METRIC_COUNT; metric++) {
		own.len = 0;
		labels_add(&own, "metric", span_str(metric_infos[metric].name));
		out_sample(o, "sluice_series_overflow_total", "", join(m, &own, joined), NULL);
		out_u64(o, load(&m->overflowed[metric]));
		out_str(o, "\n");
	}
}

int metrics_text(struct metrics *m, const struct metrics_process *process,
		 int (*write)(void *to, struct span piece), void *to)
{
	_cleanup_free_ char *joined = malloc(strlen(m->base_labels) + 1 + LABELS_MAX);
	_cleanup_free_ struct out *o = malloc(sizeof(*o));

	if (!joined || !o)
		return err_set(NULL, -ENOMEM, "out of memory for metrics");
	o->write = write;
	o->to = to;
	o->rc = 0;
	o->len = 0;
	for (int metric = 0; metric < METRIC_COUNT; metric++)
		out_metric(o, m, (enum metric)metric, joined);
	out_infos(o, m, joined);
	out_names(o, m, true, joined);
	out_names(o, m, false, joined);
	out_facts(o, m, process, joined);
	out_flush(o);
	return o->rc;
}
