// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Text format 0.0.4: https://prometheus.io/docs/instrumenting/exposition_formats/
 *
 * Written while the owning threads go on counting: each number is one relaxed load. A histogram's
 * count is the sum of the buckets that were read, so the two always agree.
 */
#include "metrics_internal.h"
#include "version.h"
#include "writer.h"

#include <errno.h>

static void out_header(struct writer *o, const char *name, const char *type, const char *help)
{
	const char *const pieces[] = { "# HELP ", name, " ", help, "\n# TYPE ", name, " ", type };

	for (unsigned i = 0; i < ARRAY_SIZE(pieces); i++)
		writer_str(o, pieces[i]);
	writer_str(o, "\n");
}

/* name_suffix{labels,le="le"} and a blank. @suffix, @labels may be ""; @le NULL: none. */
static void out_sample(struct writer *o, const char *name, const char *suffix, struct span labels,
		       const char *le)
{
	writer_str(o, name);
	writer_str(o, suffix);
	if (labels.len || le) {
		writer_str(o, "{");
		writer_span(o, labels);
		if (le) {
			writer_str(o, labels.len ? ",le=\"" : "le=\"");
			writer_str(o, le);
			writer_str(o, "\"");
		}
		writer_str(o, "}");
	}
	writer_str(o, " ");
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

static void out_histogram(struct writer *o, const struct metric_info *info, struct span labels,
			  const struct total *t)
{
	uint64_t count = 0;

	for (unsigned i = 0; i <= info->bounds->count; i++) {
		count += t->buckets[i];
		out_sample(o, info->name, "_bucket", labels,
			   i < info->bounds->count ? info->bounds->texts[i] : "+Inf");
		writer_u64(o, count);
		writer_str(o, "\n");
	}
	out_sample(o, info->name, "_sum", labels, NULL);
	if (info->bounds->seconds)
		writer_seconds(o, t->sum);
	else
		writer_u64(o, (uint64_t)t->sum);
	writer_str(o, "\n");
	out_sample(o, info->name, "_count", labels, NULL);
	writer_u64(o, count);
	writer_str(o, "\n");
}

/* The base labels and @own, joined in @joined. */
static struct span join(const struct metrics *m, const struct metric_labels *own, char *joined)
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

static void out_metric(struct writer *o, struct metrics *m, enum metric metric, char *joined)
{
	static const char *const types[] = { "counter", "gauge", "histogram" };
	const struct metric_info *info = &metric_infos[metric];
	const struct metric_series *x =
		atomic_load_explicit(&m->first[metric], memory_order_acquire);
	struct metric_labels own;
	struct total t;

	if (x)
		out_header(o, info->name, types[info->type], info->help);
	for (; x && o->rc == 0; x = atomic_load_explicit(&x->next, memory_order_acquire)) {
		struct span labels;

		metric_labels_of(m, &x->key, &own);
		labels = join(m, &own, joined);
		total_of(x, &t);
		if (info->type == METRIC_HISTOGRAM) {
			out_histogram(o, info, labels, &t);
			continue;
		}
		out_sample(o, info->name, "", labels, NULL);
		if (info->type == METRIC_GAUGE && (int64_t)t.value < 0) {
			writer_str(o, "-");
			t.value = -t.value;
		}
		writer_u64(o, t.value);
		writer_str(o, "\n");
	}
}

/* One series that is not in the registry. */
struct fact {
	const char *name, *type, *help;
	uint64_t value;
	bool ns; /* nanoseconds, printed as seconds */
};

static void out_rests(struct writer *o, struct metrics *m, const uint64_t rests[REST_COUNT],
		      char *joined)
{
	struct metric_labels own;

	out_header(o, "sluice_heartbeats_withheld_total", "counter",
		   "Heartbeats that were not sent, so that new connections go past the proxy.");
	for (int reason = REST_NONE + 1; reason < REST_COUNT; reason++) {
		own.len = 0;
		metric_labels_add(&own, "reason", span_str(rest_names[reason]));
		out_sample(o, "sluice_heartbeats_withheld_total", "", join(m, &own, joined), NULL);
		writer_u64(o, rests[reason]);
		writer_str(o, "\n");
	}
}

static void out_facts(struct writer *o, struct metrics *m, const struct metrics_process *p,
		      char *joined)
{
	struct metric_labels none = { .len = 0 };
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
		{ "sluice_access_log_lines_total", "counter", "Lines of the access log.",
		  p->access_written, false },
		{ "sluice_access_log_dropped_total", "counter",
		  "Lines of the access log that were not written.", p->access_dropped, false },
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
		writer_str(o, p->armed ? "1\n" : "0\n");
	}
	for (unsigned i = 0; i < ARRAY_SIZE(facts); i++) {
		out_header(o, facts[i].name, facts[i].type, facts[i].help);
		out_sample(o, facts[i].name, "", base, NULL);
		if (facts[i].ns)
			writer_seconds(o, facts[i].value);
		else
			writer_u64(o, facts[i].value);
		writer_str(o, "\n");
	}
}

/* How near the bounds on names are. */
static void out_names(struct writer *o, struct metrics *m, bool limit, char *joined)
{
	const char *name = limit ? "sluice_names_limit" : "sluice_names_used";
	struct metric_labels own;

	out_header(o, name, "gauge",
		   limit ? "Distinct names in labels at most." : "Distinct names in labels.");
	for (int kind = 0; kind < METRIC_NAME_KIND_COUNT; kind++) {
		own.len = 0;
		metric_labels_add(&own, "kind", span_str(metric_name_kinds[kind]));
		out_sample(o, name, "", join(m, &own, joined), NULL);
		writer_u64(o, limit ? m->names.max[kind]
				    : atomic_load_explicit(&m->names.used[kind],
							   memory_order_relaxed));
		writer_str(o, "\n");
	}
}

static void out_infos(struct writer *o, struct metrics *m, char *joined)
{
	struct metric_labels own = { .len = 0 };

	if (*m->base_labels) {
		out_header(o, "target_info", "gauge", "The service that is observed.");
		out_sample(o, "target_info", "", join(m, &own, joined), NULL);
		writer_str(o, "1\n");
	}
	out_header(o, "sluice_build_info", "gauge", "The program's version.");
	metric_labels_add(&own, "version", span_str(VERSION));
	out_sample(o, "sluice_build_info", "", join(m, &own, joined), NULL);
	writer_str(o, "1\n");
	out_header(
		o, "sluice_series_overflow_total", "counter",
		"Times that a series beyond the bound on samples was asked for and _OTHER taken.");
	for (int metric = 0; metric < METRIC_COUNT; metric++) {
		own.len = 0;
		metric_labels_add(&own, "metric", span_str(metric_infos[metric].name));
		out_sample(o, "sluice_series_overflow_total", "", join(m, &own, joined), NULL);
		writer_u64(o, load(&m->overflowed[metric]));
		writer_str(o, "\n");
	}
}

int metrics_text(struct metrics *m, const struct metrics_process *process,
		 int (*write)(void *to, struct span piece), void *to)
{
	_cleanup_free_ char *joined = malloc(strlen(m->base_labels) + 1 + METRIC_LABELS_TEXT);
	_cleanup_free_ struct writer *o = malloc(sizeof(*o));

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
	writer_flush(o);
	return o->rc;
}
