// SPDX-License-Identifier: GPL-2.0-or-later
/* One data thread of the worker: see thread.h. */
#include "thread.h"

#include "forward.h"
#include "log.h"
#include "upstream.h"

#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <sys/socket.h>

/* A burst of connections must not keep flows that have data waiting. */
#define ACCEPTS_PER_TURN 64

/* Of each listener, before it is closed: more than its queue holds, but no flood for ever. */
#define ACCEPTS_AT_END 10000

#define PAUSE_NS 20000000u

/* A flow that lives longer gets keepalive; most do not, and are spared the system calls. */
#define SETTLE_NS 1000000000u

/* Fewer flows, or bytes of backlog, than this at once are no burst worth a walk over the heap. */
#define TRIM_MIN	 100
#define TRIM_BACKLOG_MIN (512u << 10)

/* No more connections now: those that come wait in the listeners' queues. */
static bool is_full(const struct thread_shared *shared)
{
	return atomic_load_explicit(&shared->connections, memory_order_relaxed) >=
		       shared->quota->connections ||
	       atomic_load_explicit(&shared->memory_full, memory_order_relaxed);
}

static void accept_ready(struct loop_source *source, uint32_t events)
{
	struct acceptor *a = CONTAINER_OF(source, struct acceptor, source);
	struct thread *t = a->thread;

	(void)events;
	for (unsigned i = 0; i < ACCEPTS_PER_TURN; i++) {
		int fd;

		if (is_full(t->shared)) {
			thread_pause_accepting(t);
			return;
		}
		/* #syscalls accept4 */
		fd = accept4(source->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
		if (fd >= 0) {
			t->now = loop_clock();
			flow_accept(t, a->listener, fd);
			continue;
		}
		if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
			thread_pause_accepting(t);
			return;
		}
		/* What else accept(2) reports is the lost connection's; the next may be fine. */
		if (errno == EAGAIN || !source->registered)
			return;
	}
}

void thread_pause_accepting(struct thread *t)
{
	uint64_t now = loop_clock();

	for (size_t i = 0; i < t->acceptor_count; i++)
		loop_unwatch(&t->loop, &t->acceptors[i].source);
	t->accept_again = now + PAUSE_NS;
	atomic_store_explicit(&t->paused, now, memory_order_relaxed);
}

bool thread_spend_spare(struct thread *t)
{
	thread_pause_accepting(t);
	if (t->spare_fd < 0)
		return false;
	close(t->spare_fd);
	t->spare_fd = -1;
	return true;
}

/* The same with the spare descriptor: a connection cannot be put back into the queue. */
static int connect_somehow(struct thread *t, const union sockaddr_any *to,
			   const union sockaddr_any *from, int *fd)
{
	int rc = upstream_connect(to, from, fd);

	if (rc == -EMFILE && thread_spend_spare(t))
		rc = upstream_connect(to, from, fd);
	return rc;
}

static bool is_unheard(const struct thread *t)
{
	return atomic_load_explicit(&t->shared->unheard, memory_order_relaxed);
}

/* The same, told to all who may accept it. */
static int connect_openly(struct thread *t, const union sockaddr_any *to,
			  const union sockaddr_any *from, uint8_t before, int *fd,
			  struct own_claim *claim)
{
	struct own *own = t->shared->own;
	union sockaddr_any local;
	socklen_t len = sizeof(local);
	bool begun;
	int rc;

	own_begin(own, t->index, to);
	rc = connect_somehow(t, to, from, fd);
	/* #syscalls getsockname */
	begun = (rc == 0 || rc == -EINPROGRESS) && getsockname(*fd, &local.sa, &len) == 0;
	own_claim(own, t->index, begun ? &local : NULL, before, claim);
	return rc;
}

int thread_connect(struct thread *t, const union sockaddr_any *to, const union sockaddr_any *from,
		   uint8_t before, struct loop_source *source, struct own_claim *claim)
{
	int rc = is_unheard(t) ? connect_openly(t, to, from, before, &source->fd, claim)
			       : connect_somehow(t, to, from, &source->fd);

	if (rc != -EINPROGRESS)
		return rc;
	rc = loop_watch(&t->loop, source, EPOLLOUT);
	return rc < 0 ? rc : -EINPROGRESS;
}

