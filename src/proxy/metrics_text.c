// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Text format 0.0.4: https://prometheus.io/docs/instrumenting/exposition_formats/
 * OpenMetrics 1.0.0: https://prometheus.io/docs/specs/om/open_metrics_spec/
 *
 * The second differs in how families are called, in exemplars, and in its last line.
 *
 * Written while the owning threads go on counting: each number is one relaxed load. A histogram's
 * count is the sum of the buckets that were read, so the two always agree.
 */
#include "metrics_internal.h"
#include "version.h"
#include "writer.h"

#include <errno.h>

/* What comes after all metrics of the table, in order. */
enum tail {
	TAIL_INFOS = METRIC_COUNT,
	TAIL_NAMES,
	TAIL_FACTS,
	TAIL_END,
};

struct metrics_page {
	struct writer w;
	struct metrics *m;
	struct metrics_process process;
	struct metrics_self self;
	enum metrics_format format;
	unsigned part;			  /* the next one: enum metric, then enum tail */
	const struct metric_series *next; /* of the metric, when it has been begun */
	char joined[];			  /* room for a series' labels, the service's included */
};

static bool ends_in(struct span s, struct span end)
{
	return s.len > end.len && memcmp(s.ptr + s.len - end.len, end.ptr, end.len) == 0;
}

/* OpenMetrics calls a family by what its samples' names have before their suffix. */
static void out_header(struct metrics_page *p, const char *name, const char *type, const char *help)
{
	struct span family = span_str(name);

	if (p->format == METRICS_OPENMETRICS && ends_in(family, SPAN_LIT("_total"))) {
		family.len -= 6;
	} else if (p->format == METRICS_OPENMETRICS && ends_in(family, SPAN_LIT("_info"))) {
		family.len -= 5;
		type = "info";
	}
	writer_str(&p->w, "# HELP ");
	writer_span(&p->w, family);
	writer_str(&p->w, " ");
	writer_str(&p->w, help);
	writer_str(&p->w, "\n# TYPE ");
	writer_span(&p->w, family);
	writer_str(&p->w, " ");
	writer_str(&p->w, type);
	writer_str(&p->w, "\n");
}

/* name_suffix{labels,le="le"} and a blank. @suffix, @labels may be ""; @le NULL: none. */
static void out_sample(struct metrics_page *p, const char *name, const char *suffix,
		       struct span labels, const char *le)
{
	writer_str(&p->w, name);
	writer_str(&p->w, suffix);
	if (labels.len || le) {
		writer_str(&p->w, "{");
		writer_span(&p->w, labels);
		if (le) {
			writer_str(&p->w, labels.len ? ",le=\"" : "le=\"");
			writer_str(&p->w, le);
			writer_str(&p->w, "\"");
		}
		writer_str(&p->w, "}");
	}
	writer_str(&p->w, " ");
}

static uint64_t load(const _Atomic uint64_t *from)
{
	return atomic_load_explicit(from, memory_order_relaxed);
}

/* An example of a bucket; @at 0: there is none. */
struct example {
	struct trace trace;
	uint64_t value, at; /* of the metric's unit; CLOCK_MONOTONIC, ns */
};

/* The parts of a series of every shard, added up; of examples the latest. */
struct total {
	uint64_t buckets[METRIC_BUCKETS_MAX];
	u128 sum;
	uint64_t value;
	struct example examples[METRIC_BUCKETS_MAX];
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

/* Reads an exemplar that may be changing. */
static void example_read(const struct metric_exemplar *x, struct example *out)
{
	uint64_t words[ARRAY_SIZE(x->words)] = { 0 };
	uint32_t before, after;

	do {
		before = atomic_load_explicit(&x->sequence, memory_order_acquire);
		for (unsigned i = 0; i < ARRAY_SIZE(words); i++)
			words[i] = atomic_load_explicit(&x->words[i], memory_order_acquire);
		after = atomic_load_explicit(&x->sequence, memory_order_relaxed);
	} while (before != after || before & 1);
	memcpy(&out->trace, words, sizeof(out->trace));
	out->value = words[3];
	out->at = words[4];
}

static void examples_of(const struct metric_histogram *h, struct example *out)
{
	const struct metric_exemplar *x = atomic_load_explicit(&h->exemplars, memory_order_acquire);

	for (; x; x = x->next) {
		struct example one;

		example_read(x, &one);
		if (one.at > out[x->bucket].at)
			out[x->bucket] = one;
	}
}

static void total_of(const struct metric_series *x, struct total *t, bool examples)
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
		if (examples)
			examples_of(&part->histogram, t->examples);
	}
}

