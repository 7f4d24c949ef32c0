/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The plan against the legacy tables, exactly and in order. Pure. */
#ifndef SLUICE_COMPARE_XT_H
#define SLUICE_COMPARE_XT_H

#include "compare.h"
#include "xtable.h"

/*
 * Compares what was encoded (@want) with what was read (@have), both of one family and table, and
 * tells @report, which may be NULL, of everything missing, extra, changed or out of place.
 * Counters do not count. Returns the number of differences, or -ENOMEM.
 */
long compare_xtables(const struct xtable *want, const struct xtable *have, compare_report *report,
		     void *data);

#endif
