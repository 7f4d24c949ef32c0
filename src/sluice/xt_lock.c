// SPDX-License-Identifier: GPL-2.0-or-later
/* The lock of iptables-legacy: see xt_lock.h. */
#include "xt_lock.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <time.h>

/* flock(2) has no time-out of its own, and a signal would be one more thing to go wrong. */
#define LOCK_PAUSE_MS 5

static uint64_t now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

static int open_file(const char *path, struct err *e)
{
	/* As iptables does: read-only is enough for flock(2). #syscalls openat */
	int fd = open(path, O_CREAT | O_CLOEXEC | O_RDONLY, 0600);
	int error = errno;

	if (fd >= 0)
		return fd;
	if (error == EROFS || error == ENOENT)
		return err_set(e, -error,
			       "cannot lock the legacy tables: %s cannot be made (%s): mount a "
			       "writable directory there, or name another file in "
			       "XTABLES_LOCKFILE",
			       path, strerror(error));
	if (error == EACCES)
		return err_set(e, -error,
			       "cannot lock the legacy tables: no permission for %s: run as root, "
			       "or name another file in XTABLES_LOCKFILE",
			       path);
	return err_sys(e, -error, "cannot lock the legacy tables: cannot open %s", path);
}

int lock_take(uint32_t timeout_ms, struct err *e)
{
	const struct timespec pause = { .tv_nsec = LOCK_PAUSE_MS * 1000000 };
	const char *named = getenv("XTABLES_LOCKFILE");
	const char *path = named && named[0] ? named : LOCK_DEFAULT_PATH;
	uint64_t deadline = now_ms() + timeout_ms;
	_cleanup_close_ int fd = open_file(path, e);

	if (fd < 0)
		return fd;
	/* #syscalls flock clock_nanosleep */
	while (flock(fd, LOCK_EX | LOCK_NB) < 0) {
		if (errno == EINTR)
			continue;
		if (errno != EWOULDBLOCK)
			return err_sys(e, -errno, "cannot lock the legacy tables: %s", path);
		if (now_ms() >= deadline)
			return err_set(e, -ETIMEDOUT,
				       "another program holds %s, the lock of the legacy tables, "
				       "for more than %u ms: wait for it, or raise --lock-timeout",
				       path, timeout_ms);
		nanosleep(&pause, NULL);
	}
	return take_fd(&fd);
}