uint64_t metrics_dns(const struct metrics *m, enum metric metric, enum dns_question question,
		     unsigned results)
{
	const struct metric_series *x =
		atomic_load_explicit(&m->first[metric], memory_order_acquire);
	uint64_t sum = 0;
	struct total t;

	for (; x; x = atomic_load_explicit(&x->next, memory_order_acquire)) {
		if (x->key.question != question || (results && !(results >> x->key.result & 1)))
			continue;
		total_of(x, &t, false);
		sum += t.value;
	}
	return sum;
}

static void out_hex(struct metrics_page *p, const uint8_t *bytes, size_t count)
{
	static const char digits[] = "0123456789abcdef";

	for (size_t i = 0; i < count; i++) {
		const char two[] = { digits[bytes[i] >> 4], digits[bytes[i] & 15] };

		writer_span(&p->w, SPAN(two, sizeof(two)));
	}
}

static void out_value(struct metrics_page *p, const struct metric_bounds *bounds, u128 value)
{
	if (bounds->seconds)
		writer_seconds(&p->w, value);
	else
		writer_u64(&p->w, (uint64_t)value);
}

static void out_example(struct metrics_page *p, const struct metric_bounds *bounds,
			const struct example *x)
{
	writer_str(&p->w, " # {trace_id=\"");
	out_hex(p, x->trace.trace_id, sizeof(x->trace.trace_id));
	writer_str(&p->w, "\",span_id=\"");
	out_hex(p, x->trace.span_id, sizeof(x->trace.span_id));
	writer_str(&p->w, "\"} ");
	out_value(p, bounds, x->value);
	writer_str(&p->w, " ");
	writer_seconds(&p->w, x->at + p->process.clock_offset);
}

static void out_histogram(struct metrics_page *p, const struct metric_info *info,
			  struct span labels, const struct total *t)
{
	uint64_t count = 0;

	for (unsigned i = 0; i <= info->bounds->count; i++) {
		count += t->buckets[i];
		out_sample(p, info->name, "_bucket", labels,
			   i < info->bounds->count ? info->bounds->texts[i] : "+Inf");
		writer_u64(&p->w, count);
		if (t->examples[i].at)
			out_example(p, info->bounds, &t->examples[i]);
		writer_str(&p->w, "\n");
	}
	out_sample(p, info->name, "_sum", labels, NULL);
	out_value(p, info->bounds, t->sum);
	writer_str(&p->w, "\n");
	out_sample(p, info->name, "_count", labels, NULL);
	writer_u64(&p->w, count);
	writer_str(&p->w, "\n");
}

/* The service's labels and @own; valid until the next call. */
static struct span join(struct metrics_page *p, const struct metric_labels *own)
{
	size_t base = strlen(p->m->base_labels);
	char *at = p->joined;

	memcpy(at, p->m->base_labels, base);
	at += base;
	if (base && own->len)
		*at++ = ',';
	memcpy(at, own->text, own->len);
	at += own->len;
	return SPAN(p->joined, (size_t)(at - p->joined));
}

static void out_series(struct metrics_page *p, const struct metric_series *x)
{
	const struct metric_info *info = &metric_infos[x->key.metric];
	struct metric_labels own;
	struct span labels;
	struct total t;

	metric_labels_of(p->m, &x->key, &own);
	labels = join(p, &own);
	total_of(x, &t, p->format == METRICS_OPENMETRICS);
	if (info->type == METRIC_HISTOGRAM) {
		out_histogram(p, info, labels, &t);
		return;
	}
	out_sample(p, info->name, "", labels, NULL);
	if (info->type == METRIC_GAUGE && (int64_t)t.value < 0) {
		writer_str(&p->w, "-");
		t.value = -t.value;
	}
	writer_u64(&p->w, t.value);
	writer_str(&p->w, "\n");
}

