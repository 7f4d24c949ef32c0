// SPDX-License-Identifier: GPL-2.0-or-later
/* Rules read back from their expressions: each rule of each golden plan as the plan's own line. */
#include "sluice_config.h"

#include "decode_nft.h"
#include "encode_nft.h"
#include "plan_print.h"

#include <libnftnl/expr.h>
#include <libnftnl/rule.h>

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

#include <glob.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>

/* Both forms of each rule of a plan. Returns how many there were. */
static size_t check_plan(const struct plan *p, const char *file)
{
	struct ruleset encoded = { .exists = false };
	size_t count = 0;

	assert_int_equal(encode_nft(p, 3, &encoded, NULL), 0);
	for (unsigned c = 0; c < PLAN_CHAIN_COUNT; c++) {
		const struct ruleset_chain *chain =
			ruleset_find_chain(&encoded, plan_chain_name(c));

		for (size_t i = 0; i < p->chains[c].count; i++, count++) {
			const struct plan_rule *rule = &p->chains[c].rules[i];
			char line[DECODE_NFT_LINE_MAX], want[PLAN_LINE_MAX];

			decode_nft(chain->rules[i].nft, true, line);
			if (strcmp(line, plan_rule_text(rule, 3, true, want)) != 0)
				fail_msg("%s: '%s' reads as '%s'", file, want, line);
			decode_nft(chain->rules[i].nft, false, line);
			if (strcmp(line, plan_rule_text(rule, 0, false, want)) != 0)
				fail_msg("%s: '%s' reads as '%s'", file, want, line);
		}
	}
	ruleset_fini(&encoded);
	return count;
}

/* The plan of one file of arguments, one a line. */
static size_t check_file(const char *path)
{
	const char *args[32] = { NULL };
	FILE *f = fopen(path, "re");
	struct err e = ERR_INIT;
	char text[4096], *save = NULL;
	struct config config;
	struct plan plan;
	size_t count = 0;

	assert_non_null(f);
	text[fread(text, 1, sizeof(text) - 1, f)] = '\0';
	fclose(f);
	for (char *line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
		assert_true(count + 1 < ARRAY_SIZE(args));
		args[count++] = line;
	}
	if (config_from(&config, args, &e) < 0)
		fail_msg("%s: %s", path, e.text);
	assert_int_equal(plan_build(&plan, &config, &e), 0);
	count = check_plan(&plan, path);
	plan_fini(&plan);
	config_fini(&config);
	return count;
}

static void test_golden(void **state)
{
	char pattern[4096] = __FILE__;
	size_t count = 0;
	glob_t files;

	(void)state;
	/* __FILE__ is tests/unit/..., from where the compiler was run: the top of the tree. */
	strcpy(strrchr(pattern, '/'), "/../golden/*.args");
	assert_int_equal(glob(pattern, 0, NULL, &files), 0);
	for (size_t i = 0; i < files.gl_pathc; i++)
		count += check_file(files.gl_pathv[i]);
	assert_in_range(files.gl_pathc, 15, 1000);
	assert_in_range(count, 200, 100000);
	globfree(&files);
}

static void test_anchor(void **state)
{
	const struct plan_ports ports = { .inbound_first = 9211,
					  .inbound_last = 9226,
					  .outbound_first = 9001,
					  .outbound_last = 9001,
					  .tproxy = true };
	struct plan plan;

	(void)state;
	assert_int_equal(plan_build_anchor(&plan, &ports, NULL), 0);
	assert_in_range(check_plan(&plan, "anchor"), 4, 10);
	plan_fini(&plan);
}

static struct nftnl_expr *add(struct nftnl_rule *r, const char *name)
{
	struct nftnl_expr *x = nftnl_expr_alloc(name);

	assert_non_null(x);
	nftnl_rule_add_expr(r, x);
	return x;
}

static void load(struct nftnl_rule *r, uint32_t base, uint32_t offset, uint32_t len)
{
	struct nftnl_expr *x = add(r, "payload");

	nftnl_expr_set_u32(x, NFTNL_EXPR_PAYLOAD_BASE, base);
	nftnl_expr_set_u32(x, NFTNL_EXPR_PAYLOAD_OFFSET, offset);
	nftnl_expr_set_u32(x, NFTNL_EXPR_PAYLOAD_LEN, len);
	nftnl_expr_set_u32(x, NFTNL_EXPR_PAYLOAD_DREG, NFT_REG_1);
}

