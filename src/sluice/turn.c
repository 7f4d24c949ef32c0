// SPDX-License-Identifier: GPL-2.0-or-later
/* Turns by a name in the network namespace: see turn.h. */
#include "turn.h"

#include <errno.h>
#include <stddef.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>

/* bind(2) does not wait. */
#define TURN_PAUSE_MS 5

static uint64_t now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

int turn_try(const char *name, struct err *e)
{
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	/* #syscalls socket bind close */
	_cleanup_close_ int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	socklen_t len;

	if (fd < 0)
		return err_sys(e, -errno, "cannot make a socket");
	/* What makes it abstract is that it begins with a NUL. */
	snprintf(sa.sun_path + 1, sizeof(sa.sun_path) - 1, "%s", name);
	len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + strlen(sa.sun_path + 1));
	if (bind(fd, (const struct sockaddr *)&sa, len) == 0)
		return take_fd(&fd);
	return errno == EADDRINUSE ? -EADDRINUSE
				   : err_sys(e, -errno, "cannot take the name '%s'", name);
}

int turn_take(uint32_t timeout_ms, struct err *e)
{
	const struct timespec pause = { .tv_nsec = TURN_PAUSE_MS * 1000000 };
	uint64_t deadline = now_ms() + timeout_ms;
	int fd;

	while ((fd = turn_try(TURN_RULES, e)) == -EADDRINUSE) {
		if (now_ms() >= deadline)
			return err_set(e, -ETIMEDOUT,
				       "another sluice changes the rules of this network namespace "
				       "(it holds the name @" TURN_RULES
				       ", see 'ss -xlp'), for more "
				       "than %u ms: wait for it, or raise --lock-timeout",
				       timeout_ms);
		nanosleep(&pause, NULL); /* #syscalls clock_nanosleep */
	}
	return fd;
}
