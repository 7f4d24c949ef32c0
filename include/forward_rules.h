/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Where a forward proxy does not go, whoever asks: addresses that mean this host, its link or the
 * cloud it runs in, in whatever spelling. Names are judged by what they resolve to, each time. What
 * only the namespace knows, its own addresses and our ports, is asked elsewhere. Pure.
 */
#ifndef SLUICE_FORWARD_RULES_H
#define SLUICE_FORWARD_RULES_H

#include "addr.h"

/* How many IPv4 addresses an IPv6 one may stand for. */
#define FORWARD_RULES_WITHIN 4u

/*
 * The IPv4 addresses that @a may be another spelling of: mapped, compatible, 6to4, and those of the
 * prefixes for NAT64 (RFC 6052, RFC 8215). Returns how many; of IPv4 there are none.
 */
size_t forward_rules_within(const struct addr *a, struct addr within[FORWARD_RULES_WITHIN]);

/* Why nobody is taken to @a, for people; NULL: no rule says so. */
const char *forward_rules_forbid(const struct addr *a);

#endif