/* Who has made the connection @fd. */
static bool get_peer(int fd, union sockaddr_any *peer)
{
	socklen_t len = sizeof(*peer);

	/* #syscalls getpeername */
	return getpeername(fd, &peer->sa, &len) == 0;
}

unsigned thread_own_before(struct thread *t, int fd)
{
	union sockaddr_any peer;

	return is_unheard(t) && get_peer(fd, &peer) ? own_before(t->shared->own, &peer) : 0;
}

unsigned thread_own_before_now(struct thread *t, int fd, const union sockaddr_any *to)
{
	union sockaddr_any peer;

	return is_unheard(t) && get_peer(fd, &peer) ? own_before_now(t->shared->own, &peer, to) : 0;
}

static int watch_acceptors(struct thread *t)
{
	/* Any descriptor will do. #syscalls fcntl */
	if (t->spare_fd < 0)
		t->spare_fd = fcntl(t->loop.epoll_fd, F_DUPFD_CLOEXEC, 0);
	if (t->spare_fd < 0)
		return -errno;
	for (size_t i = 0; i < t->acceptor_count; i++) {
		int rc = loop_watch(&t->loop, &t->acceptors[i].source, EPOLLIN);

		if (rc < 0)
			return rc;
	}
	t->accept_again = 0;
	return 0;
}

