// SPDX-License-Identifier: GPL-2.0-or-later
/* Looking around: see status.h. */
#include "status.h"

#include "decode_xt.h"
#include "parse.h"

#include <libnftnl/expr.h>
#include <libnftnl/rule.h>

#include <errno.h>
#include <inttypes.h>
#include <string.h>

/* The row that a comment names; NULL for none of ours. */
static struct status_count *find_row(struct status_count rows[PLAN_ROW_COUNT], const char *id)
{
	for (unsigned i = 0; i < PLAN_ROW_COUNT; i++) {
		if (strcmp(plan_row_id(i), id) == 0)
			return &rows[i];
	}
	return NULL;
}

static int add_counter(struct nftnl_expr *x, void *data)
{
	struct status_count *row = data;

	if (strcmp(nftnl_expr_get_str(x, NFTNL_EXPR_NAME), "counter") == 0) {
		row->packets += nftnl_expr_get_u64(x, NFTNL_EXPR_CTR_PACKETS);
		row->bytes += nftnl_expr_get_u64(x, NFTNL_EXPR_CTR_BYTES);
	}
	return 0;
}

void status_count_nft(const struct ruleset *have, struct status_count rows[PLAN_ROW_COUNT])
{
	char comment[PLAN_NAME_MAX];

	for (size_t i = 0; i < have->chain_count; i++) {
		for (size_t j = 0; j < have->chains[i].count; j++) {
			const struct nftnl_rule *rule = have->chains[i].rules[j].nft;
			struct status_count *row = find_row(
				rows, ruleset_rule_comment(rule, comment, sizeof(comment)));

			if (!row)
				continue;
			row->present = true;
			ruleset_each_expr(rule, add_counter, row);
		}
	}
}

/*
 * A rule without a comment is part of a tree. Where it leads on it decides nothing; where it
 * returns, its chain's name has the row: "SLUICE_out-cidr-excl.17".
 */
static const char *row_of(const struct xtable *t, const struct xtable_chain *c,
			  const struct xtable_rule *r, char row[PLAN_NAME_MAX])
{
	const char *comment = xtable_comment(t, r), *dot = strrchr(c->name, '.');

	if (comment[0] || !dot || strcmp(xtable_target(t, r), "RETURN") != 0)
		return comment;
	snprintf(row, PLAN_NAME_MAX, "%.*s", (int)(dot - c->name - (int)strlen(LOWER_PREFIX)),
		 c->name + strlen(LOWER_PREFIX));
	return row;
}

void status_count_xt(const struct xtable *have, struct status_count rows[PLAN_ROW_COUNT])
{
	char text[PLAN_NAME_MAX];

	for (size_t i = 0; i < have->chain_count; i++) {
		const struct xtable_chain *c = &have->chains[i];

		for (size_t j = 0; j < c->count; j++) {
			struct status_count *row =
				find_row(rows, row_of(have, c, &c->rules[j], text));

			if (!row)
				continue;
			row->present = true;
			row->packets += c->rules[j].packets;
			row->bytes += c->rules[j].bytes_seen;
		}
	}
}

static void note_unseen(struct status *s, const char *what, const struct err *why)
{
	if (s->unseen_count == STATUS_UNSEEN_MAX)
		return;
	snprintf(s->unseen[s->unseen_count++], ERR_TEXT_MAX, "%s: %.400s", what,
		 why->text[0] ? why->text : "not known");
}

static void gather_rules(struct status *s)
{
	readback_rules(&s->kernel);
	readback_armed(&s->kernel);
	if (!s->kernel.nft_seen)
		note_unseen(s, "the rules in nftables", &s->kernel.nft_why);
	if (!s->kernel.xt_seen)
		note_unseen(s, "the rules in the legacy tables", &s->kernel.xt_why);
	if (readback_has_nft(&s->kernel)) {
		status_count_nft(&s->kernel.nft, s->rows);
		s->ports = ruleset_redirect_ports(&s->kernel.nft);
	}
	for (unsigned f = 0; f < ADDR_FAMILY_COUNT; f++) {
		for (unsigned i = 0; i < LOWER_TABLE_COUNT; i++)
			status_count_xt(&s->kernel.xt[i][f], s->rows);
		decode_xt_ports(&s->kernel.xt[LOWER_MANGLE][f], &s->ports);
		decode_xt_ports(&s->kernel.xt[LOWER_NAT][f], &s->ports);
	}
}

/* /proc/net/tcp: " 0: 00000000:23FB 00000000:0000 0A ...": index, local, remote, state. */
#define FIELD_LOCAL  1
#define FIELD_STATE  3
#define STATE_LISTEN 0x0a

static bool listens(const char *path, uint16_t port)
{
	_cleanup_fclose_ FILE *f = fopen(path, "re");
	char line[512];

	while (f && fgets(line, sizeof(line), f)) {
		unsigned long local = 0, state = 0;
		char *rest = NULL, *word = strtok_r(line, " ", &rest);

		for (unsigned i = 0; word && i <= FIELD_STATE; i++) {
			const char *colon = strchr(word, ':');

			if (i == FIELD_LOCAL && colon)
				local = strtoul(colon + 1, NULL, 16);
			if (i == FIELD_STATE)
				state = strtoul(word, NULL, 16);
			word = strtok_r(NULL, " ", &rest);
		}
		if (local == port && state == STATE_LISTEN)
			return true;
	}
	return false;
}

static bool somebody_listens(uint16_t port)
{
	return port &&
	       (listens("/proc/self/net/tcp", port) || listens("/proc/self/net/tcp6", port));
}

static bool read_number(const char *path, uint64_t *out)
{
	_cleanup_fclose_ FILE *f = fopen(path, "re");
	char line[64];

	return f && fgets(line, sizeof(line), f) &&
	       parse_u64(SPAN(line, strcspn(line, "\n")), 0, UINT64_MAX, out, NULL) == 0;
}

static void gather_conntrack(struct status *s)
{
	if (!read_number("/proc/sys/net/netfilter/nf_conntrack_count", &s->conntrack_count) ||
	    !read_number("/proc/sys/net/netfilter/nf_conntrack_max", &s->conntrack_max))
		s->conntrack_count = s->conntrack_max = 0;
}

void status_gather(struct status *out)
{
	struct err e = ERR_INIT;

	*out = (struct status){ .unseen_count = 0 };
	gather_rules(out);
	out->inbound_listening = somebody_listens(out->ports.inbound_first);
	out->outbound_listening = somebody_listens(out->ports.outbound_first);
	if (neighbours_nft(&out->neighbours, &e) < 0)
		note_unseen(out, "what others have in nftables", &e);
	e = (struct err)ERR_INIT;
	if (neighbours_legacy(&out->neighbours, &e) < 0)
		note_unseen(out, "what others have in the legacy tables", &e);
	e = (struct err)ERR_INIT;
	if (lacks_probe(&out->lacks, &e) < 0)
		note_unseen(out, "what the kernel lacks", &e);
	gather_conntrack(out);
}

void status_fini(struct status *s)
{
	readback_fini(&s->kernel);
	neighbours_fini(&s->neighbours);
}
