// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The worker: see worker.h.
 *
 * Theory of Operation: thread 0 is the process's first and keeps the clock for all: it sends the
 * beat, when every thread has gone round since the last one, and moves the phase on (thread.h).
 * The admin server has a thread of its own. A stop takes its time: the beat ends, and accepting
 * goes on until the kernel has stopped believing in us and what it had redirected by then has
 * arrived; only then are the listeners closed. A drain that the admin server was told to begin
 * goes the same way, but has no end: the process stays until it is stopped.
 */
#include "worker.h"

#include "admin.h"
#include "heartbeat.h"
#include "log.h"
#include "sandbox.h"
#include "thread.h"

#include <errno.h>
#include <malloc.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <time.h>

/*
 * After the beat's time-out: a handshake that was redirected just before it has this long. The
 * kernel's decision holds for the SYNs that are sent again, the first after a second.
 */
#define LAST_HANDSHAKES_MS 1300

/* So long after a thread had to stop accepting, new connections go direct. */
#define FULL_NS 1000000000ull

/* Unarmed for less than this is no news: a proxy may be started just before the rules are. */
#define UNARMED_NS 3000000000ull

/* Memory is asked back at most so often. */
#define TRIM_NS 1000000000ull

/* What the log says last of the redirect. */
enum said {
	SAID_NOTHING,
	SAID_ARMED,
	SAID_UNARMED,
	SAID_RESTS, /* and the reasons behind it: SAID_RESTS + enum rest */
};

struct worker {
	const struct proxy_config *config;
	struct vitals *vitals;
	struct metrics *metrics;
	struct admin *admin;
	struct quota quota;
	struct thread_shared shared;
	struct thread *threads;
	struct flow_list flows;
	unsigned thread_count;
	struct loop_source stop;
	uint64_t *seen_rounds; /* of each thread, at the last beat */
	uint64_t next_beat;    /* ns */
	uint64_t deadline;     /* ns, when the phase ends; 0: not by time */
	bool staying;	       /* drained by an order, not stopped: the last phase has no end */
	uint64_t started;      /* CLOCK_REALTIME, ns */
	int said;	       /* in the log, of being armed: enum said */
	uint64_t last_armed;   /* ns, of the last beat that the kernel took; 0: none */
	uint64_t begun;	       /* ns */
	uint64_t trimmed;      /* ns */
	_Atomic uint64_t rests[REST_COUNT]; /* beats not sent */
};

static const char *not_ready(void *ctx)
{
	const struct worker *w = ctx;

	/* What was ordered counts at once, also where a new worker has yet to carry it out. */
	return atomic_load(&w->shared.phase) == PHASE_SERVING &&
			       atomic_load(&w->vitals->order) == ORDER_NONE
		       ? NULL
		       : "draining";
}

static const char *take_order(void *ctx, enum vitals_order order)
{
	struct worker *w = ctx;

	/* In shared memory: the parent obeys, too, and so does the next worker. */
	if ((int)order > atomic_load(&w->vitals->order))
		atomic_store(&w->vitals->order, order);
	if (order == ORDER_QUIT)
		return "stopping, as at SIGTERM";
	return "draining: new connections go past this proxy, open ones go on, and it stays until "
	       "it is stopped";
}

/* CLOCK_REALTIME, ns. */
static uint64_t real_time(void)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static void process_facts(void *ctx, struct metrics_process *out)
{
	struct worker *w = ctx;
	int armed = atomic_load(&w->shared.armed);

	*out = (struct metrics_process){
		.armed_known = armed >= 0,
		.armed = armed > 0,
		.worker_restarts = atomic_load(&w->vitals->restarts),
		.observers_off = atomic_load(&w->vitals->observers_off),
		.limit_connections = w->quota.connections,
		.used_connections = atomic_load(&w->shared.connections),
		.limit_memory = w->quota.memory,
		.start_time_ns = w->started,
		.clock_offset = real_time() - loop_clock(),
	};
	access_log_counts(w->shared.log, &out->access_written, &out->access_dropped);
	for (unsigned i = 0; i < REST_COUNT; i++)
		out->rests[i] = atomic_load(&w->rests[i]);
	for (unsigned i = 0; i < w->thread_count; i++) {
		out->backlog += atomic_load(&w->threads[i].backlog);
		out->rounds += atomic_load(&w->threads[i].rounds);
	}
}

