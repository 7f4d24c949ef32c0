/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Rules of nftables as nft(8) writes them, read off their expressions: the way back from
 * encode_expr.h. Pure.
 */
#ifndef SLUICE_DECODE_NFT_H
#define SLUICE_DECODE_NFT_H

#include "base.h"

struct nftnl_rule;

#define DECODE_NFT_LINE_MAX 1024

/*
 * The rule without its comment, cut at DECODE_NFT_LINE_MAX. What we encode reads as in plan_text.c:
 * with @exact, counters and the generations of sets too. Expressions that we do not use, or
 * not in that way, are put as libnftnl prints them: "[ limit rate 1/second ]". Returns @line.
 */
const char *decode_nft(const struct nftnl_rule *r, bool exact, char line[DECODE_NFT_LINE_MAX]);

#endif
