// SPDX-License-Identifier: GPL-2.0-or-later
/* Whether to wait for A or AAAA: see resolver_race.h. */
#include "resolver_race.h"

/* @verdict when @delay is over that began at @at, or when there is nothing to wait for. */
static enum race_verdict after(uint64_t at, uint64_t delay, uint64_t now, uint64_t *due,
			       enum race_verdict verdict)
{
	uint64_t end = delay > UINT64_MAX - at ? UINT64_MAX : at + delay;

	if (now >= end)
		return verdict;
	*due = end;
	return RACE_WAIT;
}

static bool has(const struct race *r, enum race_state state)
{
	return r->halves[ADDR_V4].state == state || r->halves[ADDR_V6].state == state;
}

enum race_verdict race_judge(const struct race *r, const struct race_delays *delays, uint64_t now,
			     uint64_t *due)
{
	*due = UINT64_MAX;
	if (has(r, RACE_ADDRESSES)) {
		if (!has(r, RACE_ASKED))
			return RACE_WHOLE;
		if (r->halves[ADDR_V6].state == RACE_ADDRESSES)
			return RACE_PART;
		return after(r->halves[ADDR_V4].at, delays->addresses, now, due, RACE_PART);
	}
	for (unsigned f = 0; f < ADDR_FAMILY_COUNT; f++) {
		if (r->halves[f].state != RACE_NO_NAME)
			continue;
		if (!has(r, RACE_ASKED))
			return RACE_NEXT;
		return after(r->halves[f].at, delays->no_name[f], now, due, RACE_NEXT);
	}
	if (has(r, RACE_ASKED))
		return RACE_WAIT;
	if (has(r, RACE_SKIPPED))
		return RACE_ASK;
	return has(r, RACE_FAILED) || has(r, RACE_SILENT) ? RACE_GIVE_UP : RACE_NEXT;
}
