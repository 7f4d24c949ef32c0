// SPDX-License-Identifier: GPL-2.0-or-later
/* Watching the kernel's rules: see watch.h. */
#include "watch.h"

#include "backend.h"
#include "legacy.h"

#include <errno.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <time.h>

/* Differences, as check tells them. */
struct lines {
	char **items; /* owned, and each of them */
	size_t count, capacity;
	bool failed; /* memory was out */
};

struct watcher {
	const struct config *config;
	const struct plan *plan;
	int events, routes, signals;  /* routes < 0: the plan needs no routing */
	struct lines known;	      /* the drift that was told */
	uint64_t repair_at, pause;    /* ms of the monotonic clock; ms */
	uint64_t repaired;	      /* when last */
	char complaint[ERR_TEXT_MAX]; /* the last failure told, so that it is told once */
};

static uint64_t now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

static void lines_fini(struct lines *l)
{
	for (size_t i = 0; i < l->count; i++)
		free(l->items[i]);
	free(l->items);
	*l = (struct lines){ .count = 0 };
}

static void add_line(const char *line, void *data)
{
	struct lines *l = data;

	if (l->count == l->capacity) {
		size_t capacity = l->capacity ? 2 * l->capacity : 16;
		char **grown = realloc(l->items, capacity * sizeof(*grown));

		l->failed |= !grown;
		if (!grown)
			return;
		l->items = grown;
		l->capacity = capacity;
	}
	l->items[l->count] = strdup(line);
	l->failed |= !l->items[l->count];
	l->count += l->items[l->count] ? 1 : 0;
}

static int line_cmp(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

/* Both sorted: what only one of them has. */
static void tell_changes(const struct lines *before, const struct lines *after)
{
	size_t i = 0, j = 0;

	while (i < before->count || j < after->count) {
		int order = i == before->count	? 1
			    : j == after->count ? -1
						: strcmp(before->items[i], after->items[j]);

		if (order < 0)
			printf("over: %s\n", before->items[i]);
		else if (order > 0)
			printf("drift: %s\n", after->items[j]);
		i += order <= 0;
		j += order >= 0;
	}
}

/* A failure, each time that it is another one. */
static void complain(struct watcher *w, const char *what, const struct err *e)
{
	if (strcmp(w->complaint, e->text) != 0)
		printf("%s: %s\n", what, e->text);
	snprintf(w->complaint, sizeof(w->complaint), "%s", e->text);
}

/* Compares and tells what has changed. What cannot be compared now is tried again. */
static void compare(struct watcher *w)
{
	struct lines now = { .count = 0 };
	struct err e = ERR_INIT;
	long differences = backend_check(w->config->backend, w->plan, add_line, &now, NULL, &e);

	if (differences >= 0 && now.failed)
		differences = err_set(&e, -ENOMEM, "out of memory for the differences");
	if (differences < 0) {
		complain(w, "cannot compare", &e);
		lines_fini(&now);
		return;
	}
	if (now.count)
		qsort(now.items, now.count, sizeof(*now.items), line_cmp);
	tell_changes(&w->known, &now);
	lines_fini(&w->known);
	w->known = now;
}

/* A plan that did not last makes the next pause twice as long. */
static void repair(struct watcher *w)
{
	const struct backend_options o = { .lock_timeout_ms = w->config->lock_timeout_ms };
	struct backend_applied done;
	struct err e = ERR_INIT;
	uint64_t now = now_ms();

	if (w->pause && now - w->repaired > WATCH_PAUSE_MAX_MS)
		w->pause = 0;
	w->pause = w->pause ? MIN(2 * w->pause, (uint64_t)WATCH_PAUSE_MAX_MS) : WATCH_PAUSE_MS;
	if (backend_apply(w->config->backend, w->plan, &o, &done, &e) < 0) {
		complain(w, "cannot repair", &e);
	} else {
		printf("repaired: %zu rule%s in %s\n", done.rules, plural(done.rules),
		       done.by->name);
		w->complaint[0] = '\0';
	}
	w->repaired = now_ms();
	w->repair_at = w->repaired + w->pause;
	compare(w);
}

static bool polls(const struct watcher *w)
{
	if (w->config->backend == BACKEND_IPTABLES)
		return true;
	for (unsigned f = 0; w->config->backend == BACKEND_AUTO && f < ADDR_FAMILY_COUNT; f++) {
		if (legacy_registered(f, LOWER_NAT) != 0)
			return true;
	}
	return false;
}

/* Empties the queue; that there was something, or too much of it, is all that counts. */
static void drain(int fd)
{
	char buffer[8192];

	while (recv(fd, buffer, sizeof(buffer), MSG_DONTWAIT) >= 0 || errno == ENOBUFS ||
	       errno == EINTR)
		continue;
}

enum woken {
	WOKEN_BY_TIME,
	WOKEN_BY_CHANGE,
	WOKEN_BY_SIGNAL,
};

/* Waits for at most @ms, or for ever when that is < 0. */
static int wait_for(struct watcher *w, int ms, struct err *e)
{
	struct pollfd fds[] = { { w->events, POLLIN, 0 },
				{ w->signals, POLLIN, 0 },
				{ w->routes, POLLIN, 0 } };
	int n;

	/* #syscalls poll ppoll */
	n = poll(fds, ARRAY_SIZE(fds), ms);

	if (n < 0 && errno != EINTR)
		return err_sys(e, -errno, "cannot wait for changes");
	if (n > 0 && fds[1].revents)
		return WOKEN_BY_SIGNAL;
	if (n > 0 && fds[0].revents)
		drain(w->events);
	if (n > 0 && fds[2].revents)
		drain(w->routes);
	if (n > 0)
		return WOKEN_BY_CHANGE;
	return WOKEN_BY_TIME;
}

/* After a change, until no other follows for a moment. */
static int settle(struct watcher *w, struct err *e)
{
	uint64_t end = now_ms() + WATCH_QUIET_MAX_MS;
	int woken;

	do {
		woken = wait_for(w, WATCH_QUIET_MS, e);
	} while (woken == WOKEN_BY_CHANGE && now_ms() < end);
	return woken;
}

/* How long there is nothing to do unless something changes; < 0: for ever. */
static int time_left(const struct watcher *w)
{
	bool waits = w->config->repair && w->known.count;
	uint64_t now = now_ms();
	int left = polls(w) ? WATCH_POLL_MS : -1;

	if (waits && w->repair_at <= now)
		return 0;
	if (waits && (left < 0 || w->repair_at - now < (uint64_t)left))
		left = (int)(w->repair_at - now);
	return left;
}

static int loop(struct watcher *w, struct err *e)
{
	for (;;) {
		int woken = wait_for(w, time_left(w), e);

		if (woken == WOKEN_BY_CHANGE)
			woken = settle(w, e);
		if (woken < 0)
			return woken;
		if (woken == WOKEN_BY_SIGNAL)
			return 0;
		compare(w);
		if (w->config->repair && w->known.count && now_ms() >= w->repair_at)
			repair(w);
		if (fflush(stdout) == EOF)
			return err_sys(e, -errno, "cannot write what was found");
	}
}

/* Listens to changes that the kernel tells these groups of. */
static int open_events(int bus, const int *groups, size_t count, struct err *e)
{
	const struct sockaddr_nl any = { .nl_family = AF_NETLINK };
	_cleanup_close_ int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, bus);
	int rc = fd < 0 ? -1 : bind(fd, (const struct sockaddr *)&any, sizeof(any));

	for (size_t i = 0; rc == 0 && i < count; i++)
		rc = setsockopt(fd, SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, &groups[i],
				sizeof(groups[i]));
	if (rc < 0)
		return err_sys(e, -errno, "cannot listen to changes of %s",
			       bus == NETLINK_ROUTE ? "routing" : "nftables");
	return take_fd(&fd);
}

