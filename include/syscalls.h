/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What this process may still ask of the kernel: an allow list of system calls (seccomp(2)).
 *
 * Theory of Operation: a filter is put together from lists of rules, then installed for good.
 * Filters stack, and the strictest of them decides: each rung of a ladder may only allow less. What
 * no rule allows is not run: it fails with EPERM, and one line on stderr says which call it was. So
 * a call that a list lacks is an error like any other, which is told and leaves nothing half done;
 * a process that is killed in the middle would. clone3(2), whose arguments no filter can see, and
 * calls that are newer than this code fail with ENOSYS, on which every C library uses what it used
 * before. Calls by another architecture's numbers end the process: nothing of ours makes any.
 *
 * The program is made here rather than by libseccomp, which takes 0.1 ms of CPU for each filter and
 * a library more in the image.
 */
#ifndef SLUICE_SYSCALLS_H
#define SLUICE_SYSCALLS_H

#include "error.h"

#include <sys/syscall.h>

struct syscalls_rule {
	uint32_t number;
	uint32_t arg;	      /* which argument must be as below, from 0 */
	uint32_t mask, value; /* (arg & mask) == value, of its low 32 bits; mask 0: anything goes */
};

/* Rows of lists. scripts/check-syscalls reads them. */
#define CALL(name)                    \
	{                             \
		.number = __NR_##name \
	}
#define CALL_IS(name, a, v)                                                         \
	{                                                                           \
		.number = __NR_##name, .arg = (a), .mask = UINT32_MAX, .value = (v) \
	}
#define CALL_WITHOUT(name, a, bits)                               \
	{                                                         \
		.number = __NR_##name, .arg = (a), .mask = (bits) \
	}

#define SYSCALLS_MAX 192

struct syscalls {
	struct syscalls_rule rules[SYSCALLS_MAX];
	size_t count; /* more than there is room for: syscalls_install() says so */
};

/*
 * Whether this is built with a sanitizer, whose runtime makes calls of its own at any time (it
 * reads /proc, and looks for leaks with ptrace(2)): they are allowed then.
 */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SYSCALLS_SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define SYSCALLS_SANITIZED 1
#endif
#endif

/* Allows nothing yet but what a sanitizer needs. */
void syscalls_init(struct syscalls *s);

void syscalls_allow(struct syscalls *s, const struct syscalls_rule *rules, size_t count);

/* abort(3), which signals this process and no other; libraries of ours call it. */
void syscalls_allow_abort(struct syscalls *s);

/*
 * Puts the filter in force, for this thread and those it makes, or for all. Needs no_new_privs.
 * 1, or 0 where this kernel or whoever confines us already lets no process filter itself, or on
 * an architecture that this is not written for; -errno with @e set.
 */
int syscalls_install(struct syscalls *s, bool all_threads, struct err *e);

#endif