/* Accepts what is still in the queues, then closes them. */
static void close_acceptors(struct thread *t)
{
	for (size_t i = 0; i < t->acceptor_count; i++) {
		struct loop_source *source = &t->acceptors[i].source;
		int fd;

		for (unsigned n = 0; n < ACCEPTS_AT_END; n++) {
			fd = accept4(source->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
			if (fd < 0 && errno != ECONNABORTED && errno != EINTR)
				break;
			if (fd < 0)
				continue;
			t->now = loop_clock();
			flow_accept(t, t->acceptors[i].listener, fd);
		}
		loop_unwatch(&t->loop, source);
		close(source->fd);
	}
	t->acceptor_count = 0;
	t->accept_again = 0;
}

int thread_init(struct thread *t, struct thread_shared *shared, unsigned index,
		struct metrics_shard *shard, struct err *e)
{
	struct pod *pod = shared->pod;
	int rc;

	*t = (struct thread){
		.shared = shared,
		.recorder = { .shard = shard,
			      .names = { .cluster = &shared->config->cluster_cidrs,
					 .shard = shard },
			      .envoy = &shared->envoy[index],
			      .routes = shared->routes,
			      .semconv = shared->semconv,
			      .log = access_log_ring(shared->log, index),
			      .log_target = shared->log ? (uint8_t)shared->config->access_log_target
							: (uint8_t)ACCESS_TARGET_NONE,
			      .last_id = index,
			      .id_step = shared->thread_count },
		.index = index,
		.phase = PHASE_SERVING,
		.pipes = { .limit = shared->quota->pipes },
		.spare_fd = -1,
		.timed_wake = UINT64_MAX,
		.lister = { .source = { .fd = -1 } },
	};
	rc = loop_open(&t->loop, e);
	if (rc < 0)
		return rc;
	t->resolver = resolver_new(
		&(struct resolver_config){ .resolv_conf = shared->config->resolv_conf }, &t->loop,
		shard, e);
	if (!t->resolver) {
		thread_fini(t);
		return e->code;
	}
	if (!shared->config->no_ptr)
		t->recorder.names.resolver = t->resolver;
	t->buffer = malloc(FLOW_BUFFER);
	t->acceptors = calloc(pod->listener_count, sizeof(*t->acceptors));
	if (!t->buffer || !t->acceptors) {
		thread_fini(t);
		return err_set(e, -ENOMEM, "out of memory for a thread");
	}
	for (size_t i = 0; i < pod->listener_count; i++) {
		const struct pod_listener *listener = &pod->listeners[i];

		if (listener->thread != index)
			continue;
		t->acceptors[t->acceptor_count++] = (struct acceptor){
			.source = { .fd = listener->fd, .ready = accept_ready },
			.thread = t,
			.listener = listener,
		};
	}
	rc = flow_lister_init(&t->lister, &t->loop, shared->listed);
	if (rc == 0)
		rc = watch_acceptors(t);
	if (rc < 0) {
		thread_fini(t);
		return err_sys(e, rc, "cannot watch a listener");
	}
	return 0;
}

static void reset_all(struct thread *t)
{
	t->now = loop_clock();
	while (t->flows)
		flow_reset(t->flows, OUTCOME_DRAIN);
}

static void free_ended(struct thread *t)
{
	while (t->ended) {
		struct flow *f = t->ended;

		t->ended = f->next;
		flow_free(f);
	}
}

void thread_fini(struct thread *t)
{
	reset_all(t);
	free_ended(t);
	pipe_pool_fini(&t->pipes);
	flow_lister_fini(&t->lister);
	resolver_free(t->resolver);
	t->resolver = NULL;
	loop_close(&t->loop);
	if (t->spare_fd >= 0)
		close(t->spare_fd);
	t->spare_fd = -1;
	free(t->acceptors);
	free(t->buffer);
	t->acceptors = NULL;
	t->buffer = NULL;
}

static void follow_phase(struct thread *t)
{
	int phase = atomic_load_explicit(&t->shared->phase, memory_order_acquire);

	if (phase == t->phase)
		return;
	t->phase = phase;
	if (phase < PHASE_DRAINING)
		return;
	close_acceptors(t);
	forward_drain(t);
}

/*
 * Gives the memory of a burst back: free(3) keeps what lies below anything that is still in use,
 * so the heap is trimmed once most of what it grew for has gone.
 */
static void give_back(struct thread *t)
{
	uint64_t backlog = atomic_load_explicit(&t->backlog, memory_order_relaxed);

	t->most_flows = MAX(t->most_flows, t->flow_count);
	if ((t->most_flows < TRIM_MIN || t->flow_count > t->most_flows / 4) &&
	    (t->most_backlog < TRIM_BACKLOG_MIN || backlog > t->most_backlog / 4))
		return;
	malloc_trim(0);
	t->most_flows = t->flow_count;
	t->most_backlog = backlog;
}

/* Once a second: settles the flows that have come of age, which lie between young and settled. */
static void housekeeping(struct thread *t)
{
	uint64_t now = loop_clock();

	if (now < t->next_housekeeping)
		return;
	t->next_housekeeping = now + SETTLE_NS;
	for (struct flow *f = t->flows; f && !f->settled; f = f->next) {
		if (now - f->record.opened >= SETTLE_NS)
			flow_settle(f);
	}
	give_back(t);
}

static int wait_ms(const struct thread *t, uint64_t wake)
{
	uint64_t now = loop_clock(), ms;

	if (t->accept_again)
		wake = MIN(wake, t->accept_again);
	if (t->timed)
		wake = MIN(wake, t->timed_wake);
	wake = MIN(wake, resolver_wake(t->resolver));
	if (wake <= now)
		return 0;
	ms = (wake - now + 999999) / 1000000;
	return (int)MIN(ms, t->shared->idle_ms);
}

bool thread_round(struct thread *t, uint64_t wake)
{
	loop_wait(&t->loop, wait_ms(t, wake));
	free_ended(t);
	resolver_tick(t->resolver);
	forward_tick(t);
	atomic_fetch_add_explicit(&t->rounds, 1, memory_order_relaxed);
	follow_phase(t);
	housekeeping(t);
	if (t->accept_again && loop_clock() >= t->accept_again && watch_acceptors(t) < 0)
		thread_pause_accepting(t);
	return t->phase < PHASE_DRAINING || (t->phase == PHASE_DRAINING && t->flow_count > 0);
}
