// SPDX-License-Identifier: GPL-2.0-or-later
/* Allow lists of system calls: see syscalls.h. */
#include "syscalls.h"

#include "log.h"

#include <errno.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stdatomic.h>
#include <ucontext.h>
#include <unistd.h>

/* Where the kernel looks for a system call's result, and what it calls the architecture. */
#if defined(__x86_64__) && defined(__LP64__)
#define OUR_ARCH	AUDIT_ARCH_X86_64
#define RESULT(context) ((context)->uc_mcontext.gregs[REG_RAX])
#elif defined(__AARCH64EL__)
#define OUR_ARCH	AUDIT_ARCH_AARCH64
#define RESULT(context) ((context)->uc_mcontext.regs[0])
#endif

/* SYS_SECCOMP of asm-generic/siginfo.h, which the C library's signal.h does without. */
#define BY_SECCOMP 1

/* What Linux 6.1 had last (set_mempolicy_home_node); the C library can do without what came later.
 */
#define NEWEST 450

/* Bits of an argument in struct seccomp_data; both architectures are little-endian. */
#define ARG_OFFSET(arg) (uint32_t)(offsetof(struct seccomp_data, args) + 8 * (arg))

#ifdef SYSCALLS_SANITIZED
static const struct syscalls_rule sanitizer[] = {
	CALL(mmap),
	CALL(munmap),
	CALL(mprotect),
	CALL(madvise),
	CALL(mremap),
	CALL(sigaltstack),
	CALL(rt_sigaction),
	CALL(rt_sigprocmask),
	CALL(openat),
	CALL(readlinkat),
	CALL(newfstatat),
	CALL(getdents64),
	CALL(clone),
	CALL(ptrace),
	CALL(wait4),
	CALL(prctl),
	CALL(tgkill),
	CALL(kill),
	CALL(process_vm_readv),
	CALL(sched_yield),
	CALL(gettimeofday),
	CALL(gettid),
	CALL(getpid),
	CALL(getppid),
	CALL(prlimit64),
	CALL(pipe2),
	CALL(dup3),
	CALL(uname),
	CALL(nanosleep),
	CALL(faccessat),
	CALL(getuid),
	CALL(geteuid),
	CALL(pread64),
	CALL(readv),
	CALL(sched_getaffinity),
	CALL(clock_nanosleep),
	CALL(futex),
#ifdef __NR_open
	CALL(open),
	CALL(readlink),
	CALL(stat),
	CALL(lstat),
	CALL(getdents),
	CALL(access),
	CALL(pipe),
	CALL(fork),
	CALL(dup2),
#endif
};
#endif

void syscalls_init(struct syscalls *s)
{
	s->count = 0;
#ifdef SYSCALLS_SANITIZED
	syscalls_allow(s, sanitizer, ARRAY_SIZE(sanitizer));
#endif
}

void syscalls_allow(struct syscalls *s, const struct syscalls_rule *rules, size_t count)
{
	for (size_t i = 0; i < count; i++, s->count++) {
		if (s->count < SYSCALLS_MAX)
			s->rules[s->count] = rules[i];
	}
}

void syscalls_allow_abort(struct syscalls *s)
{
	const struct syscalls_rule rules[] = {
		CALL(getpid),
		CALL(gettid),
		CALL(rt_sigprocmask),
		CALL(rt_sigaction),
		CALL_IS(tgkill, 0, (uint32_t)getpid()),
	};

	syscalls_allow(s, rules, ARRAY_SIZE(rules));
}

#ifdef OUR_ARCH

/* Of the longest rule, and what stands before and after all of them, and each stride. */
#define CODE_PER_RULE 5
#define CODE_MAX      (SYSCALLS_MAX * (CODE_PER_RULE + 1) + 64)

/* About so many rules are passed over at once. Their code is shorter than a jump is long (255). */
#define STRIDE 8

struct code {
	struct sock_filter at[CODE_MAX];
	unsigned short len;
};

static void emit(struct code *c, uint16_t what, uint8_t yes, uint8_t no, uint32_t operand)
{
	c->at[c->len++] = (struct sock_filter){ what, yes, no, operand };
}

static void emit_return(struct code *c, uint32_t action)
{
	emit(c, BPF_RET | BPF_K, 0, 0, action);
}

static void emit_load(struct code *c, uint32_t offset)
{
	emit(c, BPF_LD | BPF_W | BPF_ABS, 0, 0, offset);
}

/* Leaves out @skip instructions unless what was loaded is @value. */
static void emit_unless(struct code *c, uint32_t value, uint8_t skip)
{
	emit(c, BPF_JMP | BPF_JEQ | BPF_K, 0, skip, value);
}

/* How many instructions a rule takes. */
static uint8_t rule_len(const struct syscalls_rule *r)
{
	return r->mask ? CODE_PER_RULE : 1;
}

/* Goes @left instructions behind itself where the rule holds. The number is what is loaded. */
static void emit_rule(struct code *c, const struct syscalls_rule *r, uint8_t left)
{
	if (!r->mask) {
		emit(c, BPF_JMP | BPF_JEQ | BPF_K, left, 0, r->number);
		return;
	}
	emit_unless(c, r->number, CODE_PER_RULE - 1);
	emit_load(c, ARG_OFFSET(r->arg));
	emit(c, BPF_ALU | BPF_AND | BPF_K, 0, 0, r->mask);
	emit(c, BPF_JMP | BPF_JEQ | BPF_K, (uint8_t)(left + 1), 0, r->value);
	emit_load(c, offsetof(struct seccomp_data, nr));
}

