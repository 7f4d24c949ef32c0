// SPDX-License-Identifier: GPL-2.0-or-later
/* Each rung of sluice's ladder, in a child: what it may still do, and what /proc says it holds. */
#include "privs.h"

#include "caps.h"
#include "confined.h"

#include <fcntl.h>
#include <linux/netlink.h>
#include <sched.h>
#include <sys/socket.h>

struct rungs {
	enum privs_need need;
	unsigned input;
	bool joined, end;
};

static int come_down(const void *arg)
{
	const struct rungs *r = arg;
	struct err e = ERR_INIT;

	if (privs_start(r->need, r->input, &e) < 0 ||
	    (r->joined && privs_joined(r->need, &e) < 0) || (r->end && privs_end(&e) < 0))
		return e.code;
	return 0;
}

static int probe_nothing(void)
{
	return AS_EXPECTED;
}

#define KERNEL (CAPS_BIT(CAP_NET_ADMIN) | CAPS_BIT(CAP_NET_RAW))
#define ENTERS (CAPS_BIT(CAP_SYS_ADMIN) | CAPS_BIT(CAP_SYS_PTRACE) | CAPS_BIT(CAP_DAC_READ_SEARCH))
#define PROOF                                                                             \
	(KERNEL | CAPS_BIT(CAP_SETUID) | CAPS_BIT(CAP_SETGID) | CAPS_BIT(CAP_SYS_ADMIN) | \
	 CAPS_BIT(CAP_NET_BIND_SERVICE))

static void test_capabilities(void **state)
{
	static const struct {
		struct rungs rungs;
		uint64_t kept;
		unsigned filters;
	} cases[] = {
		{ { PRIVS_NONE, PRIVS_NAMES, false, false }, 0, 1 },
		{ { PRIVS_NONE, PRIVS_ENTERS, false, false }, 0, 1 },
		{ { PRIVS_KERNEL, PRIVS_NAMES, false, false }, KERNEL, 1 },
		{ { PRIVS_KERNEL, 0, false, false }, KERNEL, 1 },
		{ { PRIVS_KERNEL, 0, false, true }, 0, 2 },
		{ { PRIVS_KERNEL, PRIVS_ENTERS, false, false }, KERNEL | ENTERS, 1 },
		{ { PRIVS_KERNEL, PRIVS_ENTERS, true, false }, KERNEL, 2 },
		{ { PRIVS_KERNEL, PRIVS_ENTERS, true, true }, 0, 3 },
		{ { PRIVS_PROOF, PRIVS_NAMES, false, false }, PROOF, 1 },
		{ { PRIVS_PROOF, PRIVS_ENTERS, false, false }, PROOF | ENTERS, 1 },
		{ { PRIVS_PROOF, PRIVS_ENTERS, true, false }, PROOF, 2 },
		{ { PRIVS_PROOF, PRIVS_ENTERS, true, true }, 0, 3 },
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
		assert_int_equal(status_field(c.pid, "CapAmb", 16), 0);
		assert_int_equal(status_field(c.pid, "NoNewPrivs", 10), 1);
		assert_int_equal(status_field(c.pid, "Seccomp_filters", 10),
				 before + cases[i].filters);
		assert_int_equal(child_finish(&c), AS_EXPECTED);
		assert_string_equal(c.told, "");
	}
}

/* No rung may do these. */
static int probe_never(void)
{
	char *const argv[] = { "/bin/true", NULL };

	return REFUSED(execve(argv[0], argv, argv)) && REFUSED(unshare(CLONE_NEWUSER)) &&
			       REFUSED(socket(AF_PACKET, SOCK_DGRAM, 0)) &&
			       REFUSED((int)syscall(SYS_bpf, 0, NULL, 0)) && REFUSED(chroot("/")) &&
			       REFUSED((int)syscall(SYS_setuid, getuid() + 1))
		       ? AS_EXPECTED
		       : 1;
}

/* The same for what the first rung still may: a UNIX socket may have a name, but no peer. */
static int probe_joined(void)
{
	int fd = socket(AF_NETLINK, SOCK_RAW, NETLINK_NETFILTER);

	return fd >= 0 && REFUSED(connect(fd, NULL, 0)) && MAY_NOT_OPEN("/dev/null", O_RDWR) &&
			       open("/dev/null", O_RDONLY) >= 0
		       ? probe_never()
		       : 1;
}

static int probe_end(void)
{
	return REFUSED(socket(AF_NETLINK, SOCK_RAW, NETLINK_NETFILTER)) &&
			       REFUSED(socket(AF_INET, SOCK_STREAM, 0)) &&
			       REFUSED((int)syscall(SYS_seccomp, 1, 0, NULL))
		       ? probe_never()
		       : 1;
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
	check_refusals(&(struct rungs){ PRIVS_NONE, PRIVS_NAMES, false, false }, probe_never);
	check_refusals(&(struct rungs){ PRIVS_KERNEL, PRIVS_ENTERS, false, false }, probe_never);
	check_refusals(&(struct rungs){ PRIVS_PROOF, PRIVS_ENTERS, false, false }, probe_never);
	check_refusals(&(struct rungs){ PRIVS_KERNEL, PRIVS_ENTERS, true, false }, probe_joined);
	check_refusals(&(struct rungs){ PRIVS_KERNEL, 0, false, false }, probe_joined);
	check_refusals(&(struct rungs){ PRIVS_KERNEL, PRIVS_ENTERS, true, true }, probe_end);
	check_refusals(&(struct rungs){ PRIVS_PROOF, PRIVS_ENTERS, true, true }, probe_end);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_capabilities),
		cmocka_unit_test(test_refusals),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