/* The next series of a metric. False: there is none any more. */
static bool out_metric(struct metrics_page *p, enum metric metric)
{
	static const char *const types[] = { "counter", "gauge", "histogram" };
	const struct metric_info *info = &metric_infos[metric];
	const struct metric_series *x = p->next;

	if (!x) {
		x = atomic_load_explicit(&p->m->first[metric], memory_order_acquire);
		if (!x)
			return false;
		out_header(p, info->name, types[info->type], info->help);
	}
	out_series(p, x);
	p->next = atomic_load_explicit(&x->next, memory_order_acquire);
	return p->next;
}

/* One series that is not in the registry. */
struct fact {
	const char *name, *type, *help;
	uint64_t value;
	bool ns; /* nanoseconds, printed as seconds */
};

static void out_rests(struct metrics_page *p)
{
	const uint64_t *rests = p->process.rests;
	struct metric_labels own;

	out_header(p, "sluice_heartbeats_withheld_total", "counter",
		   "Heartbeats that were not sent, so that new connections go past the proxy.");
	for (int reason = REST_NONE + 1; reason < REST_COUNT; reason++) {
		own.len = 0;
		metric_labels_add(&own, "reason", span_str(rest_names[reason]));
		out_sample(p, "sluice_heartbeats_withheld_total", "", join(p, &own), NULL);
		writer_u64(&p->w, rests[reason]);
		writer_str(&p->w, "\n");
	}
}

static void out_facts(struct metrics_page *p)
{
	const struct metrics_process *process = &p->process;
	struct metrics *m = p->m;
	struct metric_labels none = { .len = 0 };
	struct span base;
	const struct metrics_self *self = &p->self;
	const struct fact facts[] = {
		{ "sluice_worker_restarts_total", "counter", "Workers started after one that died.",
		  process->worker_restarts, false },
		{ "sluice_connections_limit", "gauge", "Connections that may be open at once.",
		  process->limit_connections, false },
		{ "sluice_connections_used", "gauge", "Connections that count against the limit.",
		  process->used_connections, false },
		{ "sluice_memory_limit_bytes", "gauge",
		  "What process_resident_memory_bytes may be.", process->limit_memory, false },
		{ "sluice_backlog_bytes", "gauge",
		  "Bytes that were read and wait for a slow reader.", process->backlog, false },
		{ "sluice_observers_off", "gauge",
		  "Whether nothing is observed of new connections, after too many crashes.",
		  process->observers_off, false },
		{ "sluice_access_log_lines_total", "counter", "Lines of the access log.",
		  process->access_written, false },
		{ "sluice_access_log_dropped_total", "counter",
		  "Lines of the access log that were not written.", process->access_dropped,
		  false },
		{ "sluice_loop_rounds_total", "counter", "Times that event loops went round.",
		  process->rounds, false },
		{ "sluice_samples_limit", "gauge",
		  "Lines of series that there may be before _OTHER takes the rest.", m->samples_max,
		  false },
		{ "sluice_samples_used", "gauge", "Lines of series that there are.",
		  atomic_load_explicit(&m->samples, memory_order_relaxed), false },
		{ "process_cpu_seconds_total", "counter", "User and system time of the worker.",
		  self->cpu_ns, true },
		{ "process_resident_memory_bytes", "gauge",
		  "Memory of the worker that is resident.", self->resident_bytes, false },
		{ "process_open_fds", "gauge", "Descriptors that the worker has open.",
		  self->open_fds, false },
		{ "process_max_fds", "gauge", "Descriptors that it may have open.", self->max_fds,
		  false },
		{ "process_start_time_seconds", "gauge",
		  "When the worker started, in seconds since 1970.", process->start_time_ns, true },
	};

	out_rests(p);
	base = join(p, &none);
	if (process->armed_known) {
		out_header(p, "sluice_armed", "gauge",
			   "Whether the kernel redirects new connections to this proxy.");
		out_sample(p, "sluice_armed", "", base, NULL);
		writer_str(&p->w, process->armed ? "1\n" : "0\n");
	}
	for (unsigned i = 0; i < ARRAY_SIZE(facts); i++) {
		out_header(p, facts[i].name, facts[i].type, facts[i].help);
		out_sample(p, facts[i].name, "", base, NULL);
		if (facts[i].ns)
			writer_seconds(&p->w, facts[i].value);
		else
			writer_u64(&p->w, facts[i].value);
		writer_str(&p->w, "\n");
	}
}

