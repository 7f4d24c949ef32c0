// SPDX-License-Identifier: GPL-2.0-or-later
/* Each rung of sluice-proxy's ladder, in a child: what it may still do, and what /proc says. */
#include "sandbox.h"

#include "caps.h"
#include "confined.h"
#include "log_file.h"

#include <fcntl.h>
#include <linux/netlink.h>
#include <pthread.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>

/* How the access log is opened anew. */
#define REOPENING (LOG_FILE_FLAGS | O_NOFOLLOW)

struct rungs {
	bool tproxy, off, parent, worker, logs;
};

static int come_down(const void *arg)
{
	const struct rungs *r = arg;
	struct proxy_config c;
	struct err e = ERR_INIT;

	proxy_config_init(&c);
	c.inbound_mode = r->tproxy ? INBOUND_TPROXY : INBOUND_REDIRECT;
	c.sandbox = !r->off;
	if (sandbox_start(&e) < 0 ||
	    (r->parent && sandbox_parent(&c, r->logs ? REOPENING : 0, &e) < 0) ||
	    (r->worker && (sandbox_hide(&c, &e) < 0 || sandbox_worker(&c, &e) < 0)))
		return e.code;
	return 0;
}

static int probe_nothing(void)
{
	return AS_EXPECTED;
}

static void test_capabilities(void **state)
{
	const uint64_t raw = CAPS_BIT(CAP_NET_RAW) | CAPS_BIT(CAP_NET_ADMIN);
	const struct {
		struct rungs rungs;
		uint64_t kept;
		unsigned filters;
	} cases[] = {
		{ { .off = false }, raw | CAPS_BIT(CAP_NET_BIND_SERVICE), 0 },
		{ { .parent = true }, 0, 1 },
		{ { .tproxy = true, .parent = true }, raw, 1 },
		{ { .parent = true, .worker = true }, 0, 2 },
		{ { .tproxy = true, .parent = true, .worker = true }, raw, 2 },
		{ { .off = true, .parent = true, .worker = true }, 0, 0 },
	};
	const uint64_t held = status_field(getpid(), "CapPrm", 16);
	const uint64_t before = status_field(getpid(), "Seccomp_filters", 10);

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct child c;

		child_start(&c, come_down, &cases[i].rungs, probe_nothing);
		assert_int_equal(status_field(c.pid, "CapPrm", 16), held & cases[i].kept);
		assert_int_equal(status_field(c.pid, "CapEff", 16), held & cases[i].kept);
		assert_int_equal(status_field(c.pid, "CapInh", 16), 0);
		assert_int_equal(status_field(c.pid, "NoNewPrivs", 10), 1);
		assert_int_equal(status_field(c.pid, "Seccomp_filters", 10),
				 before + cases[i].filters);
		assert_int_equal(child_finish(&c), AS_EXPECTED);
		assert_string_equal(c.told, "");
	}
}

static int probe_parent(void)
{
	char *const argv[] = { "/bin/true", NULL };
	const int prot = PROT_READ | PROT_EXEC, flags = MAP_PRIVATE | MAP_ANONYMOUS;
	pid_t child;

	if (!REFUSED(execve(argv[0], argv, argv)) || !REFUSED(socket(AF_NETLINK, SOCK_RAW, 0)) ||
	    !REFUSED(socket(AF_UNIX, SOCK_STREAM, 0)) || !REFUSED(unshare(CLONE_NEWUSER)) ||
	    !MAY_NOT_OPEN("/dev/null", O_RDWR) || open("/dev/null", O_RDONLY) < 0 ||
	    socket(AF_INET6, SOCK_STREAM, 0) < 0)
		return 1;
#ifndef SYSCALLS_SANITIZED
	if (mmap(NULL, 4096, prot, flags, -1, 0) != MAP_FAILED || errno != EPERM ||
	    !REFUSED((int)syscall(SYS_clone, CLONE_NEWUSER | SIGCHLD, NULL, NULL, NULL, NULL)))
		return 2;
#else
	(void)prot, (void)flags;
#endif
	child = fork();
	if (child == 0)
		_exit(AS_EXPECTED);
	return child > 0 && waitpid(child, NULL, 0) == child ? AS_EXPECTED : 3;
}

