/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The elements of two sets against each other: the part of compare.h that knows ranges. Pure. */
#ifndef SLUICE_COMPARE_SET_H
#define SLUICE_COMPARE_SET_H

#include "ruleset.h"

struct comparison;

/* Counts and reports one difference of an element: kind "missing" or "extra". In compare.c. */
void compare_differ(struct comparison *c, const char *kind, const char *set, const char *range);

/* Reports every range that only one of the two has; @want says what its keys are. */
void compare_set_ranges(struct comparison *c, const char *name, const struct ruleset_set *want,
			const struct ruleset_set *have);

#endif
