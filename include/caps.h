/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Capabilities of this thread: they only ever get fewer. */
#ifndef SLUICE_CAPS_H
#define SLUICE_CAPS_H

#include "error.h"

#include <linux/capability.h>

#define CAPS_BIT(capability) (1ull << (capability))

/*
 * Leaves permitted and effective what is held of @keep (bits of CAPS_BIT), and nothing inheritable,
 * so nothing ambient: capabilities(7). Threads made from then on hold no more. 0 or -errno with @e
 * set.
 */
int caps_keep(uint64_t keep, struct err *e);

/* Nothing that is run from now on may hold more than this process: PR_SET_NO_NEW_PRIVS. */
int caps_no_new(struct err *e);

#endif