static void envoy_facts(void *ctx, struct envoy_view *out)
{
	struct worker *w = ctx;
	struct metrics_memory memory;
	const unsigned failed = 1u << DNS_NEGATIVE | 1u << DNS_FAILED | 1u << DNS_TIMEOUT;

	metrics_memory_read(&memory);
	*out = (struct envoy_view){
		.threads = w->shared.envoy,
		.thread_count = w->config->threads,
		.ports = { w->config->inbound_port, w->config->outbound_port },
		.live = !not_ready(w),
		.uptime_s = (loop_clock() - w->begun) / 1000000000u,
		.connections = atomic_load(&w->shared.connections),
		.memory_allocated = memory.own,
		.memory_heap = memory.reserved,
		.dns_answered = metrics_dns(w->metrics, METRIC_DNS_QUERIES, DNS_ADDRESS,
					    1u << DNS_ANSWERED),
		.dns_failed = metrics_dns(w->metrics, METRIC_DNS_QUERIES, DNS_ADDRESS, failed),
		.dns_added = metrics_dns(w->metrics, METRIC_DNS_CACHE_ADDED, DNS_ADDRESS, 0),
	};
}

static void next_phase(struct worker *w)
{
	const struct proxy_config *c = w->config;
	uint64_t now = loop_clock();
	int phase = atomic_load(&w->shared.phase) + 1;
	unsigned left;

	switch (phase) {
	case PHASE_LEAVING:
		/* From the last beat on that the kernel took: without one nothing comes. */
		w->deadline = MAX(now, w->last_armed +
					       1000000ull * (heartbeat_life_ms(c->beat_timeout_ms) +
							     LAST_HANDSHAKES_MS));
		atomic_store(&w->shared.armed, 0);
		log_info("%s: no heartbeat any more; accepting until the kernel has noticed",
			 w->staying ? "told to drain" : "stopping");
		break;
	case PHASE_DRAINING:
		w->deadline = w->staying ? 0 : now + 1000000ull * c->drain_ms;
		left = atomic_load(&w->shared.connections);
		log_info("draining: %u connection%s", left, plural(left));
		break;
	default:
		phase = PHASE_ENDED;
		w->deadline = 0;
		log_warn("the drain has run out: resetting %u connections",
			 atomic_load(&w->shared.connections));
		break;
	}
	atomic_store_explicit(&w->shared.phase, phase, memory_order_release);
}

/* A stop ends a drain that would have gone on for ever. */
static void stop_drain(struct worker *w)
{
	w->staying = false;
	if (atomic_load(&w->shared.phase) == PHASE_DRAINING)
		w->deadline = loop_clock() + 1000000ull * w->config->drain_ms;
}

static void stop_ready(struct loop_source *source, uint32_t events)
{
	struct worker *w = CONTAINER_OF(source, struct worker, stop);
	eventfd_t steps;

	(void)events;
	/* #syscalls read */
	if (eventfd_read(source->fd, &steps) < 0)
		return;
	if (atomic_load(&w->shared.phase) == PHASE_SERVING) {
		next_phase(w);
		steps--;
	} else if (w->staying) {
		stop_drain(w);
		steps--;
	}
	if (steps > 0) {
		log_info("told again: ending at once");
		atomic_store_explicit(&w->shared.phase, PHASE_ENDED, memory_order_release);
	}
}

/* Whether every thread has gone round since the last beat. */
static bool all_went_round(struct worker *w)
{
	bool all = true;

	for (unsigned i = 0; i < w->thread_count; i++) {
		uint64_t rounds = atomic_load_explicit(&w->threads[i].rounds, memory_order_relaxed);

		all &= rounds != w->seen_rounds[i];
		w->seen_rounds[i] = rounds;
	}
	return all;
}