static bool may_open_log(int other)
{
	return syscall(SYS_openat, AT_FDCWD, "/dev/null", REOPENING ^ other, 0640) >= 0;
}

/* There is none that is opened anew. */
static int probe_silent_parent(void)
{
#ifndef SYSCALLS_SANITIZED
	if (may_open_log(0) || errno != EPERM || may_open_log(O_NOFOLLOW) || errno != EPERM)
		return 1;
#endif
	return probe_parent();
}

/* The access log may be opened, as it is and in no other way. */
static int probe_logging_parent(void)
{
	if (!may_open_log(0) || dup3(STDIN_FILENO, 20, O_CLOEXEC) != 20)
		return 1;
#ifndef SYSCALLS_SANITIZED
	if (may_open_log(O_TRUNC) || errno != EPERM || may_open_log(O_NOFOLLOW) || errno != EPERM)
		return 2;
#endif
	return probe_parent();
}

static int probe_logging_worker(void)
{
	char *const argv[] = { "/bin/true", NULL };

#ifndef SYSCALLS_SANITIZED
	if (may_open_log(0) || errno != EPERM)
		return 1;
#endif
	return REFUSED(execve(argv[0], argv, argv)) ? AS_EXPECTED : 2;
}

static int probe_worker(void)
{
	char *const argv[] = { "/bin/true", NULL };

	if (!REFUSED(execve(argv[0], argv, argv)) || !REFUSED(socket(AF_NETLINK, SOCK_RAW, 0)) ||
	    !REFUSED((int)syscall(SYS_seccomp, 1, 0, NULL)) || socket(AF_INET, SOCK_STREAM, 0) < 0)
		return 1;
#ifndef SYSCALLS_SANITIZED
	if (!REFUSED(fork()) || !REFUSED(kill(getppid(), 0)) ||
	    !REFUSED(prctl(PR_SET_DUMPABLE, 1, 0, 0, 0)) ||
	    !REFUSED((int)syscall(SYS_tgkill, getpid() + 1, getpid() + 1, 0)) ||
	    syscall(SYS_tgkill, getpid(), getpid(), 0) != 0)
		return 2;
#endif
	return AS_EXPECTED;
}

static void check_refusals(const struct rungs *r, int (*probe)(void))
{
	struct child c;
	char line[64];

	child_start(&c, come_down, r, probe);
	assert_int_equal(child_finish(&c), AS_EXPECTED);
	snprintf(line, sizeof(line), "the sandbox refused system call %d:", SYS_execve);
	assert_non_null(strstr(c.told, line));
}

static void test_refusals(void **state)
{
	(void)state;
	check_refusals(&(struct rungs){ .parent = true }, probe_silent_parent);
	check_refusals(&(struct rungs){ .parent = true, .tproxy = true }, probe_parent);
	check_refusals(&(struct rungs){ .parent = true, .worker = true }, probe_worker);
	check_refusals(&(struct rungs){ .parent = true, .logs = true }, probe_logging_parent);
	check_refusals(&(struct rungs){ .parent = true, .worker = true, .logs = true },
		       probe_logging_worker);
}

/* The last rung is for threads that run already, too. */
static void *try_netlink(void *arg)
{
	int *go = arg;
	char byte;

	if (read(go[0], &byte, 1) != 1)
		return NULL;
	return (void *)(intptr_t)REFUSED(socket(AF_NETLINK, SOCK_RAW, 0));
}

static int probe_thread(void)
{
	struct proxy_config c;
	struct err e = ERR_INIT;
	pthread_t thread;
	void *refused;
	int go[2];

	proxy_config_init(&c);
	if (pipe(go) < 0 || pthread_create(&thread, NULL, try_netlink, go) != 0 ||
	    sandbox_worker(&c, &e) < 0 || write(go[1], "", 1) != 1 ||
	    pthread_join(thread, &refused) != 0)
		return 1;
	return refused ? AS_EXPECTED : 2;
}

static void test_all_threads(void **state)
{
	struct child c;

	(void)state;
	child_start(&c, come_down, &(struct rungs){ .off = false }, probe_thread);
	assert_int_equal(child_finish(&c), AS_EXPECTED);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_capabilities),
		cmocka_unit_test(test_refusals),
		cmocka_unit_test(test_all_threads),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
