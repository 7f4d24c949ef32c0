// SPDX-License-Identifier: GPL-2.0-or-later
/* One epoll instance: see loop.h. */
#include "loop.h"

#include <errno.h>
#include <time.h>

#define EVENTS_MAX 256

int loop_open(struct loop *loop, struct err *e)
{
	/* #syscalls epoll_create1 */
	loop->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	return loop->epoll_fd < 0 ? err_sys(e, -errno, "cannot make an epoll instance") : 0;
}

void loop_close(struct loop *loop)
{
	if (loop->epoll_fd >= 0)
		close(loop->epoll_fd);
	loop->epoll_fd = -1;
}

int loop_watch(struct loop *loop, struct loop_source *source, uint32_t events)
{
	struct epoll_event event = { .events = events, .data.ptr = source };
	int op = source->registered ? EPOLL_CTL_MOD : EPOLL_CTL_ADD;

	if (source->registered && source->watched == events)
		return 0;
	/* #syscalls epoll_ctl */
	if (epoll_ctl(loop->epoll_fd, op, source->fd, &event) < 0)
		return -errno;
	source->registered = true;
	source->watched = events;
	return 0;
}

void loop_unwatch(struct loop *loop, struct loop_source *source)
{
	if (source->registered)
		epoll_ctl(loop->epoll_fd, EPOLL_CTL_DEL, source->fd, NULL);
	source->registered = false;
}

void loop_wait(struct loop *loop, int timeout_ms)
{
	struct epoll_event events[EVENTS_MAX];
	/* #syscalls epoll_wait epoll_pwait */
	int n = epoll_wait(loop->epoll_fd, events, EVENTS_MAX, timeout_ms);

	for (int i = 0; i < n; i++) {
		struct loop_source *source = events[i].data.ptr;

		if (source->registered)
			source->ready(source, events[i].events);
	}
}

uint64_t loop_clock(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}
