// SPDX-License-Identifier: GPL-2.0-or-later
/* What crashes of the worker lead to: see crashes.h. */
#include "crashes.h"

/* Whether the last @count lie within the window that ends at @now. */
static bool crashed(const struct crashes *c, unsigned count, uint64_t now)
{
	return c->count >= count &&
	       now - c->at[(c->count - count) % CRASHES_TO_REST] < CRASHES_WINDOW_NS;
}

void crashes_add(struct crashes *c, uint64_t now)
{
	c->at[c->count % CRASHES_TO_REST] = now;
	c->count++;
	if (crashed(c, CRASHES_TO_BLIND, now) && !c->blind) {
		c->blind_for =
			c->blind_for ? MIN(2 * c->blind_for, CRASHES_BLIND_MAX) : CRASHES_BLIND_NS;
		c->see_again = now + c->blind_for;
		c->blind = true;
	}
	c->rest |= crashed(c, CRASHES_TO_REST, now);
}

void crashes_forgive(struct crashes *c, uint64_t now)
{
	if (now >= c->see_again)
		c->blind = false;
	if (!crashed(c, 1, now))
		c->rest = false;
}
