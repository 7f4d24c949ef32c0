// SPDX-License-Identifier: GPL-2.0-or-later
/* Comparing: equal plans are equal, and each kind of drift is one line that names it. */
#include "sluice_config.h"

#include "compare.h"
#include "encode_nft.h"

#include <libnftnl/chain.h>
#include <libnftnl/rule.h>
#include <libnftnl/set.h>

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

#define ARGS                                                                            \
	"--outbound-exclude-cidrs=10.0.0.0/8,fd00::/8", "--inbound-exclude-ports=1-10", \
		"--include-uids=5,7"

struct pair {
	struct config config;
	struct plan plan;
	struct ruleset want, have;
	char lines[8][256];
	size_t line_count;
};

static int setup(void **state)
{
	struct pair *p = calloc(1, sizeof(*p));

	*state = p;
	return !p || CONFIG_FROM(&p->config, NULL, ARGS) ||
	       plan_build(&p->plan, &p->config, NULL) || encode_nft(&p->plan, 1, &p->want, NULL) ||
	       encode_nft(&p->plan, 2, &p->have, NULL);
}

static int teardown(void **state)
{
	struct pair *p = *state;

	ruleset_fini(&p->want);
	ruleset_fini(&p->have);
	plan_fini(&p->plan);
	config_fini(&p->config);
	free(p);
	return 0;
}

static void keep(const char *line, void *data)
{
	struct pair *p = data;

	if (p->line_count < ARRAY_SIZE(p->lines))
		snprintf(p->lines[p->line_count++], sizeof(p->lines[0]), "%s", line);
}

/* Exactly one difference, which begins with @line. */
static void assert_drift(struct pair *p, const char *line)
{
	assert_int_equal(compare_rulesets(&p->want, &p->have, keep, p), 1);
	assert_int_equal(p->line_count, 1);
	p->lines[0][strlen(line)] = '\0';
	assert_string_equal(p->lines[0], line);
}

static struct ruleset_chain *chain(struct pair *p, const char *name)
{
	struct ruleset_chain *c = ruleset_find_chain(&p->have, name);

	assert_non_null(c);
	return c;
}

static void drop_rule(struct ruleset_chain *c, size_t at)
{
	nftnl_rule_free(c->rules[at].nft);
	free(c->rules[at].text);
	memmove(&c->rules[at], &c->rules[at + 1], (--c->count - at) * sizeof(c->rules[0]));
}

static void test_equal_but_for_the_generation(void **state)
{
	struct pair *p = *state;

	assert_int_equal(compare_rulesets(&p->want, &p->have, keep, p), 0);
	assert_int_equal(p->line_count, 0);
	assert_true(compare_in_place(&p->want, &p->have));
}

static void test_missing_table(void **state)
{
	struct pair *p = *state;

	p->have.exists = false;
	assert_drift(p, "missing table: inet sluice");
}

static void test_dormant_table(void **state)
{
	struct pair *p = *state;

	p->have.flags = 1;
	assert_drift(p, "changed table: inet sluice: has flags 0x1 (dormant), should be 0x0");
}

static void test_missing_rule(void **state)
{
	struct pair *p = *state;

	drop_rule(chain(p, "outbound"), 1);
	assert_drift(p, "missing rule: chain outbound, out-local: oifname \"lo\" return");
}

static void test_extra_rule(void **state)
{
	struct pair *p = *state;
	struct nftnl_rule *r = nftnl_rule_alloc();
	struct ruleset_chain *c = chain(p, "inbound");

	assert_non_null(r);
	nftnl_rule_set_u64(r, NFTNL_RULE_HANDLE, 42);
	assert_non_null(ruleset_add_rule(c, r));
	assert_int_equal(compare_rulesets(&p->want, &p->have, NULL, NULL), 1);
	/* To the front: only one line all the same. */
	memmove(&c->rules[1], &c->rules[0], (c->count - 1) * sizeof(c->rules[0]));
	c->rules[0] = (struct ruleset_rule){ .nft = r };
	assert_drift(p, "extra rule: chain inbound, handle 42: ");
}

