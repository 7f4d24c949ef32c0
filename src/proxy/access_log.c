// SPDX-License-Identifier: GPL-2.0-or-later
/* The access log: see access_log.h. */
#include "access_log.h"

#include "log.h"
#include "log_file.h"
#include "side_thread.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <time.h>

#define BUFFER_SIZE (16u * ACCESS_LINE_MAX)
#define STACK_SIZE  (64u << 10)
/* After lines were written, more are let gather for so long: a wake-up for each is dear. */
#define GATHER_MS 20
/* A look at the rings at least this often, whatever became of the wake-up. */
#define LOOK_MS 1000
/* What a stop waits for lines to be written, and then for the thread. */
#define LAST_LINES_NS 2000000000ull
#define LAST_WAIT_S   3

struct access_log {
	struct access_log_config config;
	pthread_t thread;
	int wake; /* eventfd: entries, or the stop */
	_Atomic bool asleep;
	_Atomic bool stopping;
	_Atomic uint64_t written, dropped; /* dropped: lines that could not be written */
	bool failing;			   /* the last write failed, and was told */
	bool torn;			   /* a line was written in part, and its rest dropped */
	bool mending; /* the buffer begins with the end of that line, which is counted already */
	char *buffer; /* BUFFER_SIZE bytes */
	size_t start, end; /* lines in it */
	struct access_ring *rings[];
};

struct access_ring *access_log_ring(struct access_log *log, unsigned index)
{
	return log ? log->rings[index] : NULL;
}

struct access_entry *access_ring_claim(struct access_ring *ring)
{
	uint64_t head = atomic_load_explicit(&ring->head, memory_order_relaxed);
	uint64_t tail = atomic_load_explicit(&ring->tail, memory_order_acquire);
	uint64_t dropped;

	if (likely(head - tail <= ring->mask))
		return &ring->entries[head & ring->mask];
	dropped = atomic_load_explicit(&ring->dropped, memory_order_relaxed);
	atomic_store_explicit(&ring->dropped, dropped + 1, memory_order_relaxed);
	return NULL;
}

void access_ring_path(struct access_ring *ring, struct span path)
{
	uint64_t head = atomic_load_explicit(&ring->head, memory_order_relaxed);
	struct access_path *out = ring->paths ? &ring->paths[head & ring->mask] : NULL;

	if (!out)
		return;
	out->len = (uint8_t)MIN(path.len, (size_t)ACCESS_PATH_MAX);
	if (out->len)
		memcpy(out->text, path.ptr, out->len);
}

void access_ring_publish(struct access_ring *ring)
{
	struct access_log *log = ring->log;
	uint64_t head = atomic_load_explicit(&ring->head, memory_order_relaxed);

	/* In one order with `asleep`: either we see it asleep, or it sees the entry. */
	atomic_store(&ring->head, head + 1);
	/* #syscalls write */
	if (atomic_load(&log->asleep) && atomic_exchange(&log->asleep, false))
		eventfd_write(log->wake, 1);
}

static bool is_empty(const struct access_ring *ring)
{
	return atomic_load(&ring->head) == atomic_load_explicit(&ring->tail, memory_order_relaxed);
}

static bool all_empty(const struct access_log *log)
{
	for (unsigned i = 0; i < log->config.threads; i++) {
		if (!is_empty(log->rings[i]))
			return false;
	}
	return true;
}

