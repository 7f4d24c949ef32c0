// SPDX-License-Identifier: GPL-2.0-or-later
/* Privileges come down: see privs.h. */
#include "privs.h"

#include "caps.h"
#include "log.h"
#include "privs_calls.h"

/* What a command works with, once it is in the right namespace. */
static uint64_t needed(enum privs_need need)
{
	const uint64_t kernel = CAPS_BIT(CAP_NET_ADMIN) | CAPS_BIT(CAP_NET_RAW);

	switch (need) {
	case PRIVS_NONE:
		break;
	case PRIVS_KERNEL:
		return kernel;
	case PRIVS_PROOF:
		return kernel | CAPS_BIT(CAP_SETUID) | CAPS_BIT(CAP_SETGID) |
		       CAPS_BIT(CAP_NET_BIND_SERVICE) | CAPS_BIT(CAP_SYS_ADMIN);
	}
	return 0;
}

/* The calls of every rung but the last. */
static void allow_work(struct syscalls *s, enum privs_need need)
{
	syscalls_init(s);
	privs_calls_allow(s, PRIVS_CALLS_ALWAYS);
	syscalls_allow_abort(s);
	privs_calls_allow(s, PRIVS_CALLS_LADDER);
	if (need >= PRIVS_KERNEL)
		privs_calls_allow(s, PRIVS_CALLS_KERNEL);
	if (need >= PRIVS_PROOF)
		privs_calls_allow(s, PRIVS_CALLS_PROOF);
}

int privs_start(enum privs_need need, unsigned input, struct err *e)
{
	const bool joined = need == PRIVS_KERNEL && !input;
	uint64_t keep = needed(need);
	struct syscalls s;
	int rc;

	if (need != PRIVS_NONE && input & PRIVS_ENTERS)
		keep |= CAPS_BIT(CAP_SYS_ADMIN) | CAPS_BIT(CAP_SYS_PTRACE) |
			CAPS_BIT(CAP_DAC_READ_SEARCH);
	rc = caps_no_new(e);
	if (rc == 0)
		rc = caps_keep(keep, e);
	if (rc < 0)
		return rc;
	allow_work(&s, need);
	if (!joined)
		privs_calls_allow(&s, PRIVS_CALLS_INPUT);
	if (input & PRIVS_ENTERS)
		privs_calls_allow(&s, PRIVS_CALLS_NETNS);
	rc = syscalls_install(&s, false, e);
	/* Said once, and where there is something to lose. */
	if (rc == 0 && need != PRIVS_NONE)
		log_warn("system calls cannot be confined here (seccomp): going on without");
	return rc < 0 ? rc : joined;
}

int privs_joined(enum privs_need need, struct err *e)
{
	struct syscalls s;
	int rc = caps_keep(needed(need), e);

	if (rc < 0)
		return rc;
	allow_work(&s, need);
	rc = syscalls_install(&s, false, e);
	return MIN(rc, 0);
}

int privs_end(struct err *e)
{
	struct syscalls s;
	int rc = caps_keep(0, e);

	if (rc < 0)
		return rc;
	syscalls_init(&s);
	privs_calls_allow(&s, PRIVS_CALLS_ALWAYS);
	syscalls_allow_abort(&s);
	rc = syscalls_install(&s, false, e);
	return MIN(rc, 0);
}
