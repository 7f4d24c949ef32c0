/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What two questions for one name, A and AAAA, have come to, and whether to wait for more: the
 * Resolution Delay of RFC 8305 sect. 3. Pure: time comes with the call (ns).
 *
 * Theory of Operation: IPv6 addresses are good at once, IPv4 ones after the delay or with the other
 * answer: a server that drops AAAA, as some do (RFC 4074 sect. 4.1), then costs the delay and not
 * its time-out. That there is no such name holds for both families (RFC 8020), so the other answer
 * is waited for no longer than that, but for A longer: some servers say so of AAAA wrongly
 * (RFC 4074 sect. 4.2). That it has none of one family says nothing of the other, which is waited
 * for to its end.
 */
#ifndef SLUICE_RESOLVER_RACE_H
#define SLUICE_RESOLVER_RACE_H

#include "addr.h"

enum race_state {
	RACE_SKIPPED, /* not asked, so as not to wait for it */
	RACE_ASKED,
	RACE_ADDRESSES,
	RACE_NONE,    /* the name has none of this family */
	RACE_NO_NAME, /* nor anything else */
	RACE_FAILED,  /* the servers would not say */
	RACE_SILENT,  /* no server said anything */
	RACE_STATE_COUNT,
};

struct race {
	struct {
		uint8_t state; /* enum race_state */
		uint64_t at;   /* ns, when it came to that */
	} halves[ADDR_FAMILY_COUNT];
};

/* How long an answer waits for the other one, in ns. */
struct race_delays {
	uint64_t addresses;		     /* those of A */
	uint64_t no_name[ADDR_FAMILY_COUNT]; /* that there is no such name, by who says so */
};

enum race_verdict {
	RACE_WAIT,    /* for an answer, or until *due */
	RACE_ASK,     /* what was skipped, after all */
	RACE_PART,    /* there are addresses, and perhaps more to come */
	RACE_WHOLE,   /* there are addresses, and no more to come */
	RACE_NEXT,    /* the name has no addresses */
	RACE_GIVE_UP, /* it may have some, but nobody says so */
};

/* *@due: when to judge again, whatever comes; UINT64_MAX: no need. */
enum race_verdict race_judge(const struct race *r, const struct race_delays *delays, uint64_t now,
			     uint64_t *due);

#endif
