// SPDX-License-Identifier: GPL-2.0-or-later
/* A plan as a file for nft(8): see plan_print.h. */
#include "plan_print.h"

/* The generation that a fresh `sluice apply` starts with. */
#define NFT_GENERATION 1u

static void print_nft_set(const struct plan_set *s, FILE *to)
{
	size_t count = plan_set_count(s);
	char line[PLAN_LINE_MAX];

	fprintf(to, "\n\tset %s.%u {\n\t\ttype %s\n\t\tflags interval\n\t\telements = {", s->name,
		NFT_GENERATION, plan_set_type_name(s->type));
	for (size_t i = 0; i < count; i++)
		fprintf(to, "%s%s", i ? ",\n\t\t\t     " : " ", plan_set_item_text(s, i, line));
	fputs(" }\n\t}\n", to);
}

void plan_print_nft(const struct plan *p, FILE *to)
{
	char line[PLAN_LINE_MAX];

	/* Made first, so that deleting works whether it was there or not. */
	fputs("table inet " PLAN_TABLE "\ndelete table inet " PLAN_TABLE "\n\n"
	      "table inet " PLAN_TABLE " {\n"
	      "\tset alive {\n\t\ttype nf_proto\n\t\tsize 8\n\t\tflags dynamic,timeout\n\t}\n",
	      to);
	for (size_t i = 0; i < p->set_count; i++)
		print_nft_set(&p->sets[i], to);
	for (unsigned c = 0; c < PLAN_CHAIN_COUNT; c++) {
		const struct plan_chain *chain = &p->chains[c];

		if (!chain->present)
			continue;
		fprintf(to, "\n\tchain %s {\n", plan_chain_name(c));
		if (plan_chain_hook(c) != PLAN_HOOK_NONE)
			fprintf(to, "\t\t%s\n", plan_hook_text(c, line));
		for (size_t i = 0; i < chain->count; i++)
			fprintf(to, "\t\t%s comment \"%s\"\n",
				plan_rule_text(&chain->rules[i], NFT_GENERATION, true, line),
				plan_row_id(chain->rules[i].row));
		fputs("\t}\n", to);
	}
	fputs("}\n", to);
}
