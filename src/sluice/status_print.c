// SPDX-License-Identifier: GPL-2.0-or-later
/* How things stand, for people and for programs: see status.h. */
#include "status.h"

#include "explain.h"
#include "json.h"

#include <inttypes.h>
#include <linux/netfilter/nf_tables.h>

static const char *const armed_words[] = {
	[READBACK_UNSEEN] = "unknown",
	[READBACK_UNARMED] = "no",
	[READBACK_ARMED] = "yes",
};

static const char *backend_name(const struct status *s)
{
	if (readback_has_nft(&s->kernel))
		return readback_has_xt(&s->kernel) ? "nftables and the legacy tables" : "nftables";
	if (readback_has_xt(&s->kernel))
		return "the legacy tables";
	return s->kernel.nft_seen && s->kernel.xt_seen ? "none: no rules of ours are here"
						       : "unknown";
}

static bool has_rules(const struct status *s)
{
	return readback_has_nft(&s->kernel) || readback_has_xt(&s->kernel);
}

/* Whether what is redirected does not depend on the dead-man switch: --fail=closed. */
static bool fails_closed(const struct status *s)
{
	return (s->rows[PLAN_ROW_OUT_REDIRECT].present && !s->rows[PLAN_ROW_OUT_DEAD].present) ||
	       (s->rows[PLAN_ROW_IN_REDIRECT].present && !s->rows[PLAN_ROW_IN_DEAD].present);
}

/* "9211-9226 (somebody listens)". */
static void print_ports(const char *what, uint16_t first, uint16_t last, bool listening, FILE *to)
{
	fprintf(to, "%-11s ", what);
	if (!first) {
		fputs("not redirected\n", to);
		return;
	}
	fprintf(to, "to %u", first);
	if (last != first)
		fprintf(to, "-%u", last);
	fputs(listening ? ", where somebody listens\n" : ", where NOBODY listens\n", to);
}

static void print_rows(const struct status *s, FILE *to)
{
	fprintf(to, "\n%-14s %12s %14s  %s\n", "ROW", "PACKETS", "BYTES", "WHY");
	for (unsigned i = 0; i < PLAN_ROW_COUNT; i++) {
		if (s->rows[i].present)
			fprintf(to, "%-14s %12" PRIu64 " %14" PRIu64 "  %s\n", plan_row_id(i),
				s->rows[i].packets, s->rows[i].bytes,
				explain_row_meaning(plan_row_id(i)));
	}
}

static void print_list(const char *title, FILE *to, const char *item, bool *first)
{
	if (*first)
		fprintf(to, "\n%s:\n", title);
	*first = false;
	fprintf(to, "  %s\n", item);
}

static void print_neighbours(const struct status *s, FILE *to)
{
	char line[ERR_TEXT_MAX];
	bool first = true;

	for (size_t i = 0; i < s->neighbours.count; i++) {
		const struct neighbour *n = &s->neighbours.items[i];

		snprintf(line, sizeof(line), "%s: %s, %zu rule%s%s%s", n->where, n->what, n->rules,
			 n->rules == 1 ? "" : "s", n->owners[0] ? ", by " : "", n->owners);
		print_list("others with a hand in nat or connection tracking", to, line, &first);
	}
}

/* What keeps the rules of our table from doing what they say. */
static void print_spoilt(const struct ruleset *have, FILE *to)
{
	if (have->flags & NFT_TABLE_F_DORMANT)
		fprintf(to, "%-11s DORMANT: no rule of it applies; 'sluice apply' wakes it\n",
			"table");
	for (size_t i = 0; i < have->chain_count; i++) {
		if (ruleset_chain_drops(&have->chains[i]))
			fprintf(to,
				"%-11s %s has POLICY DROP, which is not ours; 'sluice apply' mends "
				"it\n",
				"chain", ruleset_chain_name(&have->chains[i]));
	}
}

