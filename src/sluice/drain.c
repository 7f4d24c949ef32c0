// SPDX-License-Identifier: GPL-2.0-or-later
/* The end of proxied connections: see drain.h. */
#include "drain.h"

#include "sock_destroy.h"
#include "turn.h"

#include <errno.h>
#include <time.h>

/* How often it is looked whether there are any left: listing 10,000 takes some 10 ms. */
#define LOOK_MS 100

static struct sock_which which(const struct plan_ports *ports)
{
	return (struct sock_which){
		.ports = { { ports->inbound_first, ports->inbound_last },
			   { ports->outbound_first, ports->outbound_last } },
		.foreign = ports->tproxy,
		.owners = ports->proxies,
		.owner_count = ports->proxy_count,
	};
}

static uint64_t now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

int drain_wait(const struct plan_ports *ports, const struct backend_options *o, struct err *e)
{
	const struct timespec pause = { .tv_nsec = LOOK_MS * 1000000L };
	const struct sock_which w = which(ports);
	uint64_t end = now_ms() + o->drain_ms;
	long left = 1;

	if (o->turn)
		close(take_fd(o->turn));
	while (left > 0 && now_ms() < end) {
		left = sock_count(&w, e);
		if (left > 0)
			/* #syscalls clock_nanosleep */
			nanosleep(&pause, NULL);
	}
	if (left >= 0 && o->turn) {
		*o->turn = turn_take(o->lock_timeout_ms, e);
		left = MIN(*o->turn, 0);
	}
	return left < 0 ? (int)left : 0;
}

int drain_connections(const struct plan_ports *ports, struct backend_removed *done, struct err *e)
{
	const struct sock_which w = which(ports);
	long n = sock_destroy(&w, e);

	if (n == -EOPNOTSUPP)
		done->cannot_destroy = true;
	else if (n < 0)
		return (int)n;
	else
		done->destroyed += (size_t)n;
	return 0;
}