static void meta(struct nftnl_rule *r, uint32_t key)
{
	struct nftnl_expr *x = add(r, "meta");

	nftnl_expr_set_u32(x, NFTNL_EXPR_META_KEY, key);
	nftnl_expr_set_u32(x, NFTNL_EXPR_META_DREG, NFT_REG_1);
}

static void cmp(struct nftnl_rule *r, uint32_t op, const void *data, uint32_t len)
{
	struct nftnl_expr *x = add(r, "cmp");

	nftnl_expr_set_u32(x, NFTNL_EXPR_CMP_SREG, NFT_REG_1);
	nftnl_expr_set_u32(x, NFTNL_EXPR_CMP_OP, op);
	nftnl_expr_set(x, NFTNL_EXPR_CMP_DATA, data, len);
}

static void expect(const struct nftnl_rule *r, const char *text)
{
	char line[DECODE_NFT_LINE_MAX];

	assert_string_equal(decode_nft(r, true, line), text);
}

/* What we would not write ourselves: read as far as it is understood. */
static void test_others(void **state)
{
	struct nftnl_rule *r = nftnl_rule_alloc();

	(void)state;
	assert_non_null(r);
	expect(r, "");
	/* A port of what may be any protocol is none of TCP. */
	load(r, NFT_PAYLOAD_TRANSPORT_HEADER, 2, 2);
	cmp(r, NFT_CMP_EQ, "\x1f\x90", 2);
	expect(r, "[ payload load 2b @ transport header + 2 => reg 1 ] "
		  "[ cmp eq reg 1 0x0000901f ]");
	meta(r, NFT_META_L4PROTO);
	cmp(r, NFT_CMP_EQ, "\x06", 1);
	load(r, NFT_PAYLOAD_TRANSPORT_HEADER, 2, 2);
	cmp(r, NFT_CMP_GTE, "\x1f\x90", 2);
	load(r, NFT_PAYLOAD_NETWORK_HEADER, 16, 4);
	cmp(r, NFT_CMP_NEQ, "\x0a\x01\x02\x03", 4);
	meta(r, NFT_META_NFPROTO);
	cmp(r, NFT_CMP_EQ, "\x02", 1);
	meta(r, NFT_META_NFPROTO);
	cmp(r, NFT_CMP_EQ, "\x02", 1);
	load(r, NFT_PAYLOAD_NETWORK_HEADER, 16, 4);
	cmp(r, NFT_CMP_NEQ, "\x0a\x01\x02\x03", 4);
	meta(r, NFT_META_SKUID);
	expect(r, "[ payload load 2b @ transport header + 2 => reg 1 ] "
		  "[ cmp eq reg 1 0x0000901f ] tcp dport >= 8080 "
		  "[ payload load 4b @ network header + 16 => reg 1 ] "
		  "[ cmp neq reg 1 0x0302010a ] meta nfproto ipv4 ip daddr != 10.1.2.3 "
		  "[ meta load skuid => reg 1 ]");
	nftnl_rule_free(r);
}

/* More than fits is cut, and more expressions than are read are not passed over silently. */
static void test_long(void **state)
{
	struct nftnl_rule *r = nftnl_rule_alloc();
	char line[DECODE_NFT_LINE_MAX];

	(void)state;
	for (int i = 0; i < 65; i++)
		add(r, "counter");
	assert_string_equal(decode_nft(r, false, line), "...");
	nftnl_rule_free(r);
	r = nftnl_rule_alloc();
	for (int i = 0; i < 60; i++)
		load(r, NFT_PAYLOAD_LL_HEADER, 0, 6);
	assert_int_equal(strlen(decode_nft(r, true, line)), DECODE_NFT_LINE_MAX - 2);
	nftnl_rule_free(r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_golden),
		cmocka_unit_test(test_anchor),
		cmocka_unit_test(test_others),
		cmocka_unit_test(test_long),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
