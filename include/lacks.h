/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What this kernel can do, found out without leaving anything behind. */
#ifndef SLUICE_LACKS_H
#define SLUICE_LACKS_H

#include "error.h"

/* One thing that a plan may need. */
struct feature {
	const char *name; /* "nft socket" */
	const char *use;  /* what goes without it */
};

#define LACKS_MAX 16

struct lacks {
	struct feature missing[LACKS_MAX];
	size_t count;
};

/*
 * Tries each expression in a rule of a transaction that is never ended, so that the kernel looks at
 * all and does nothing: no table, no event, no new generation. 0 or -errno with @e set.
 */
int lacks_probe(struct lacks *out, struct err *e);

#endif
