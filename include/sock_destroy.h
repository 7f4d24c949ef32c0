/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Resets TCP connections of this network namespace by their local port (sock_diag). */
#ifndef SLUICE_SOCK_DESTROY_H
#define SLUICE_SOCK_DESTROY_H

#include "error.h"

/*
 * Destroys every TCP connection, of both families, whose local port is first to last (host
 * order): each side sees a RST. Listeners stay. Returns how many, -EOPNOTSUPP when the kernel was
 * built without INET_DIAG_DESTROY, or another -errno; @e is set on failure. Needs CAP_NET_ADMIN.
 */
long sock_destroy(uint16_t first, uint16_t last, struct err *e);

/* Whether this kernel can: asked by way of a socket that cannot exist. True when in doubt. */
bool sock_destroy_possible(void);

#endif
