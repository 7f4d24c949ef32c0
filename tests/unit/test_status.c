// SPDX-License-Identifier: GPL-2.0-or-later
/* The pure parts of status and verify: whose a name is, what is printed, which checks are made. */
#include "sluice_config.h"

#include "status.h"
#include "verify.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

static void test_owners(void **state)
{
	static const struct {
		enum neighbour_kind kind;
		const char *name, *owner;
	} cases[] = {
		{ NEIGHBOUR_CHAIN, "ISTIO_OUTPUT", "Istio" },
		{ NEIGHBOUR_TABLE, "istio-proxy-nat", "Istio" },
		{ NEIGHBOUR_CHAIN, "PROXY_INIT_REDIRECT", "Linkerd" },
		{ NEIGHBOUR_COMMENT, "proxy-init/redirect-all", "Linkerd" },
		{ NEIGHBOUR_CHAIN, "KUMA_MESH_OUTBOUND", "Kuma" },
		{ NEIGHBOUR_COMMENT, "kuma/mesh/transparent/proxy", "Kuma" },
		{ NEIGHBOUR_CHAIN, "KUBE-SVC-ABC", "kube-proxy" },
		{ NEIGHBOUR_TABLE, "kube-proxy", "kube-proxy" },
		{ NEIGHBOUR_CHAIN, "DOCKER_OUTPUT", "Docker" },
		{ NEIGHBOUR_CHAIN, "OUTPUT", NULL },
		{ NEIGHBOUR_CHAIN, "istio-proxy-nat", NULL },
		{ NEIGHBOUR_TABLE, "nat", NULL },
		{ NEIGHBOUR_CHAIN, "", NULL },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		const char *owner = neighbour_owner(cases[i].kind, cases[i].name);

		if (!owner != !cases[i].owner || (owner && strcmp(owner, cases[i].owner) != 0))
			fail_msg("%s: %s", cases[i].name, owner ? owner : "nobody");
	}
}

static void test_owners_are_listed_once(void **state)
{
	char owners[NEIGHBOUR_TEXT_MAX] = "";

	(void)state;
	neighbour_add_owner(owners, NULL);
	assert_string_equal(owners, "");
	neighbour_add_owner(owners, "Istio");
	neighbour_add_owner(owners, "Docker");
	neighbour_add_owner(owners, "Istio");
	assert_string_equal(owners, "Istio, Docker");
	for (unsigned i = 0; i < 100; i++)
		neighbour_add_owner(owners, i % 2 ? "somebody with a long name" : "another one");
	assert_true(strlen(owners) < sizeof(owners));
}

static char *printed(const struct status *s, void (*print)(const struct status *, FILE *))
{
	char *text = NULL;
	size_t len = 0;
	FILE *f = open_memstream(&text, &len);

	print(s, f);
	fclose(f);
	return text;
}

static void test_printing(void **state)
{
	static struct neighbour other = { .where = "nftables ip nat, chain \"x\"",
					  .owners = "Istio",
					  .what = "nat output, priority -100",
					  .hook = true,
					  .rules = 2 };
	struct status s = { .conntrack_count = 7, .conntrack_max = 9 };
	char *text;

	(void)state;
	s.kernel.nft.exists = true;
	s.kernel.armed[ADDR_V4] = READBACK_ARMED;
	s.ports.inbound_first = 9211;
	s.ports.inbound_last = 9226;
	s.rows[PLAN_ROW_OUT_DEAD] = (struct status_count){ true, 41, 2460 };
	s.neighbours.items = &other;
	s.neighbours.count = 1;
	snprintf(s.unseen[s.unseen_count++], ERR_TEXT_MAX, "the rules: no \"way\"");
	text = printed(&s, status_print_text);
	assert_non_null(strstr(text, "to 9211-9226, where NOBODY listens"));
	assert_non_null(strstr(text, "outbound    not redirected"));
	assert_non_null(strstr(text, "IPv4 yes, IPv6 unknown"));
	assert_non_null(strstr(text, "out-dead                 41"));
	assert_non_null(strstr(text, "2 rules, by Istio"));
	assert_non_null(strstr(text, "7 of 9 entries"));
	assert_null(strstr(text, "in-dead"));
	free(text);
	text = printed(&s, status_print_json);
	assert_non_null(strstr(text, "\"out-dead\": {\"packets\": 41, \"bytes\": 2460}"));
	assert_non_null(strstr(text, "chain \\\"x\\\"\""));
	assert_non_null(strstr(text, "no \\\"way\\\"\""));
	free(text);
}

