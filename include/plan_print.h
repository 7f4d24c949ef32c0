/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A plan for people and programs: a table, a file for nft, JSON. Pure but for the output. */
#ifndef SLUICE_PLAN_PRINT_H
#define SLUICE_PLAN_PRINT_H

#include "plan.h"

/* Room for the longest line of plan_rule_text(). */
#define PLAN_LINE_MAX 256

/*
 * The rule in the language of nft: "tcp dport @out-port-excl return". Names of sets get
 * ".@generation" when that is not 0; the counter that every rule has is left out without @counter,
 * the comment always. Returns @line.
 */
const char *plan_rule_text(const struct plan_rule *r, uint32_t generation, bool counter,
			   char line[PLAN_LINE_MAX]);

/* "type nat hook output priority -101; policy accept;", or "" for a chain only jumped to. */
const char *plan_hook_text(enum plan_chain_id chain, char line[PLAN_LINE_MAX]);

/* "inet_service", as nft calls a set's type. */
const char *plan_set_type_name(enum plan_set_type type);

/* How many ranges a set has. */
size_t plan_set_count(const struct plan_set *s);

/* Range @i of @s: "8000-8999", "10.0.0.0/8", "10.0.0.1-10.0.0.5". Returns @line. */
const char *plan_set_item_text(const struct plan_set *s, size_t i, char line[PLAN_LINE_MAX]);

/* A table: chain, row, rule. */
void plan_print_text(const struct plan *p, FILE *to);

/* A file that `nft -f` loads, and that gives what `sluice apply` gives. */
void plan_print_nft(const struct plan *p, FILE *to);

void plan_print_json(const struct plan *p, FILE *to);

#endif