static int open_signals(struct err *e)
{
	sigset_t set;
	int fd;

	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGHUP);
	sigprocmask(SIG_BLOCK, &set, NULL);
	/* #syscalls rt_sigprocmask signalfd4 */
	fd = signalfd(-1, &set, SFD_CLOEXEC);
	return fd < 0 ? err_sys(e, -errno, "cannot wait for signals") : fd;
}

int watch_run(const struct config *c, const struct plan *p, struct err *e)
{
	static const int tables[] = { NFNLGRP_NFTABLES };
	/* Of routes that go down with their device, the kernel may tell by the device alone. */
	static const int routing[] = { RTNLGRP_IPV4_RULE, RTNLGRP_IPV6_RULE, RTNLGRP_IPV4_ROUTE,
				       RTNLGRP_IPV6_ROUTE, RTNLGRP_LINK };
	struct watcher w = { .config = c, .plan = p, .events = -1, .routes = -1, .signals = -1 };
	int rc = w.signals = open_signals(e);

	if (rc >= 0)
		rc = w.events = open_events(NETLINK_NETFILTER, tables, ARRAY_SIZE(tables), e);
	if (rc >= 0 && plan_needs_route(p))
		rc = w.routes = open_events(NETLINK_ROUTE, routing, ARRAY_SIZE(routing), e);
	if (rc >= 0) {
		compare(&w);
		printf("watching: %zu difference%s now\n", w.known.count, plural(w.known.count));
		rc = fflush(stdout) == EOF ? err_sys(e, -errno, "cannot write") : loop(&w, e);
	}
	if (w.events >= 0)
		close(w.events);
	if (w.routes >= 0)
		close(w.routes);
	if (w.signals >= 0)
		close(w.signals);
	lines_fini(&w.known);
	return rc;
}
