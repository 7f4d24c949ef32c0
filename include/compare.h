/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The plan against the kernel, exactly and in order. Pure. */
#ifndef SLUICE_COMPARE_H
#define SLUICE_COMPARE_H

#include "ruleset.h"

/* Told of each difference: one line without a newline. */
typedef void compare_report(const char *line, void *data);

/*
 * Compares what was encoded (@want) with what was read (@have), and tells @report, which may be
 * NULL, of everything missing, extra or changed. Counters, handles and generations do not count.
 * Returns the number of differences, or -ENOMEM.
 */
long compare_rulesets(const struct ruleset *want, const struct ruleset *have,
		      compare_report *report, void *data);

/*
 * Whether what of @have cannot be changed in place is as in @want: hooks, types and priorities of
 * its chains, and the shape of the set that both keep. Precondition: @have exists.
 */
bool compare_in_place(const struct ruleset *want, const struct ruleset *have);

/* Room for compare_rule_text(). */
#define COMPARE_TEXT_MAX 1024

/*
 * A rule's canonical text: its expressions as libnftnl prints them, without counters' values and
 * the generations of sets, and its comment. Two rules are equal when their texts are.
 */
const char *compare_rule_text(const struct nftnl_rule *r, char text[COMPARE_TEXT_MAX]);

#endif
