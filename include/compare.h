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

#define COMPARE_TEXT_MAX 1024

/* A rule in a form that compares. */
struct compare_form {
	/*
	 * Its expressions as libnftnl prints them, without counters' values, set generations and
	 * timeout, and its comment.
	 */
	char text[COMPARE_TEXT_MAX];
	uint64_t timeout_ms; /* of what it puts into a set; 0: nothing, or for ever */
};

void compare_form(const struct nftnl_rule *r, struct compare_form *out);

/*
 * Whether the rule that was read is the one that was wanted. The kernel keeps timeouts in ticks of
 * @tick_ns and cuts off: 50 ms come back as 48 where a tick has 4. 0: as they were written.
 */
bool compare_forms_equal(const struct compare_form *want, const struct compare_form *have,
			 uint32_t tick_ns);

#endif
