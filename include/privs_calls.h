/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Which system calls sluice makes, by what for: the lists behind the ladder of privs.h. */
#ifndef SLUICE_PRIVS_CALLS_H
#define SLUICE_PRIVS_CALLS_H

#include "syscalls.h"

enum privs_calls {
	PRIVS_CALLS_ALWAYS, /* memory, standard streams, the end */
	PRIVS_CALLS_LADDER, /* coming down a rung */
	PRIVS_CALLS_INPUT,  /* files of options, and names of users */
	PRIVS_CALLS_NETNS,  /* --netns */
	PRIVS_CALLS_KERNEL, /* reading and changing the rules */
	PRIVS_CALLS_PROOF,  /* verify */
	PRIVS_CALLS_COUNT,
};

void privs_calls_allow(struct syscalls *s, enum privs_calls what);

#endif
