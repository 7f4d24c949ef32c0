/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Rules of the legacy tables as text, read off their bytes: what we print is what the kernel gets,
 * and what it holds reads the same. Pure.
 */
#ifndef SLUICE_DECODE_XT_H
#define SLUICE_DECODE_XT_H

#include "xtable.h"

/* Room for the longest line: 15 ports, two addresses, a comment of 255. */
#define DECODE_XT_LINE_MAX 768

/*
 * The rule as iptables-save prints it, without "-A CHAIN ". Of extensions that we do not use, the
 * name alone: "-m mark ...". Returns @line.
 */
const char *decode_xt(const struct xtable *t, const struct xtable_rule *r,
		      char line[DECODE_XT_LINE_MAX]);

/* Whether the rule redirects, and then to which ports, in host order. */
bool decode_xt_redirect(const struct xtable *t, const struct xtable_rule *r, uint16_t *first,
			uint16_t *last);

/*
 * Where redirected connections arrive, and who the proxy is, read off the rules; members that no
 * rule sets stay.
 */
void decode_xt_ports(const struct xtable *t, struct plan_ports *ports);

/*
 * The plan as a file for `iptables-legacy-restore --noflush` or, for IPv6,
 * ip6tables-legacy-restore: our chains are made, or emptied, and filled; nothing of others is
 * touched. 0 or -ENOMEM.
 */
int decode_xt_print(const struct plan *p, enum addr_family family, FILE *to, struct err *e);

#endif
