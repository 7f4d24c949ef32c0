// SPDX-License-Identifier: GPL-2.0-or-later
/* Capabilities of this thread: see caps.h. */
#include "caps.h"

#include <errno.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

int caps_keep(uint64_t keep, struct err *e)
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

int caps_no_new(struct err *e)
{
	/* Before any filter is in force. */
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return err_sys(e, -errno, "cannot forbid new privileges");
	return 0;
}
