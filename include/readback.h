/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the kernel holds of ours, in whichever backend, and whether it believes in the proxy. */
#ifndef SLUICE_READBACK_H
#define SLUICE_READBACK_H

#include "ruleset.h"
#include "xtable.h"

/* Whether the switch holds each family's redirects, as far as can be seen. */
enum readback_armed {
	READBACK_UNSEEN,
	READBACK_UNARMED,
	READBACK_ARMED,
};

/* Our rules in one backend. What a backend cannot hold, or we cannot see, is empty. */
struct readback {
	struct ruleset nft;
	bool nft_seen;	    /* looked at, whether there was anything or not */
	struct err nft_why; /* why not */
	struct xtable xt[LOWER_TABLE_COUNT][ADDR_FAMILY_COUNT];
	bool xt_seen;
	bool xt_any; /* there is something of ours in the legacy tables */
	struct err xt_why;
	enum readback_armed armed[ADDR_FAMILY_COUNT];
};

/*
 * Reads all there is. Legacy tables are looked at only where this namespace has them already. Never
 * fails: what could not be seen says why. @out is the caller's to finish.
 */
void readback_rules(struct readback *out);

/*
 * Fills in @out->armed. For the legacy tables that means to wait for a heartbeat, for a little more
 * than a second if there is none: their list does not tell the time in a unit that we know.
 */
void readback_armed(struct readback *out);

void readback_fini(struct readback *r);

/* Whether there is a plan in nftables, or in the legacy tables. */
bool readback_has_nft(const struct readback *r);
bool readback_has_xt(const struct readback *r);

#endif