static void test_order_counts(void **state)
{
	struct pair *p = *state;
	struct ruleset_chain *c = chain(p, "outbound");
	struct ruleset_rule swap = c->rules[0];

	c->rules[0] = c->rules[1];
	c->rules[1] = swap;
	assert_int_equal(compare_rulesets(&p->want, &p->have, keep, p), 2);
}

static void test_changed_rule(void **state)
{
	static const char *const args[] = { ARGS, "--proxy-uid=7", NULL };
	struct pair *p = *state;
	struct pair other = { .line_count = 0 };

	assert_int_equal(config_from(&other.config, args, NULL), 0);
	assert_int_equal(plan_build(&other.plan, &other.config, NULL), 0);
	assert_int_equal(encode_nft(&other.plan, 1, &other.have, NULL), 0);
	assert_int_equal(compare_rulesets(&p->want, &other.have, keep, p), 2);
	assert_non_null(strstr(p->lines[0], "changed rule: chain heartbeat, beat, handle 0: has "));
	assert_non_null(strstr(p->lines[1], ", should be meta skuid 1337 return"));
	ruleset_fini(&other.have);
	plan_fini(&other.plan);
	config_fini(&other.config);
}

static void test_policy_and_priority(void **state)
{
	struct pair *p = *state;
	struct nftnl_chain *c = chain(p, "nat-output")->nft;

	nftnl_chain_set_u32(c, NFTNL_CHAIN_POLICY, 0);
	assert_drift(p, "changed chain: nat-output: has type nat hook 3 priority -101 policy drop");
	assert_true(compare_in_place(&p->want, &p->have));
	nftnl_chain_set_s32(c, NFTNL_CHAIN_PRIO, -100);
	assert_false(compare_in_place(&p->want, &p->have));
}

static void test_a_lasting_set_of_another_shape(void **state)
{
	struct pair *p = *state;

	nftnl_set_set_u64(ruleset_find_set(&p->have, "alive")->nft, NFTNL_SET_TIMEOUT, 300);
	assert_drift(p, "changed set: alive: ");
	assert_false(compare_in_place(&p->want, &p->have));
}

static void test_missing_and_extra_chains(void **state)
{
	struct pair *p = *state;

	nftnl_chain_set_str(chain(p, "inbound-open")->nft, NFTNL_CHAIN_NAME, "foreign");
	assert_int_equal(compare_rulesets(&p->want, &p->have, keep, p), 2);
	assert_string_equal(p->lines[0], "missing chain: inbound-open");
	assert_string_equal(p->lines[1], "extra chain: foreign");
}

static void test_missing_and_extra_sets(void **state)
{
	struct pair *p = *state;

	nftnl_set_set_str(ruleset_find_set(&p->have, "in-own.2")->nft, NFTNL_SET_NAME, "foreign");
	assert_int_equal(compare_rulesets(&p->want, &p->have, keep, p), 2);
	assert_string_equal(p->lines[0], "missing set: in-own.1");
	assert_string_equal(p->lines[1], "extra set: foreign");
}

static void test_a_second_generation_is_extra(void **state)
{
	struct pair *p = *state;
	struct nftnl_set *s = nftnl_set_alloc();

	assert_non_null(s);
	nftnl_set_set_str(s, NFTNL_SET_NAME, "in-own.3");
	assert_non_null(ruleset_add_set(&p->have, s));
	assert_drift(p, "extra set: in-own.3");
}

static void test_elements(void **state)
{
	struct pair *p = *state;
	struct addr_ranges *ports = &ruleset_find_set(&p->have, "in-port-excl.2")->ranges;

	/* 1-10 has become 0-2, 5-5, 9-12. */
	free(ports->ranges);
	ports->ranges = calloc(3, sizeof(*ports->ranges));
	ports->count = 3;
	assert_non_null(ports->ranges);
	ports->ranges[0].last[1] = 2;
	ports->ranges[1].first[1] = ports->ranges[1].last[1] = 5;
	ports->ranges[2].first[1] = 9;
	ports->ranges[2].last[1] = 12;
	assert_int_equal(compare_rulesets(&p->want, &p->have, keep, p), 4);
	assert_string_equal(p->lines[0], "missing element: set in-port-excl.2: 3-4");
	assert_string_equal(p->lines[1], "missing element: set in-port-excl.2: 6-8");
	assert_string_equal(p->lines[2], "extra element: set in-port-excl.2: 0");
	assert_string_equal(p->lines[3], "extra element: set in-port-excl.2: 11-12");
}