static struct verify_world world(void)
{
	return (struct verify_world){
		.family = { true, true },
		.peer = true,
		.lent = { true, true },
		.here = { { ADDR_V4, { 198, 18, 0, 1 } }, { ADDR_V6, { 0xfd, 0x51, [15] = 1 } } },
		.there = { { ADDR_V4, { 198, 18, 0, 2 } }, { ADDR_V6, { 0xfd, 0x51, [15] = 2 } } },
		.other = { { ADDR_V4, { 192, 0, 2, 1 } }, { ADDR_V6, { 0x20, 1, 0xd, 0xb8 } } },
		.beyond = { { ADDR_V4, { 198, 19, 0, 1 } }, { ADDR_V6, { 0xfd, 0x52, [15] = 1 } } },
		.linklocal = { ADDR_V6, { 0xfe, 0x80, [15] = 2 } },
		.iface = "slv0",
	};
}

/* Which rows have a check, and which have none, as "row row ". */
static void rows_of(const struct verify_list *l, char tried[2048], char untried[2048])
{
	tried[0] = untried[0] = '\0';
	for (size_t i = 0; i < l->count; i++) {
		strncat(tried, l->checks[i].want.row, 40);
		strcat(tried, " ");
	}
	for (size_t i = 0; i < l->untried_count; i++) {
		strncat(untried, plan_row_id(l->untried[i].row), 40);
		strcat(untried, " ");
	}
}

static void test_every_row_has_a_witness(void **state)
{
	static const char *const wanted[] = { "out-redirect ",	"out-proxy ",	 "out-local ",
					      "out-linklocal ", "out-owner ",	 "out-port-excl ",
					      "out-cidr-excl ", "out-not-incl ", "out-dead ",
					      "in-redirect ",	"in-forward ",	 "in-own ",
					      "in-port-excl ",	"in-cidr-excl ", "in-not-incl ",
					      "in-closed ",	"in-dead " };
	static char tried[2048], untried[2048];
	static struct verify_list list;
	struct verify_world w = world();
	struct config c;
	struct plan p;

	(void)state;
	assert_int_equal(
		CONFIG_FROM(&c, NULL, "--outbound-exclude-ports=22",
			    "--outbound-exclude-cidrs=10.0.0.0/8,fd00::/16", "--exclude-uids=9",
			    "--outbound-include-cidrs=10.0.0.0/7,192.0.2.0/24,2001::/16,fd00::/15",
			    "--inbound-exclude-ports=23", "--inbound-exclude-cidrs=10.0.0.1",
			    "--inbound-include-ports=1-20000"),
		0);
	assert_int_equal(plan_build(&p, &c, NULL), 0);
	assert_int_equal(verify_pick(&p, &c, &w, &list, NULL), 0);
	rows_of(&list, tried, untried);
	for (size_t i = 0; i < ARRAY_SIZE(wanted); i++) {
		if (!strstr(tried, wanted[i]))
			fail_msg("nothing shows %s: %s", wanted[i], tried);
	}
	assert_string_equal(untried, "in-local in-local ");
	/* A dead proxy first: later somebody has beaten. */
	for (size_t i = 1; i < list.count; i++)
		assert_true(list.checks[i - 1].packet.alive <= list.checks[i].packet.alive);
	plan_fini(&p);
	config_fini(&c);
}

static void test_what_a_check_may_do(void **state)
{
	static struct verify_list list;
	struct verify_world w = world();
	struct config c;
	struct plan p;

	(void)state;
	assert_int_equal(CONFIG_FROM(&c, NULL, "--outbound-exclude-cidrs=10.0.0.0/8"), 0);
	assert_int_equal(plan_build(&p, &c, NULL), 0);
	/* A proxy that runs is left as it is, and connects to nobody's address. */
	w.proxy = true;
	w.alive[ADDR_V4] = w.alive[ADDR_V6] = true;
	assert_int_equal(verify_pick(&p, &c, &w, &list, NULL), 0);
	assert_true(list.count > 10);
	for (size_t i = 0; i < list.count; i++) {
		assert_int_equal(list.checks[i].packet.alive, PACKET_YES);
		assert_int_not_equal(list.checks[i].packet.to.addr.bytes[0], 10);
	}
	/* Without a peer nothing arrives. */
	w = world();
	w.peer = false;
	assert_int_equal(verify_pick(&p, &c, &w, &list, NULL), 0);
	assert_true(list.count > 5);
	for (size_t i = 0; i < list.count; i++)
		assert_int_equal(list.checks[i].packet.direction, PACKET_OUTBOUND);
	plan_fini(&p);
	config_fini(&c);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_owners),
		cmocka_unit_test(test_owners_are_listed_once),
		cmocka_unit_test(test_printing),
		cmocka_unit_test(test_every_row_has_a_witness),
		cmocka_unit_test(test_what_a_check_may_do),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