void status_print_text(const struct status *s, FILE *to)
{
	char line[ERR_TEXT_MAX];
	bool first = true;

	fprintf(to, "%-11s %s\n", "backend", backend_name(s));
	if (has_rules(s)) {
		print_ports("inbound", s->ports.inbound_first, s->ports.inbound_last,
			    s->inbound_listening, to);
		print_ports("outbound", s->ports.outbound_first, s->ports.outbound_last,
			    s->outbound_listening, to);
		fprintf(to, "%-11s IPv4 %s, IPv6 %s%s\n", "armed",
			armed_words[s->kernel.armed[ADDR_V4]],
			armed_words[s->kernel.armed[ADDR_V6]],
			fails_closed(s) ? "; --fail=closed: where not, connections fail" : "");
		print_spoilt(&s->kernel.nft, to);
	}
	if (s->conntrack_max)
		fprintf(to, "%-11s %" PRIu64 " of %" PRIu64 " entries\n", "conntrack",
			s->conntrack_count, s->conntrack_max);
	if (has_rules(s))
		print_rows(s, to);
	print_neighbours(s, to);
	for (size_t i = 0; i < s->lacks.count; i++) {
		snprintf(line, sizeof(line), "%s: needed for %s", s->lacks.missing[i].name,
			 s->lacks.missing[i].use);
		print_list("the kernel lacks", to, line, &first);
	}
	first = true;
	for (size_t i = 0; i < s->unseen_count; i++)
		print_list("not seen", to, s->unseen[i], &first);
}

static const char *json_bool(bool b)
{
	return b ? "true" : "false";
}

static void json_text(const char *key, const char *value, FILE *to)
{
	fprintf(to, "\"%s\": ", key);
	json_string(span_str(value), to);
}

static void json_ports(const struct status *s, FILE *to)
{
	fprintf(to,
		" \"inbound\": {\"first\": %u, \"last\": %u, \"listening\": %s},\n"
		" \"outbound\": {\"first\": %u, \"last\": %u, \"listening\": %s},\n",
		s->ports.inbound_first, s->ports.inbound_last, json_bool(s->inbound_listening),
		s->ports.outbound_first, s->ports.outbound_last, json_bool(s->outbound_listening));
	fprintf(to, " \"armed\": {\"ipv4\": \"%s\", \"ipv6\": \"%s\"}, \"fail\": \"%s\",\n",
		armed_words[s->kernel.armed[ADDR_V4]], armed_words[s->kernel.armed[ADDR_V6]],
		fails_closed(s) ? "closed" : "open");
}

static void json_spoilt(const struct ruleset *have, FILE *to)
{
	const char *comma = "";

	fprintf(to, " \"dormant\": %s, \"dropping\": [",
		json_bool(have->flags & NFT_TABLE_F_DORMANT));
	for (size_t i = 0; i < have->chain_count; i++) {
		if (!ruleset_chain_drops(&have->chains[i]))
			continue;
		fputs(comma, to);
		json_string(span_str(ruleset_chain_name(&have->chains[i])), to);
		comma = ", ";
	}
	fputs("],\n", to);
}

static void json_rows(const struct status *s, FILE *to)
{
	const char *comma = "";

	fputs(" \"rows\": {", to);
	for (unsigned i = 0; i < PLAN_ROW_COUNT; i++) {
		if (!s->rows[i].present)
			continue;
		fprintf(to, "%s\n  \"%s\": {\"packets\": %" PRIu64 ", \"bytes\": %" PRIu64 "}",
			comma, plan_row_id(i), s->rows[i].packets, s->rows[i].bytes);
		comma = ",";
	}
	fputs("},\n", to);
}

static void json_neighbours(const struct status *s, FILE *to)
{
	fputs(" \"neighbours\": [", to);
	for (size_t i = 0; i < s->neighbours.count; i++) {
		const struct neighbour *n = &s->neighbours.items[i];

		fprintf(to, "%s\n  {", i ? "," : "");
		json_text("where", n->where, to);
		fputs(", ", to);
		json_text("what", n->what, to);
		fputs(", ", to);
		json_text("owners", n->owners, to);
		fprintf(to, ", \"hook\": %s, \"priority\": %d, \"rules\": %zu}", json_bool(n->hook),
			n->priority, n->rules);
	}
	fputs("],\n", to);
}

void status_print_json(const struct status *s, FILE *to)
{
	fprintf(to, "{\"nftables\": %s, \"legacy\": %s,\n", json_bool(readback_has_nft(&s->kernel)),
		json_bool(readback_has_xt(&s->kernel)));
	json_ports(s, to);
	json_spoilt(&s->kernel.nft, to);
	json_rows(s, to);
	json_neighbours(s, to);
	fputs(" \"missing\": [", to);
	for (size_t i = 0; i < s->lacks.count; i++) {
		fputs(i ? ", " : "", to);
		json_string(span_str(s->lacks.missing[i].name), to);
	}
	fprintf(to, "],\n \"conntrack\": {\"count\": %" PRIu64 ", \"max\": %" PRIu64 "},\n",
		s->conntrack_count, s->conntrack_max);
	fputs(" \"unseen\": [", to);
	for (size_t i = 0; i < s->unseen_count; i++) {
		fputs(i ? ", " : "", to);
		json_string(span_str(s->unseen[i]), to);
	}
	fputs("]}\n", to);
}