static void test_address_elements(void **state)
{
	struct pair *p = *state;
	struct addr_ranges *a = &ruleset_find_set(&p->have, "out-cidr-excl6.2")->ranges;

	a->ranges[0].last[0] = 0xfc;
	a->ranges[0].first[0] = 0xfc;
	assert_int_equal(compare_rulesets(&p->want, &p->have, keep, p), 2);
	assert_string_equal(p->lines[0], "missing element: set out-cidr-excl6.2: fd00::/8");
	assert_string_equal(p->lines[1], "extra element: set out-cidr-excl6.2: fc00::/8");
}

static void test_a_timeout_loses_part_of_a_tick(void **state)
{
	static const struct {
		uint64_t want, have;
		uint32_t tick;
		bool equal;
	} cases[] = {
		{ 50, 50, 0, true },	      { 50, 48, 0, false },
		{ 50, 48, 4000000, true },    { 50, 50, 4000000, false },
		{ 305, 304, 4000000, true },  { 305, 300, 4000000, false },
		{ 301, 300, 1000000, false }, { 301, 301, 1000000, true },
		{ 305, 300, 10000000, true }, { 305, 303, 3333333, true },
		{ 305, 299, 3333333, false },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		const struct compare_form want = { .text = "r", .timeout_ms = cases[i].want };
		const struct compare_form have = { .text = "r", .timeout_ms = cases[i].have };

		assert_int_equal(compare_forms_equal(&want, &have, cases[i].tick), cases[i].equal);
	}
}

/* Half-open keys of one byte, as text: "5 9e" starts at 5 and ends before 9. */
static struct addr_ranges ranges_of(const char *text)
{
	struct ruleset_key keys[16] = { 0 };
	struct addr_ranges out;
	size_t count = 0;

	while (*text) {
		keys[count].bytes[0] = (uint8_t)strtoul(text, (char **)&text, 10);
		keys[count].end = *text == 'e';
		text += keys[count++].end;
	}
	assert_int_equal(ruleset_ranges_from_keys(&out, keys, count, 1, NULL), 0);
	return out;
}

static void assert_ranges(const char *keys, const char *expected)
{
	struct addr_ranges r = ranges_of(keys);
	char text[128] = "";
	size_t len = 0;

	for (size_t i = 0; i < r.count; i++)
		len += (size_t)snprintf(text + len, sizeof(text) - len, "%s%u-%u", i ? " " : "",
					r.ranges[i].first[0], r.ranges[i].last[0]);
	assert_string_equal(text, expected);
	free(r.ranges);
}

static void test_ranges_from_half_open_keys(void **state)
{
	(void)state;
	assert_ranges("", "");
	assert_ranges("5 9e", "5-8");
	assert_ranges("30e 20 9e 5 0e", "5-8 20-29"); /* backwards, as the kernel lists them */
	assert_ranges("9e 20 5 30e", "5-8 20-29");    /* any order */
	assert_ranges("5 9e 200", "5-8 200-255");     /* up to the last key */
	assert_ranges("0", "0-255");
	assert_ranges("5 9e 9 12e", "5-11"); /* touching is the same as one */
	assert_ranges("5 9 12e", "5-11");
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(test_equal_but_for_the_generation),
		TEST(test_missing_table),
		TEST(test_dormant_table),
		TEST(test_missing_rule),
		TEST(test_extra_rule),
		TEST(test_order_counts),
		TEST(test_changed_rule),
		TEST(test_policy_and_priority),
		TEST(test_a_lasting_set_of_another_shape),
		TEST(test_missing_and_extra_chains),
		TEST(test_missing_and_extra_sets),
		TEST(test_a_second_generation_is_extra),
		TEST(test_elements),
		TEST(test_address_elements),
		cmocka_unit_test(test_a_timeout_loses_part_of_a_tick),
		cmocka_unit_test(test_ranges_from_half_open_keys),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