/* Resident memory; once it is short, without what a burst has left behind. */
static uint64_t measure_memory(struct worker *w, uint64_t now)
{
	uint64_t bytes = metrics_resident_bytes();
	struct usage memory = { .memory = bytes };

	if (quota_near(&w->quota, &memory) == REST_MEMORY && now >= w->trimmed + TRIM_NS) {
		malloc_trim(0);
		w->trimmed = now;
		bytes = metrics_resident_bytes();
	}
	atomic_store(&w->shared.memory_full, bytes >= w->quota.memory);
	return bytes;
}

/* Why new connections had better go direct now, or REST_NONE. */
static enum rest reason_to_rest(struct worker *w, uint64_t now)
{
	struct usage used = {
		.connections = atomic_load(&w->shared.connections),
		.memory = measure_memory(w, now),
	};

	bool refused = false;
	enum rest near;

	if (atomic_load(&w->vitals->rest))
		return REST_CRASHES;
	used.descriptors = 2 * used.connections;
	for (unsigned i = 0; i < w->thread_count; i++) {
		uint64_t paused = atomic_load_explicit(&w->threads[i].paused, memory_order_relaxed);

		refused |= paused && now < paused + FULL_NS;
		used.descriptors += 2 * atomic_load(&w->threads[i].pipes.open);
	}
	near = quota_near(&w->quota, &used);
	return near == REST_NONE && refused ? REST_REFUSED : near;
}

static void say_rests(const struct worker *w, enum rest why)
{
	const struct quota *l = &w->quota;
	char what[64] = "";

	if (why == REST_CONNECTIONS)
		snprintf(what, sizeof(what), "90 %% of %u connections", l->connections);
	else if (why == REST_DESCRIPTORS)
		snprintf(what, sizeof(what), "90 %% of %u descriptors", l->descriptors);
	else if (why == REST_MEMORY)
		snprintf(what, sizeof(what), "90 %% of %llu KiB of memory",
			 (unsigned long long)l->memory >> 10);
	else if (why == REST_REFUSED)
		snprintf(what, sizeof(what), "no room for more connections");
	else
		snprintf(what, sizeof(what), "too many crashes");
	log_warn("%s: new connections go past this proxy for now", what);
}

static void say(struct worker *w, int what)
{
	if (w->said == what)
		return;
	w->said = what;
	if (what > SAID_RESTS)
		say_rests(w, (enum rest)(what - SAID_RESTS));
	else if (what == SAID_ARMED)
		log_info("armed: new connections are redirected here");
	else
		log_warn("not armed: no connection is redirected here, which is fine if none "
			 "is to be: else, is `sluice apply` in place in this network namespace, "
			 "with --proxy-uid=%u and --inbound-port=%u?",
			 geteuid(), w->config->inbound_port);
}

/*
 * One beat, and a line in the log when what comes of it changes: a proxy that nothing is
 * redirected to looks healthy in every other way.
 */
static void beat(struct worker *w, uint64_t now)
{
	enum rest why = reason_to_rest(w, now);
	bool armed = why == REST_NONE && heartbeat_send(w->shared.pod);

	atomic_store(&w->shared.armed, armed);
	if (why == REST_NONE)
		atomic_store(&w->shared.unheard, !armed);
	if (armed) {
		w->last_armed = now;
		say(w, SAID_ARMED);
	} else if (why != REST_NONE) {
		atomic_fetch_add(&w->rests[why], 1);
		say(w, SAID_RESTS + (int)why);
	} else if (now >= MAX(w->last_armed, w->begun) + UNARMED_NS) {
		say(w, SAID_UNARMED);
	}
}