static uint64_t clock_ns(clockid_t id)
{
	struct timespec t;

	clock_gettime(id, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static struct span path_of(const struct access_ring *ring, uint64_t at)
{
	const struct access_path *path = ring->paths ? &ring->paths[at & ring->mask] : NULL;

	return path ? SPAN(path->text, path->len) : SPAN("", 0);
}

/* Makes lines of the oldest entry of each ring in turn, while there is room for a line. */
static void take_entries(struct access_log *log)
{
	int64_t clock = (int64_t)(clock_ns(CLOCK_REALTIME) - clock_ns(CLOCK_MONOTONIC));

	log->start = log->end = 0;
	log->mending = log->torn && !all_empty(log);
	if (log->mending)
		log->buffer[log->end++] = '\n';
	while (!all_empty(log)) {
		for (unsigned i = 0; i < log->config.threads; i++) {
			struct access_ring *ring = log->rings[i];
			uint64_t tail = atomic_load_explicit(&ring->tail, memory_order_relaxed);

			if (is_empty(ring))
				continue;
			if (BUFFER_SIZE - log->end < ACCESS_LINE_MAX)
				return;
			log->end +=
				access_log_line(&ring->entries[tail & ring->mask],
						path_of(ring, tail), log->config.metrics,
						log->config.routes, clock, log->buffer + log->end);
			atomic_store_explicit(&ring->tail, tail + 1, memory_order_release);
		}
	}
}

/* Lines that end in these bytes of the buffer. */
static uint64_t count_lines(const struct access_log *log, struct span text)
{
	uint64_t lines = 0;

	for (size_t i = log->mending && text.ptr == log->buffer; i < text.len; i++)
		lines += text.ptr[i] == '\n';
	return lines;
}

/* The next lines to write: whole ones, of not more than a pipe takes at once. */
static struct span next_lines(const struct access_log *log)
{
	size_t len = MIN(log->end - log->start, (size_t)ACCESS_LINE_MAX);
	const char *end = memrchr(log->buffer + log->start, '\n', len);

	return SPAN(log->buffer + log->start,
		    end ? (size_t)(end + 1 - log->buffer) - log->start : len);
}

static void write_failed(struct access_log *log, int error)
{
	struct span rest = SPAN(log->buffer + log->start, log->end - log->start);

	atomic_fetch_add(&log->dropped, count_lines(log, rest));
	if (log->start)
		log->torn = rest.ptr[-1] != '\n';
	log->start = log->end;
	if (!log->failing)
		log_warn("cannot write the access log: %s: dropping lines until it can be written",
			 strerror(error));
	log->failing = true;
}

/* Writes some of the lines, if there is room for them now. */
static void write_lines(struct access_log *log)
{
	struct span lines = next_lines(log);
	ssize_t n = write(log->config.fd, lines.ptr, lines.len);

	if (n < 0) {
		if (errno != EAGAIN && errno != EINTR)
			write_failed(log, errno);
		return;
	}
	atomic_fetch_add(&log->written, count_lines(log, SPAN(lines.ptr, (size_t)n)));
	log->torn = false;
	log->start += (size_t)n;
	if (log->failing)
		log_info("the access log can be written again");
	log->failing = false;
}

/* Waits for room or the wake-up, at most @ms; whether there is room. */
static bool wait_room(const struct access_log *log, int ms)
{
	struct pollfd p[] = {
		{ .fd = log->config.fd, .events = POLLOUT },
		{ .fd = log->wake, .events = POLLIN },
	};

	/* #syscalls poll ppoll */
	return poll(p, atomic_load(&log->stopping) ? 1 : 2, ms) > 0 && p[0].revents;
}

/* Waits for entries. */
static void sleep_on_it(struct access_log *log)
{
	struct pollfd wake = { .fd = log->wake, .events = POLLIN };
	eventfd_t times;

	if (!atomic_load(&log->stopping))
		poll(NULL, 0, GATHER_MS);
	atomic_store(&log->asleep, true);
	if (all_empty(log) && !atomic_load(&log->stopping))
		poll(&wake, 1, LOOK_MS);
	atomic_store(&log->asleep, false);
	/* #syscalls read */
	eventfd_read(log->wake, &times);
}

static void *log_main(void *arg)
{
	struct access_log *log = arg;
	uint64_t stopped = 0;

	/* #syscalls prctl */
	prctl(PR_SET_NAME, "access-log");
	for (;;) {
		bool stopping = atomic_load(&log->stopping);

		if (stopping && !stopped)
			stopped = clock_ns(CLOCK_MONOTONIC);
		if (stopped && clock_ns(CLOCK_MONOTONIC) - stopped > LAST_LINES_NS)
			break;
		if (log->start == log->end) {
			/* A line that was torn stays where it is. */
			if (log_file_take(log->config.receive, log->config.fd))
				log->torn = false;
			take_entries(log);
		}
		if (log->start == log->end) {
			if (stopping)
				break;
			sleep_on_it(log);
		} else if (wait_room(log, stopping ? 100 : LOOK_MS)) {
			write_lines(log);
		}
	}
	return NULL;
}

void access_log_counts(const struct access_log *log, uint64_t *written, uint64_t *dropped)
{
	*written = *dropped = 0;
	if (!log)
		return;
	*written = atomic_load(&log->written);
	*dropped = atomic_load(&log->dropped);
	for (unsigned i = 0; i < log->config.threads; i++)
		*dropped += atomic_load_explicit(&log->rings[i]->dropped, memory_order_relaxed);
}

static void log_free(struct access_log *log)
{
	for (unsigned i = 0; i < log->config.threads; i++) {
		if (log->rings[i])
			free(log->rings[i]->paths);
		free(log->rings[i]);
	}
	if (log->wake >= 0)
		close(log->wake);
	free(log->buffer);
	free(log);
}

static struct access_ring *ring_new(struct access_log *log)
{
	struct access_ring *ring;
	uint32_t size = 1;

	while (size < log->config.entries)
		size *= 2;
	if (posix_memalign((void **)&ring, 64, sizeof(*ring) + size * sizeof(ring->entries[0])))
		return NULL;
	/* The entries cost no memory before they are used. */
	memset(ring, 0, sizeof(*ring));
	ring->log = log;
	ring->mask = size - 1;
	if (log->config.paths) {
		ring->paths = calloc(size, sizeof(ring->paths[0]));
		if (!ring->paths) {
			free(ring);
			return NULL;
		}
	}
	return ring;
}

int access_log_start(const struct access_log_config *config, struct access_log **out, struct err *e)
{
	struct access_log *log =
		calloc(1, sizeof(*log) + config->threads * sizeof(struct access_ring *));
	int rc = 0;

	if (!log)
		return err_set(e, -ENOMEM, "out of memory for the access log");
	log->config = *config;
	log->buffer = malloc(BUFFER_SIZE);
	/* #syscalls eventfd2 */
	log->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (log->wake < 0)
		rc = -errno;
	if (!log->buffer)
		rc = -ENOMEM;
	for (unsigned i = 0; rc == 0 && i < config->threads; i++) {
		log->rings[i] = ring_new(log);
		rc = log->rings[i] ? 0 : -ENOMEM;
	}
	if (rc == 0)
		rc = side_thread_start(&log->thread, STACK_SIZE, log_main, log);
	if (rc < 0) {
		log_free(log);
		return err_sys(e, rc, "cannot start the access log");
	}
	*out = log;
	return 0;
}

void access_log_stop(struct access_log *log)
{
	struct timespec end;

	if (!log)
		return;
	atomic_store(&log->stopping, true);
	eventfd_write(log->wake, 1);
	clock_gettime(CLOCK_REALTIME, &end);
	end.tv_sec += LAST_WAIT_S;
	/* It may hang in a write; then the process ends without it. #syscalls futex */
	if (pthread_timedjoin_np(log->thread, NULL, &end) == 0)
		log_free(log);
}
