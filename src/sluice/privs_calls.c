// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Which system calls sluice makes: see privs_calls.h.
 *
 * What our own code needs is said in a `#syscalls` comment beside it, what a library needs, here.
 * `make lint` finds a comment without a row and a row without a comment; the tests run every
 * command on both backends and fail when a call was refused.
 */
#include "privs_calls.h"

#include <asm/ioctls.h>
#include <linux/netlink.h>
#include <linux/nsfs.h>
#include <linux/sched.h>
#include <linux/sockios.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>

#define OPEN_FOR_WRITING 3u /* O_WRONLY and O_RDWR: the file's lowest two bits of flags */

/*
 * malloc(3), qsort(3), stdio, exit(3), clocks without a vDSO, and a process that was stopped and
 * goes on. #syscalls brk mmap munmap mremap mprotect futex getrandom write writev read lseek close
 * fstat newfstatat sysinfo ioctl exit exit_group rt_sigreturn restart_syscall clock_gettime
 */
static const struct syscalls_rule always[] = {
	CALL(write),
	CALL(read),
	CALL(close),
	CALL(brk),
	CALL_WITHOUT(mmap, 2, PROT_EXEC),
	CALL_WITHOUT(mprotect, 2, PROT_EXEC),
	CALL(munmap),
	CALL(mremap),
	CALL(futex),
	CALL(getrandom),
	CALL(sysinfo),
	CALL(writev),
	CALL(lseek),
	CALL(fstat),
	CALL(newfstatat),
	CALL_IS(ioctl, 1, TCGETS),
	CALL(clock_gettime),
	CALL(rt_sigreturn),
	CALL(restart_syscall),
	CALL(exit),
	CALL(exit_group),
};

static const struct syscalls_rule ladder[] = {
	CALL(capget),
	CALL(capset),
	CALL(seccomp),
};

/*
 * fopen(3); getpwnam(3) and getgrnam(3), which load the modules that nsswitch.conf names, ask nscd,
 * systemd-userdbd or sssd over a UNIX socket, and are called for names only. #syscalls openat
 * pread64 mmap mprotect socket connect sendto sendmsg recvfrom recvmsg getsockopt setsockopt poll
 * ppoll fcntl getpid gettid getuid geteuid getgid getegid getppid readlink readlinkat getdents64
 * access faccessat uname statx fstatfs rt_sigprocmask prlimit64 gettimeofday getsockname
 * getpeername ioctl prctl
 */
static const struct syscalls_rule input[] = {
	CALL_WITHOUT(openat, 2, OPEN_FOR_WRITING),
	CALL(pread64),
	CALL(mmap),
	CALL(mprotect),
	CALL_IS(socket, 0, AF_UNIX),
	CALL(connect),
	CALL(sendto),
	CALL(sendmsg),
	CALL(recvfrom),
	CALL(recvmsg),
	CALL(getsockopt),
	CALL(setsockopt),
#ifdef __NR_poll
	CALL(poll),
#endif
	CALL(ppoll),
	CALL(fcntl),
	CALL(getpid),
	CALL(gettid),
	CALL(getuid),
	CALL(geteuid),
	CALL(getgid),
	CALL(getegid),
	CALL(getppid),
	CALL(readlinkat),
#ifdef __NR_readlink
	CALL(readlink),
	CALL(access),
#endif
	CALL(getdents64),
	CALL(uname),
	CALL(faccessat),
	CALL(statx),
	CALL(rt_sigprocmask),
	CALL(prlimit64),
	CALL(gettimeofday),
	CALL(fstatfs),
	CALL(getsockname),
	CALL(getpeername),
	CALL_IS(ioctl, 1, FIONREAD),
	CALL_IS(prctl, 0, PR_CAPBSET_READ), /* libcap, of systemd's module */
};

static const struct syscalls_rule netns[] = {
	CALL(fstatfs),
	CALL_IS(ioctl, 1, NS_GET_NSTYPE),
	CALL_IS(setns, 1, CLONE_NEWNET),
};

/* Opening for reading alone: the lock's file is not written either, but may be made. */
static const struct syscalls_rule kernel[] = {
	CALL(sendto),
	CALL(recvfrom),
	CALL_IS(socket, 0, AF_NETLINK),
	CALL_IS(socket, 0, AF_INET),
	CALL_IS(socket, 0, AF_INET6),
	CALL_IS(socket, 0, AF_UNIX),
	CALL(bind),
	CALL(getsockname),
	CALL(getsockopt),
	CALL(setsockopt),
	CALL(fcntl),
	CALL_WITHOUT(openat, 2, OPEN_FOR_WRITING),
	CALL(flock),
	CALL(clock_nanosleep),
	CALL(ppoll),
#ifdef __NR_poll
	CALL(poll),
#endif
	CALL(signalfd4),
	CALL(rt_sigprocmask),
};

/* if_nametoindex(3): #syscalls socket ioctl */
static const struct syscalls_rule proof[] = {
	CALL_IS(unshare, 0, CLONE_NEWNET),
	CALL_IS(setns, 1, CLONE_NEWNET),
	CALL(getpid),
	CALL(setfsuid),
	CALL(setfsgid),
	CALL(geteuid),
	CALL(getegid),
	CALL(connect),
	CALL(listen),
	CALL(accept4),
	CALL(rt_sigaction),
	CALL_IS(ioctl, 1, SIOCGIFINDEX),
};

#define LIST(name)                     \
	{                              \
		name, ARRAY_SIZE(name) \
	}

static const struct {
	const struct syscalls_rule *rules;
	size_t count;
} lists[] = {
	[PRIVS_CALLS_ALWAYS] = LIST(always), [PRIVS_CALLS_LADDER] = LIST(ladder),
	[PRIVS_CALLS_INPUT] = LIST(input),   [PRIVS_CALLS_NETNS] = LIST(netns),
	[PRIVS_CALLS_KERNEL] = LIST(kernel), [PRIVS_CALLS_PROOF] = LIST(proof),
};
_Static_assert(ARRAY_SIZE(lists) == PRIVS_CALLS_COUNT, "a list for each");

void privs_calls_allow(struct syscalls *s, enum privs_calls what)
{
	syscalls_allow(s, lists[what].rules, lists[what].count);
}