static void tick(struct worker *w)
{
	uint64_t now = loop_clock();

	if (atomic_load_explicit(&w->vitals->order, memory_order_relaxed) == ORDER_DRAIN &&
	    atomic_load(&w->shared.phase) == PHASE_SERVING) {
		w->staying = true;
		next_phase(w);
	}
	if (now >= w->next_beat) {
		w->next_beat = MAX(w->next_beat + 1000000ull * w->config->beat_ms, now);
		if (all_went_round(w)) {
			atomic_fetch_add(&w->vitals->pulse, 1);
			if (atomic_load(&w->shared.phase) == PHASE_SERVING)
				beat(w, now);
		}
	}
	if (w->deadline && now >= w->deadline)
		next_phase(w);
}

static void *thread_main(void *arg)
{
	struct thread *t = arg;

	/* Also without flows of its own, until all end: a thread that is gone would look hung. */
	do
		thread_round(t, UINT64_MAX);
	while (t->phase < PHASE_ENDED);
	return NULL;
}

static int start_admin(struct worker *w, struct err *e)
{
	struct admin_config admin = {
		.metrics = w->metrics,
		.not_ready = not_ready,
		.process = process_facts,
		.order = take_order,
		.open = w->config->admin_open,
		.envoy = envoy_facts,
		.flows = &w->flows,
		.options = &proxy_options,
		.told = w->config->told,
		.ctx = w,
	};

	for (unsigned f = 0; f < ADDR_FAMILY_COUNT; f++) {
		if (w->shared.pod->admin[f] >= 0)
			admin.listeners[admin.listener_count++] = w->shared.pod->admin[f];
	}
	_Static_assert(ADDR_FAMILY_COUNT + PROXY_ADMIN_MAX <= ADMIN_LISTENERS, "room for all");
	for (unsigned i = 0; i < w->shared.pod->admin_more_count; i++)
		admin.listeners[admin.listener_count++] = w->shared.pod->admin_more[i];
	return admin_start(&admin, &w->admin, e);
}

static int start_log(struct worker *w, const struct log_file *file, struct err *e)
{
	const struct access_log_config log = {
		.fd = file->fd,
		.receive = file->receive,
		.threads = w->config->threads,
		.entries = w->config->access_log_buffer,
		.paths = w->config->access_log_target != ACCESS_TARGET_NONE,
		.metrics = w->metrics,
		.routes = w->config->routes,
	};

	return access_log_start(&log, &w->shared.log, e);
}

static int start_threads(struct worker *w, struct err *e)
{
	unsigned count = w->config->threads;
	int rc;

	w->threads = calloc(count, sizeof(*w->threads));
	w->seen_rounds = calloc(count, sizeof(*w->seen_rounds));
	w->shared.envoy = calloc(count, sizeof(*w->shared.envoy));
	if (!w->threads || !w->seen_rounds || !w->shared.envoy)
		return err_set(e, -ENOMEM, "out of memory for %u thread%s", count, plural(count));
	for (unsigned i = 0; i < count; i++) {
		struct thread *t = &w->threads[i];
		struct metrics_shard *shard = metrics_shard_new(w->metrics, e);

		if (!shard)
			return e->code;
		rc = thread_init(t, &w->shared, i, shard, e);
		if (rc < 0)
			return rc;
		w->thread_count++;
		if (i == 0)
			continue;
		/* #syscalls clone */
		rc = pthread_create(&t->handle, NULL, thread_main, t);
		if (rc != 0) {
			thread_fini(t);
			w->thread_count--;
			return err_sys(e, -rc, "cannot start thread %u", i);
		}
	}
	return 0;
}

/* Threads beyond the first end by themselves once the phase says so. */
static void end_threads(struct worker *w)
{
	atomic_store_explicit(&w->shared.phase, PHASE_ENDED, memory_order_release);
	for (unsigned i = 1; i < w->thread_count; i++)
		pthread_join(w->threads[i].handle, NULL);
	for (unsigned i = 0; i < w->thread_count; i++)
		thread_fini(&w->threads[i]);
	free(w->threads);
	free(w->seen_rounds);
	free(w->shared.envoy);
}

