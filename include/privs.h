/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Privileges only come down, one rung at a time; each function is a rung.
 *
 * Works alike for root and for any user with the capability (ambient, or of the file): what we
 * hold is cut down to what the rung allows, and nothing is asked for that we do not hold. The same
 * goes for system calls: each rung has a list (privs_calls.h), and what is not on it fails
 * (syscalls.h).
 */
#ifndef SLUICE_PRIVS_H
#define SLUICE_PRIVS_H

#include "error.h"

enum privs_need {
	PRIVS_NONE,   /* plan, help, version */
	PRIVS_KERNEL, /* what programs or reads the kernel's rules */
	PRIVS_PROOF,  /* verify: also connects as others, from a namespace of its own */
};

/* What the input may ask for, as far as one look tells. */
enum {
	PRIVS_ENTERS = 1, /* another network namespace */
	PRIVS_NAMES = 2,  /* users or groups by name */
};

/*
 * First rung, before any input is parsed.
 *
 * Should: keep CAP_NET_ADMIN and CAP_NET_RAW, where @need says so, and what entering a namespace
 * takes (CAP_SYS_ADMIN, CAP_SYS_PTRACE, CAP_DAC_READ_SEARCH) where @input says so; for a proof
 * what connections of others take (CAP_SETUID, CAP_SETGID, CAP_NET_BIND_SERVICE, CAP_SYS_ADMIN);
 * forbid gaining anything by exec, and every system call that neither this nor a later rung makes.
 * Mustn't: look at the input beyond the command's name and for what @input says.
 *
 * From here to the next rung: files of options are read, and users are looked up that were given
 * by name, which may load code (nsswitch.conf). Mustn't: write a file, run a program.
 *
 * Where @input holds nothing, a command for the kernel (PRIVS_KERNEL) is on the second rung at
 * once, and this returns 1: that spares a filter. Else 0, or -errno.
 */
int privs_start(enum privs_need need, unsigned input, struct err *e);

/*
 * Second rung, in the right namespace and with a frozen configuration.
 *
 * Should: keep CAP_NET_ADMIN and, for the legacy tables, CAP_NET_RAW; for a proof what it takes.
 * Mustn't, from here on: open files but the lock of iptables and what /proc tells of its tables;
 * look up users; map code; enter a namespace, but for a proof, its own.
 */
int privs_joined(enum privs_need need, struct err *e);

/*
 * Last rung, when the kernel has been asked all there is to ask. A command that asks it nothing
 * takes it as soon as its options are read.
 *
 * Should: keep nothing.
 * Mustn't: do more than read standard input and print; open anything.
 */
int privs_end(struct err *e);

#endif
