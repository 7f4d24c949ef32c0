// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Privileges of sluice-proxy: see sandbox.h.
 *
 * What our own code needs is said in a `#syscalls` comment beside it, what the C library needs,
 * here. `make lint` holds these lists against the comments, and every test against stderr fails
 * when a call was refused.
 */
#include "sandbox.h"

#include "caps.h"
#include "log.h"
#include "syscalls.h"

#include <errno.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>

#define OPEN_FOR_WRITING 3u /* O_WRONLY and O_RDWR: the lowest two bits of a file's flags */
#define OTHER_NAMESPACES                                                                          \
	((uint32_t)(CLONE_NEWNS | CLONE_NEWCGROUP | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWUSER | \
		    CLONE_NEWPID | CLONE_NEWNET))

/*
 * What serving takes, the most frequent first, and for the C library: malloc(3) with its arenas,
 * stdio, opendir(3), threads that begin (they may do so still), wait and end, abort(3), clocks
 * without a vDSO. #syscalls brk mmap munmap mremap mprotect madvise getrandom sysinfo
 * sched_getaffinity lseek fstat newfstatat getdents64 futex exit exit_group rt_sigreturn
 * rt_sigprocmask restart_syscall clock_gettime clock_nanosleep getpid gettid tgkill writev
 * set_robust_list rseq
 */
static const struct syscalls_rule serving[] = {
#ifdef __NR_epoll_wait
	CALL(epoll_wait),
#endif
	CALL(epoll_pwait),
	CALL(recvfrom),
	CALL(sendto),
	CALL(read),
	CALL(write),
	CALL(splice),
	CALL(epoll_ctl),
	CALL(accept4),
	CALL(close),
	CALL_IS(socket, 0, AF_INET),
	CALL_IS(socket, 0, AF_INET6),
	CALL(connect),
	CALL(setsockopt),
	CALL(getsockopt),
	CALL(shutdown),
	CALL(getsockname),
	CALL(getpeername),
	CALL(bind),
	CALL(clock_gettime),
	CALL(futex),
	CALL(brk),
	CALL_WITHOUT(mmap, 2, PROT_EXEC),
	CALL_WITHOUT(mprotect, 2, PROT_EXEC),
	CALL(munmap),
	CALL(mremap),
	CALL(madvise),
	CALL(pipe2),
	CALL(dup3),
	CALL(recvmsg),
	CALL(fcntl),
	CALL(writev),
	CALL(ppoll),
#ifdef __NR_poll
	CALL(poll),
#endif
	CALL(geteuid),
	CALL(uname),
	CALL(getrusage),
	CALL(prlimit64),
	CALL_WITHOUT(openat, 2, OPEN_FOR_WRITING),
	CALL(fstat),
	CALL(newfstatat),
	CALL(getdents64),
	CALL(faccessat),
#ifdef __NR_access
	CALL(access),
#endif
	CALL(set_robust_list),
	CALL(rseq),
	CALL_IS(prctl, 0, PR_SET_NAME),
	CALL(lseek),
	CALL(getrandom),
	CALL(sysinfo),
	CALL(sched_getaffinity),
	CALL(sched_yield),
	CALL(clock_nanosleep),
	CALL(rt_sigprocmask),
	CALL(rt_sigreturn),
	CALL(restart_syscall),
	CALL(exit),
	CALL(exit_group),
};

/* The parent's own, and what a worker takes to begin. */
static const struct syscalls_rule starting[] = {
	CALL_WITHOUT(clone, 0, OTHER_NAMESPACES),
	CALL(prctl),
	CALL(getpid),
	CALL(gettid),
	CALL(getppid),
	CALL(epoll_create1),
	CALL(eventfd2),
	CALL(rt_sigaction),
	CALL(seccomp),
	CALL(wait4),
	CALL(kill),
	CALL(tgkill),
	CALL(rt_sigtimedwait),
	CALL(sendmsg),
};

/* Without a filter nothing changes but what an intruder could do: said, and gone on. */
static int install(struct syscalls *s, struct err *e)
{
	int rc = syscalls_install(s, true, e);

	if (rc == 0)
		log_warn("system calls cannot be confined here (seccomp): going on without");
	return MIN(rc, 0);
}

int sandbox_start(struct err *e)
{
	int rc = caps_no_new(e);

	return rc < 0 ? rc
		      : caps_keep(CAPS_BIT(CAP_NET_BIND_SERVICE) | CAPS_BIT(CAP_NET_RAW) |
					  CAPS_BIT(CAP_NET_ADMIN),
				  e);
}

int sandbox_parent(const struct proxy_config *c, int log_flags, struct err *e)
{
	/* The access log, when its file was moved; the worker's own filter does not have it. */
	const struct syscalls_rule logging[] = { CALL_IS(openat, 2, (uint32_t)log_flags) };
	uint64_t keep = c->inbound_mode == INBOUND_TPROXY
				? CAPS_BIT(CAP_NET_RAW) | CAPS_BIT(CAP_NET_ADMIN)
				: 0;
	struct syscalls s;
	int rc = caps_keep(keep, e);

	if (rc < 0 || !c->sandbox)
		return rc;
	syscalls_init(&s);
	syscalls_allow(&s, serving, ARRAY_SIZE(serving));
	syscalls_allow(&s, starting, ARRAY_SIZE(starting));
	if (log_flags)
		syscalls_allow(&s, logging, ARRAY_SIZE(logging));
	return install(&s, e);
}

int sandbox_hide(const struct proxy_config *c, struct err *e)
{
#ifdef SYSCALLS_SANITIZED
	/* LeakSanitizer traces the process that it is in. */
	(void)c, (void)e;
	return 0;
#else
	/* #syscalls prctl */
	if (c->sandbox && prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0)
		return err_sys(e, -errno, "cannot hide our memory");
	return 0;
#endif
}

int sandbox_worker(const struct proxy_config *c, struct err *e)
{
	struct syscalls s;

	if (!c->sandbox)
		return 0;
	syscalls_init(&s);
	syscalls_allow(&s, serving, ARRAY_SIZE(serving));
	syscalls_allow_abort(&s);
	return install(&s, e);
}