static bool others_at_work(struct worker *w)
{
	return atomic_load(&w->shared.phase) < PHASE_ENDED &&
	       atomic_load(&w->shared.connections) > 0;
}

static void serve(struct worker *w)
{
	const struct pod *pod = w->shared.pod;
	bool own = true;

	atomic_store(&w->vitals->ready, true);
	log_info("ready: inbound %u-%u, outbound %u, admin %u", pod->inbound_port,
		 pod->inbound_port + CONTRACT_INBOUND_PORTS - 1u, pod->outbound_port,
		 pod->admin_port);
	while (own || w->staying || others_at_work(w)) {
		uint64_t wake = w->next_beat;

		if (w->deadline)
			wake = MIN(wake, w->deadline);
		own = thread_round(&w->threads[0], wake);
		tick(w);
	}
}

static int init(struct worker *w, int stop_fd, const struct log_file *log, struct err *e)
{
	const struct proxy_config *c = w->config;
	const struct metrics_config metrics = {
		.max_samples = c->max_samples,
		.max_names = {
			[METRIC_NAME_ADDRESS] = 1000,
			[METRIC_NAME_PTR] = 1000,
			[METRIC_NAME_HOST] = 100,
			[METRIC_NAME_SNI] = 100,
			[METRIC_NAME_WORD] = 20,
			[METRIC_NAME_METHOD] = 500,
		},
		.service_name = c->service_name,
		.service_namespace = c->service_namespace,
		.routes = c->routes,
	};
	int rc;

	w->started = real_time();
	w->next_beat = w->begun = loop_clock();
	w->metrics = metrics_new(&metrics, e);
	if (!w->metrics)
		return e->code;
	/* #syscalls eventfd2 */
	w->shared.listed = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (w->shared.listed < 0)
		return err_sys(e, -errno, "cannot make an eventfd");
	rc = log->fd < 0 ? 0 : start_log(w, log, e);
	if (rc == 0)
		rc = start_threads(w, e);
	w->flows = (struct flow_list){ .threads = w->threads,
				       .thread_count = w->thread_count,
				       .answered = w->shared.listed };
	if (rc == 0)
		rc = start_admin(w, e);
	if (rc < 0)
		return rc;
	w->stop = (struct loop_source){ .fd = stop_fd, .ready = stop_ready };
	rc = loop_watch(&w->threads[0].loop, &w->stop, EPOLLIN);
	return rc < 0 ? err_sys(e, rc, "cannot watch for the order to stop") : 0;
}

int worker_run(struct pod *pod, const struct proxy_config *config, struct vitals *vitals,
	       int stop_fd, const struct log_file *log, struct err *e)
{
	struct worker w = {
		.config = config,
		.vitals = vitals,
		.shared = {
			.pod = pod,
			.quota = &w.quota,
			.observers_off = &vitals->observers_off,
			.semconv = (uint8_t)config->semconv,
			.config = config,
			.routes = config->routes,
			.idle_ms = config->beat_ms / 2,
			.thread_count = config->threads,
			.listed = -1,
			.phase = PHASE_SERVING,
			.armed = -1,
			.unheard = true,
			.own = own_new(config->threads),
		},
	};
	int rc;

	quota_init(&w.quota, config, pod);
	/* What a large scrape took is to go back at once, not to raise the threshold for it. */
	mallopt(M_MMAP_THRESHOLD, 128 * 1024);
	rc = w.shared.own ? init(&w, stop_fd, log, e)
			  : err_set(e, -ENOMEM, "out of memory for a worker");
	if (rc == 0)
		rc = sandbox_worker(config, e);
	if (rc == 0)
		serve(&w);
	admin_stop(w.admin);
	end_threads(&w);
	access_log_stop(w.shared.log);
	if (w.shared.listed >= 0)
		close(w.shared.listed);
	metrics_free(w.metrics);
	own_free(w.shared.own);
	return rc;
}