/* By number; of one number first what allows it without a condition. */
static int by_number(const void *a, const void *b)
{
	const struct syscalls_rule *x = a, *y = b;

	if (x->number != y->number)
		return x->number > y->number ? 1 : -1;
	return (x->mask != 0) - (y->mask != 0);
}

/* Sorts, and leaves out what an earlier rule makes superfluous. */
static void simplify(struct syscalls *s)
{
	size_t kept = 0;

	qsort(s->rules, s->count, sizeof(s->rules[0]), by_number);
	for (size_t i = 0; i < s->count; i++) {
		const struct syscalls_rule *last = kept ? &s->rules[kept - 1] : NULL;

		if (!last || last->number != s->rules[i].number || last->mask)
			s->rules[kept++] = s->rules[i];
	}
	s->count = kept;
}

/* The rules from @begin to @end: what is above them is passed on, the rest decided. */
static void emit_stride(struct code *c, const struct syscalls *s, size_t begin, size_t end)
{
	uint8_t left = 0;

	for (size_t i = begin; i < end; i++)
		left = (uint8_t)(left + rule_len(&s->rules[i]));
	emit(c, BPF_JMP | BPF_JGT | BPF_K, (uint8_t)(left + 2), 0, s->rules[end - 1].number);
	for (size_t i = begin; i < end; i++) {
		left = (uint8_t)(left - rule_len(&s->rules[i]));
		emit_rule(c, &s->rules[i], (uint8_t)(left + 1));
	}
	emit_return(c, SECCOMP_RET_TRAP);
	emit_return(c, SECCOMP_RET_ALLOW);
}

/*
 * The kernel compiles a filter twice and then tries it with every number there is, to know which it
 * need not be asked about again: one that is short and passed through quickly is installed quickly.
 */
static void compile(struct syscalls *s, struct code *c)
{
	c->len = 0;
	emit_load(c, offsetof(struct seccomp_data, arch));
	emit(c, BPF_JMP | BPF_JEQ | BPF_K, 1, 0, OUR_ARCH);
	emit_return(c, SECCOMP_RET_KILL_PROCESS);
	emit_load(c, offsetof(struct seccomp_data, nr));
	/* A tracer that makes a call fail, to test us, turns it into this: no call at all. */
	emit_unless(c, UINT32_MAX, 1);
	emit_return(c, SECCOMP_RET_ALLOW);
	emit_unless(c, __NR_clone3, 1);
	emit_return(c, SECCOMP_RET_ERRNO | ENOSYS);
	simplify(s);
	for (size_t begin = 0, end; begin < s->count; begin = end) {
		end = MIN(begin + STRIDE, s->count);
		/* One number is decided in one place. */
		while (end < s->count && s->rules[end].number == s->rules[end - 1].number)
			end++;
		emit_stride(c, s, begin, end);
	}
	emit_return(c, SECCOMP_RET_TRAP);
}

/*
 * SIGSYS of SECCOMP_RET_TRAP. The thread is at the system call, not at any instruction; so of what
 * is not async-signal-safe only that is forbidden what may hold a lock around one, and log_line()
 * takes none.
 */
static void on_refused(int signal_number, siginfo_t *info, void *context)
{
	static _Atomic bool told[NEWEST + 1];
	ucontext_t *at = context;
	int number = info->si_syscall, before = errno;

	(void)signal_number;
	if (info->si_code != BY_SECCOMP)
		return;
	RESULT(at) = number > NEWEST ? -ENOSYS : -EPERM;
	if (number >= 0 && number <= NEWEST && !atomic_exchange(&told[number], true))
		log_error("the sandbox refused system call %d: please report it", number);
	errno = before;
}

static int catch_refusals(struct err *e)
{
	const struct sigaction action = { .sa_sigaction = on_refused,
					  .sa_flags = SA_SIGINFO | SA_NODEFER };

	/* A blocked signal that the kernel must deliver ends the process. */
	if (sigaction(SIGSYS, &action, NULL) < 0)
		return err_sys(e, -errno, "cannot catch SIGSYS");
	return 0;
}

int syscalls_install(struct syscalls *s, bool all_threads, struct err *e)
{
	struct code code;
	struct sock_fprog program = { .filter = code.at };
	long rc;

	if (s->count > SYSCALLS_MAX)
		return err_set(e, -E2BIG, "the list of system calls is too long");
	compile(s, &code);
	program.len = code.len;
	/* #syscalls rt_sigaction seccomp */
	if (catch_refusals(e) < 0)
		return e->code;
	rc = syscall(__NR_seccomp, SECCOMP_SET_MODE_FILTER,
		     all_threads ? SECCOMP_FILTER_FLAG_TSYNC : 0, &program);
	if (rc == 0)
		return 1;
	if (rc > 0)
		return err_set(e, -ESRCH, "thread %ld cannot be confined", rc);
	if (errno == ENOSYS || errno == EINVAL || errno == EPERM)
		return 0;
	return err_sys(e, -errno, "cannot confine ourselves");
}

#else

int syscalls_install(struct syscalls *s, bool all_threads, struct err *e)
{
	(void)s, (void)all_threads, (void)e;
	return 0;
}

#endif
