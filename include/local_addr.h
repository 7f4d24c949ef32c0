/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the kernel's routing says of an address: whether it is one of this namespace. */
#ifndef SLUICE_LOCAL_ADDR_H
#define SLUICE_LOCAL_ADDR_H

#include "addr.h"

/* A socket to ask with, of the namespace that the caller is in; the caller's. Or -errno. */
int local_addr_open(void);

/*
 * Whether @a is an address of the namespace of @fd, by its routing table of local addresses, or one
 * of several hosts (RTN_LOCAL, RTN_BROADCAST, RTN_ANYCAST, RTN_MULTICAST). 1, 0, or -errno when the
 * kernel could not be asked; that nothing leads there is 0. Does not wait.
 */
int local_addr_is(int fd, const struct addr *a);

#endif