/* How near the bounds on names are. */
static void out_names(struct metrics_page *p, bool limit)
{
	struct metrics *m = p->m;
	const char *name = limit ? "sluice_names_limit" : "sluice_names_used";
	struct metric_labels own;

	out_header(p, name, "gauge",
		   limit ? "Distinct names in labels at most." : "Distinct names in labels.");
	for (int kind = 0; kind < METRIC_NAME_KIND_COUNT; kind++) {
		own.len = 0;
		metric_labels_add(&own, "kind", span_str(metric_name_kinds[kind]));
		out_sample(p, name, "", join(p, &own), NULL);
		writer_u64(&p->w, limit ? m->names.max[kind]
					: atomic_load_explicit(&m->names.used[kind],
							       memory_order_relaxed));
		writer_str(&p->w, "\n");
	}
}

static void out_infos(struct metrics_page *p)
{
	struct metrics *m = p->m;
	struct metric_labels own = { .len = 0 };

	if (*m->base_labels) {
		out_header(p, "target_info", "gauge", "The service that is observed.");
		out_sample(p, "target_info", "", join(p, &own), NULL);
		writer_str(&p->w, "1\n");
	}
	out_header(p, "sluice_build_info", "gauge", "The program's version.");
	metric_labels_add(&own, "version", span_str(VERSION));
	out_sample(p, "sluice_build_info", "", join(p, &own), NULL);
	writer_str(&p->w, "1\n");
	out_header(
		p, "sluice_series_overflow_total", "counter",
		"Times that a series beyond the bound on samples was asked for and _OTHER taken.");
	for (int metric = 0; metric < METRIC_COUNT; metric++) {
		own.len = 0;
		metric_labels_add(&own, "metric", span_str(metric_infos[metric].name));
		out_sample(p, "sluice_series_overflow_total", "", join(p, &own), NULL);
		writer_u64(&p->w, load(&m->overflowed[metric]));
		writer_str(&p->w, "\n");
	}
}

struct metrics_page *metrics_page_new(struct metrics *m, const struct metrics_process *process,
				      enum metrics_format format)
{
	struct metrics_page *p =
		malloc(sizeof(*p) + strlen(m->base_labels) + 1 + METRIC_LABELS_TEXT);

	if (!p)
		return NULL;
	p->w.rc = 0;
	p->w.len = 0;
	p->m = m;
	p->process = *process;
	/* Now, not when its turn comes: the caller has a descriptor for it. */
	metrics_self_read(&p->self);
	p->format = format;
	p->part = 0;
	p->next = NULL;
	return p;
}

/* What follows the metrics of the table. */
static void out_tail(struct metrics_page *p, enum tail tail)
{
	switch (tail) {
	case TAIL_INFOS:
		out_infos(p);
		break;
	case TAIL_NAMES:
		out_names(p, true);
		out_names(p, false);
		break;
	case TAIL_FACTS:
		out_facts(p);
		if (p->format == METRICS_OPENMETRICS)
			writer_str(&p->w, "# EOF\n");
		break;
	case TAIL_END:
		break;
	}
}

int metrics_page_next(struct metrics_page *p, int (*write)(void *to, struct span piece), void *to)
{
	p->w.write = write;
	p->w.to = to;
	while (p->part < TAIL_END && p->w.rc == 0 && p->w.len < WRITER_SIZE - 4096u) {
		if (p->part >= TAIL_INFOS)
			out_tail(p, (enum tail)p->part);
		else if (out_metric(p, (enum metric)p->part))
			continue;
		p->part++;
	}
	writer_flush(&p->w);
	return p->w.rc < 0 ? p->w.rc : p->part < TAIL_END;
}

int metrics_text(struct metrics *m, const struct metrics_process *process,
		 enum metrics_format format, int (*write)(void *to, struct span piece), void *to)
{
	_cleanup_free_ struct metrics_page *p = metrics_page_new(m, process, format);
	int rc;

	if (!p)
		return err_set(NULL, -ENOMEM, "out of memory for metrics");
	do {
		rc = metrics_page_next(p, write, to);
	} while (rc > 0);
	return rc;
}
