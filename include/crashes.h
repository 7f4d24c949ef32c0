/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What crashes of the worker lead to. Three in a minute may be an observer's fault: flows are not
 * observed for ten minutes, and twice as long each further time, up to a day. Where they go on all
 * the same, each resets what is open, and the applications are better off without us: ten in a
 * minute, and new connections go past us until a minute has passed without one. Pure.
 */
#ifndef SLUICE_CRASHES_H
#define SLUICE_CRASHES_H

#include "base.h"

#define CRASHES_WINDOW_NS 60000000000ull
#define CRASHES_TO_BLIND  3  /* so many within the window: flows are not observed for a while */
#define CRASHES_TO_REST	  10 /* so many: new connections go past us */
#define CRASHES_BLIND_NS  600000000000ull /* the first time */
#define CRASHES_BLIND_MAX 86400000000000ull

/* All zero: there were none. Times are in ns, of a clock that never goes back. */
struct crashes {
	uint64_t at[CRASHES_TO_REST]; /* when the last ones were */
	unsigned count;
	uint64_t see_again; /* when observing is tried again */
	uint64_t blind_for; /* the last time */
	bool blind;	    /* nothing is to be observed */
	bool rest;	    /* new connections are to go past us */
};

/* There was one more. */
void crashes_add(struct crashes *c, uint64_t now);

/* It is @now: what crashes led to ends some time after the last. */
void crashes_forgive(struct crashes *c, uint64_t now);

#endif
