// SPDX-License-Identifier: GPL-2.0-or-later
/* A plan as JSON: see plan_print.h. */
#include "plan_print.h"

/* Our texts are printable ASCII; only quotes and backslashes need care. */
static void print_string(const char *text, FILE *to)
{
	fputc('"', to);
	for (; *text; text++) {
		if (*text == '"' || *text == '\\')
			fputc('\\', to);
		fputc(*text, to);
	}
	fputc('"', to);
}

static void print_set(const struct plan_set *s, FILE *to)
{
	char line[PLAN_LINE_MAX];

	fprintf(to, "{\"name\": \"%s\", \"type\": \"%s\", \"ranges\": [", s->name,
		plan_set_type_name(s->type));
	for (size_t i = 0; i < plan_set_count(s); i++)
		fprintf(to, "%s\"%s\"", i ? ", " : "", plan_set_item_text(s, i, line));
	fputs("]}", to);
}

static void print_chain(enum plan_chain_id id, const struct plan_chain *c, FILE *to)
{
	char line[PLAN_LINE_MAX];

	fprintf(to, "{\"name\": \"%s\", ", plan_chain_name(id));
	if (plan_chain_hook(id) != PLAN_HOOK_NONE)
		fprintf(to, "\"base\": \"%s\", ", plan_hook_text(id, line));
	fputs("\"rules\": [", to);
	for (size_t i = 0; i < c->count; i++) {
		fprintf(to, "%s\n    {\"row\": \"%s\", \"rule\": ", i ? "," : "",
			plan_row_id(c->rules[i].row));
		print_string(plan_rule_text(&c->rules[i], 0, false, line), to);
		fputc('}', to);
	}
	fputs("]}", to);
}

void plan_print_json(const struct plan *p, FILE *to)
{
	bool first = true;

	fputs("{\"family\": \"inet\", \"table\": \"" PLAN_TABLE "\",\n \"sets\": [", to);
	for (size_t i = 0; i < p->set_count; i++) {
		fputs(i ? ",\n  " : "\n  ", to);
		print_set(&p->sets[i], to);
	}
	fputs("],\n \"chains\": [", to);
	for (unsigned c = 0; c < PLAN_CHAIN_COUNT; c++) {
		if (!p->chains[c].present)
			continue;
		fputs(first ? "\n  " : ",\n  ", to);
		print_chain(c, &p->chains[c], to);
		first = false;
	}
	fputs("]}\n", to);
}
