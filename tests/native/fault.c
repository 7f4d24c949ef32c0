// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Lets one library call of a program fail, or be the last thing that it does (LD_PRELOAD).
 *
 * FAULT=CALL:N:ERRNO      the Nth CALL is not made and fails with ERRNO
 * FAULT=CALL:N:ERRNO+     ... and so does each one after it
 * FAULT=CALL:N:kill       the program is killed in place of the Nth CALL
 * FAULT=CALL:N:killed     ... and right behind it
 * FAULT_LOG=FILE          at the end, a line for each call that was made: its name, how often
 */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/types.h>
#include <unistd.h>

enum call {
	SOCKET,
	BIND,
	SENDTO,
	SENDMSG,
	RECV,
	RECVFROM,
	RECVMSG,
	SETSOCKOPT,
	GETSOCKOPT,
	OPEN,
	FOPEN,
	FLOCK,
	POLL,
	ALLOC,
	CALL_COUNT,
};

static const char *const names[CALL_COUNT] = {
	"socket",     "bind",	    "sendto", "sendmsg", "recv",  "recvfrom", "recvmsg",
	"setsockopt", "getsockopt", "open",   "fopen",	 "flock", "poll",     "alloc",
};

static FILE *log_file;
static unsigned long made[CALL_COUNT], victim_number;
static int victim = -1, error, lasting;
static enum { FAIL, KILL_BEFORE, KILL_AFTER } how;

__attribute__((constructor)) static void start(void)
{
	const char *said = getenv("FAULT");
	const char *path = getenv("FAULT_LOG");
	char name[16], what[16];

	/* Before the program gives up opening files for writing. */
	log_file = path ? fopen(path, "we") : NULL;
	memset(made, 0, sizeof(made)); /* what was before main does not count */
	if (!said || sscanf(said, "%15[a-z]:%lu:%15s", name, &victim_number, what) != 3)
		return;
	how = strcmp(what, "kill") == 0	    ? KILL_BEFORE
	      : strcmp(what, "killed") == 0 ? KILL_AFTER
					    : FAIL;
	error = atoi(what);
	lasting = strchr(what, '+') != NULL;
	for (int i = 0; i < CALL_COUNT; i++) {
		if (strcmp(names[i], name) == 0)
			victim = i;
	}
}

__attribute__((destructor)) static void end(void)
{
	victim = -1;
	for (int i = 0; log_file && i < CALL_COUNT; i++)
		fprintf(log_file, "%s %lu\n", names[i], made[i]);
	if (log_file)
		fclose(log_file);
}

/* Whether this call is the one. */
static int hit(enum call c)
{
	made[c]++;
	return (int)c == victim &&
	       (made[c] == victim_number || (lasting && made[c] > victim_number));
}

static void *real(const char *name)
{
	return dlsym(RTLD_NEXT, name);
}

static void die(void)
{
	raise(SIGKILL);
}

#define FAULTY(call, failure, type, name, params, args) \
	type name params                                \
	{                                               \
		static type(*next) params;              \
		int now = hit(call);                    \
		type result;                            \
                                                        \
		if (!next)                              \
			*(void **)&next = real(#name);  \
		if (now && how == FAIL) {               \
			errno = error;                  \
			return failure;                 \
		}                                       \
		if (now && how == KILL_BEFORE)          \
			die();                          \
		result = next args;                     \
		if (now)                                \
			die();                          \
		return result;                          \
	}

FAULTY(SOCKET, -1, int, socket, (int domain, int type, int protocol), (domain, type, protocol))
FAULTY(BIND, -1, int, bind, (int fd, const struct sockaddr *to, socklen_t len), (fd, to, len))
FAULTY(SENDTO, -1, ssize_t, sendto,
       (int fd, const void *data, size_t len, int flags, const struct sockaddr *to, socklen_t size),
       (fd, data, len, flags, to, size))
FAULTY(SENDMSG, -1, ssize_t, sendmsg, (int fd, const struct msghdr *m, int flags), (fd, m, flags))
FAULTY(RECV, -1, ssize_t, recv, (int fd, void *data, size_t len, int flags), (fd, data, len, flags))
FAULTY(RECVFROM, -1, ssize_t, recvfrom,
       (int fd, void *data, size_t len, int flags, struct sockaddr *from, socklen_t *size),
       (fd, data, len, flags, from, size))
FAULTY(RECVMSG, -1, ssize_t, recvmsg, (int fd, struct msghdr *m, int flags), (fd, m, flags))
FAULTY(SETSOCKOPT, -1, int, setsockopt,
       (int fd, int level, int name, const void *value, socklen_t len),
       (fd, level, name, value, len))
FAULTY(GETSOCKOPT, -1, int, getsockopt, (int fd, int level, int name, void *value, socklen_t *len),
       (fd, level, name, value, len))
FAULTY(FOPEN, NULL, FILE *, fopen, (const char *path, const char *mode), (path, mode))
FAULTY(FLOCK, -1, int, flock, (int fd, int operation), (fd, operation))
FAULTY(POLL, -1, int, poll, (struct pollfd * p, nfds_t count, int ms), (p, count, ms))

/* dlsym() allocates; glibc's own names need no looking up. */
extern void *__libc_malloc(size_t size);
extern void *__libc_calloc(size_t count, size_t size);
extern void *__libc_realloc(void *old, size_t size);

static int no_memory(void)
{
	if (!hit(ALLOC))
		return 0;
	if (how != FAIL)
		die();
	errno = ENOMEM;
	return 1;
}

void *malloc(size_t size)
{
	return no_memory() ? NULL : __libc_malloc(size);
}

void *calloc(size_t count, size_t size)
{
	return no_memory() ? NULL : __libc_calloc(count, size);
}

void *realloc(void *old, size_t size)
{
	return no_memory() ? NULL : __libc_realloc(old, size);
}

/* Variadic, and not called with a mode unless it creates. */
int open(const char *path, int flags, ...)
{
	static int (*next)(const char *, int, ...);
	int now = hit(OPEN), mode = 0, fd;
	va_list args;

	va_start(args, flags);
	if (flags & O_CREAT)
		mode = va_arg(args, int);
	va_end(args);
	if (!next)
		*(void **)&next = real("open");
	if (now && how == FAIL) {
		errno = error;
		return -1;
	}
	if (now && how == KILL_BEFORE)
		die();
	fd = next(path, flags, mode);
	if (now)
		die();
	return fd;
}
