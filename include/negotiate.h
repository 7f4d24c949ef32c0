/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * In which form a scraper wants its answer: RFC 9110 sect. 12. Pure: from the lines of a
 * request's header. What cannot be read counts as not said.
 */
#ifndef SLUICE_NEGOTIATE_H
#define SLUICE_NEGOTIATE_H

#include "metrics.h"

/*
 * OpenMetrics where Accept names it and likes it no less than text/plain, else the text format:
 * also where neither is wanted, since an answer is better than none.
 */
enum metrics_format negotiate_format(struct span fields);

/* Whether Accept-Encoding takes gzip and likes it no less than identity, as far as it says so. */
bool negotiate_gzip(struct span fields);

#endif
