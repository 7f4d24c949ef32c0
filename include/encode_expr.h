/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * One rule's expressions, in the very form in which nft(8) writes the same line: a plan loaded
 * from `sluice plan --format=nft` and one that we programmed are equal to the last expression.
 * Pure.
 */
#ifndef SLUICE_ENCODE_EXPR_H
#define SLUICE_ENCODE_EXPR_H

#include "plan.h"

struct nftnl_rule;

/* Puts matches, counter and verdict of @r into @rule. False when memory is out. */
bool encode_expr(const struct plan_rule *r, uint32_t generation, struct nftnl_rule *rule);

/* "out-port-excl.3". */
#define ENCODE_SET_NAME_MAX (PLAN_NAME_MAX + 12)
void encode_set_name(const struct plan_set *s, uint32_t generation, char name[ENCODE_SET_NAME_MAX]);

#endif
