/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Going into another network namespace. */
#ifndef SLUICE_NETNS_H
#define SLUICE_NETNS_H

#include "error.h"

/*
 * Moves this thread into the network namespace of the process @where (digits only) or of the file
 * @where ("/run/netns/pod"). 0; a usage error, naming --netns, when there is no such namespace;
 * -errno when we may not enter it. Needs CAP_SYS_ADMIN, for a process of another user also
 * CAP_SYS_PTRACE (namespaces(7), setns(2)).
 */
int netns_enter(const char *where, struct err *e);

#endif
