// SPDX-License-Identifier: GPL-2.0-or-later
/* Capabilities come down: see privs.h. */
#include "privs.h"

#include <errno.h>
#include <linux/capability.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

#define BIT(capability) (1ull << (capability))

/* Sets permitted and effective to what is held of @keep; nothing is inheritable, so not ambient. */
static int keep_only(uint64_t keep, struct err *e)
{
	struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3];

	/* #syscalls capget capset */
	if (syscall(SYS_capget, &header, data) < 0)
		return err_sys(e, -errno, "cannot read our capabilities");
	for (unsigned i = 0; i < ARRAY_SIZE(data); i++) {
		data[i].permitted &= (uint32_t)(keep >> 32 * i);
		data[i].effective = data[i].permitted;
		data[i].inheritable = 0;
	}
	if (syscall(SYS_capset, &header, data) < 0)
		return err_sys(e, -errno, "cannot drop capabilities");
	return 0;
}

/* What a command works with, once it is in the right namespace. */
static uint64_t needed(enum privs_need need)
{
	const uint64_t kernel = BIT(CAP_NET_ADMIN) | BIT(CAP_NET_RAW);

	switch (need) {
	case PRIVS_NONE:
		break;
	case PRIVS_KERNEL:
		return kernel;
	case PRIVS_PROOF:
		return kernel | BIT(CAP_SETUID) | BIT(CAP_SETGID) | BIT(CAP_NET_BIND_SERVICE) |
		       BIT(CAP_SYS_ADMIN);
	}
	return 0;
}

int privs_start(enum privs_need need, bool netns, struct err *e)
{
	uint64_t keep = needed(need);

	if (need != PRIVS_NONE && netns)
		keep |= BIT(CAP_SYS_ADMIN) | BIT(CAP_SYS_PTRACE) | BIT(CAP_DAC_READ_SEARCH);
	/* #syscalls prctl */
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return err_sys(e, -errno, "cannot forbid new privileges");
	return keep_only(keep, e);
}

int privs_joined(enum privs_need need, struct err *e)
{
	return keep_only(needed(need), e);
}

int privs_end(struct err *e)
{
	return keep_only(0, e);
}
