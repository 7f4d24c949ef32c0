// SPDX-License-Identifier: GPL-2.0-or-later
/* The model of our nftables table: see ruleset.h. */
#include "ruleset.h"

#include <libnftnl/chain.h>
#include <libnftnl/expr.h>
#include <libnftnl/rule.h>
#include <libnftnl/set.h>
#include <libnftnl/udata.h>

#include <arpa/inet.h>
#include <errno.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>

void ruleset_fini(struct ruleset *r)
{
	for (size_t i = 0; i < r->chain_count; i++) {
		struct ruleset_chain *c = &r->chains[i];

		for (size_t j = 0; j < c->count; j++) {
			nftnl_rule_free(c->rules[j].nft);
			free(c->rules[j].text);
		}
		free(c->rules);
		nftnl_chain_free(c->nft);
	}
	for (size_t i = 0; i < r->set_count; i++) {
		free(r->sets[i].ranges.ranges);
		nftnl_set_free(r->sets[i].nft);
	}
	free(r->chains);
	free(r->sets);
	*r = (struct ruleset){ .exists = false };
}

/* Room for one more member of @size bytes; false when memory is out. */
static bool grow(void **items, size_t count, size_t *capacity, size_t size)
{
	size_t wanted = *capacity ? 2 * *capacity : 8;
	void *grown;

	if (count < *capacity)
		return true;
	grown = realloc(*items, wanted * size);
	if (!grown)
		return false;
	*items = grown;
	*capacity = wanted;
	return true;
}

struct ruleset_chain *ruleset_add_chain(struct ruleset *r, struct nftnl_chain *take)
{
	void *items = r->chains;

	if (!grow(&items, r->chain_count, &r->chain_capacity, sizeof(*r->chains)))
		return NULL;
	r->chains = items;
	r->chains[r->chain_count] = (struct ruleset_chain){ .nft = take };
	return &r->chains[r->chain_count++];
}

struct ruleset_set *ruleset_add_set(struct ruleset *r, struct nftnl_set *take)
{
	void *items = r->sets;

	if (!grow(&items, r->set_count, &r->set_capacity, sizeof(*r->sets)))
		return NULL;
	r->sets = items;
	r->sets[r->set_count] = (struct ruleset_set){ .nft = take };
	return &r->sets[r->set_count++];
}

struct ruleset_rule *ruleset_add_rule(struct ruleset_chain *c, struct nftnl_rule *take)
{
	void *items = c->rules;

	if (!grow(&items, c->count, &c->capacity, sizeof(*c->rules)))
		return NULL;
	c->rules = items;
	c->rules[c->count] = (struct ruleset_rule){ .nft = take };
	return &c->rules[c->count++];
}

struct ruleset_chain *ruleset_find_chain(const struct ruleset *r, const char *name)
{
	for (size_t i = 0; i < r->chain_count; i++) {
		if (strcmp(ruleset_chain_name(&r->chains[i]), name) == 0)
			return &r->chains[i];
	}
	return NULL;
}

struct ruleset_set *ruleset_find_set(const struct ruleset *r, const char *name)
{
	for (size_t i = 0; i < r->set_count; i++) {
		if (strcmp(ruleset_set_name(&r->sets[i]), name) == 0)
			return &r->sets[i];
	}
	return NULL;
}

bool ruleset_chain_drops(const struct ruleset_chain *c)
{
	return nftnl_chain_is_set(c->nft, NFTNL_CHAIN_HOOKNUM) &&
	       nftnl_chain_is_set(c->nft, NFTNL_CHAIN_POLICY) &&
	       nftnl_chain_get_u32(c->nft, NFTNL_CHAIN_POLICY) == NF_DROP;
}

const char *ruleset_chain_name(const struct ruleset_chain *c)
{
	return nftnl_chain_get_str(c->nft, NFTNL_CHAIN_NAME);
}

const char *ruleset_set_name(const struct ruleset_set *s)
{
	return nftnl_set_get_str(s->nft, NFTNL_SET_NAME);
}

uint32_t ruleset_set_generation(const char *name, size_t *base_len)
{
	const char *dot = strrchr(name, '.');
	uint64_t number = 0;

	*base_len = strlen(name);
	if (!dot || !dot[1] || dot[1] == '0')
		return 0;
	for (const char *p = dot + 1; *p; p++) {
		if (*p < '0' || *p > '9')
			return 0;
		number = 10 * number + (uint64_t)(*p - '0');
		if (number > UINT32_MAX)
			return 0;
	}
	*base_len = (size_t)(dot - name);
	return (uint32_t)number;
}

uint32_t ruleset_free_generation(const struct ruleset *r)
{
	uint32_t generation = 1;
	size_t len;

	/* Of n sets, one of the numbers 1 to n + 1 is free. */
	for (size_t i = 0; i < r->set_count;) {
		if (ruleset_set_generation(ruleset_set_name(&r->sets[i]), &len) == generation) {
			generation++;
			i = 0;
		} else {
			i++;
		}
	}
	return generation;
}

/* Called for each attribute of a rule's user data; keeps the comment. */
static int find_comment(const struct nftnl_udata *attr, void *data)
{
	struct span *comment = data;

	if (nftnl_udata_type(attr) == NFTNL_UDATA_RULE_COMMENT)
		*comment = SPAN(nftnl_udata_get(attr), nftnl_udata_len(attr));
	return 0;
}

const char *ruleset_rule_comment(const struct nftnl_rule *rule, char *text, size_t size)
{
	struct span comment = SPAN("", 0);
	const void *data;
	uint32_t len;

	data = nftnl_rule_get_data(rule, NFTNL_RULE_USERDATA, &len);
	if (data)
		nftnl_udata_parse(data, len, find_comment, &comment);
	snprintf(text, size, "%.*s", SPAN_FMT(comment));
	return text;
}

bool ruleset_each_expr(const struct nftnl_rule *rule, int (*each)(struct nftnl_expr *x, void *data),
		       void *data)
{
	/* It takes expressions out of a list that they may be freed from, and changes nothing. */
	return nftnl_expr_foreach((struct nftnl_rule *)rule, each, data) >= 0;
}

/* Ends at a lookup in the set of that name. */
static int is_no_lookup(struct nftnl_expr *x, void *data)
{
	const char *name = data;

	if (strcmp(nftnl_expr_get_str(x, NFTNL_EXPR_NAME), "lookup") != 0)
		return 0;
	return strcmp(nftnl_expr_get_str(x, NFTNL_EXPR_LOOKUP_SET), name) == 0 ? -1 : 0;
}

static bool is_used(const struct ruleset *r, const char *set)
{
	for (size_t i = 0; i < r->chain_count; i++) {
		for (size_t j = 0; j < r->chains[i].count; j++) {
			if (!ruleset_each_expr(r->chains[i].rules[j].nft, is_no_lookup,
					       (void *)set))
				return true;
		}
	}
	return false;
}

bool ruleset_has_unused_set(const struct ruleset *r)
{
	for (size_t i = 0; i < r->set_count; i++) {
		const char *name = ruleset_set_name(&r->sets[i]);
		size_t len;

		if (ruleset_set_generation(name, &len) && !is_used(r, name))
			return true;
	}
	return false;
}

/* The two-byte constants that a rule loads: ports, in network order. */
struct port_list {
	uint16_t ports[2];
	unsigned count;
};

static int take_port(struct nftnl_expr *x, void *data)
{
	struct port_list *l = data;
	uint32_t len = 0;
	const void *bytes;
	uint16_t port;

	if (strcmp(nftnl_expr_get_str(x, NFTNL_EXPR_NAME), "immediate") != 0 ||
	    !nftnl_expr_is_set(x, NFTNL_EXPR_IMM_DATA))
		return 0;
	bytes = nftnl_expr_get(x, NFTNL_EXPR_IMM_DATA, &len);
	if (bytes && len == sizeof(port) && l->count < ARRAY_SIZE(l->ports)) {
		memcpy(&port, bytes, sizeof(port));
		l->ports[l->count++] = ntohs(port);
	}
	return 0;
}

/* Whether the rule is of one of two rows. */
static bool rule_is(const struct nftnl_rule *rule, enum plan_row a, enum plan_row b)
{
	char comment[PLAN_NAME_MAX];

	ruleset_rule_comment(rule, comment, sizeof(comment));
	return strcmp(comment, plan_row_id(a)) == 0 || strcmp(comment, plan_row_id(b)) == 0;
}

static void rule_redirect_ports(const struct nftnl_rule *rule, struct plan_ports *found)
{
	struct port_list l = { .count = 0 };
	unsigned last;

	ruleset_each_expr(rule, take_port, &l);
	if (rule_is(rule, PLAN_ROW_IN_ANSWER, PLAN_ROW_IN_PROXIED))
		found->tproxy = true;
	if (!l.count)
		return;
	last = l.ports[l.count - 1];
	if (rule_is(rule, PLAN_ROW_OUT_REDIRECT, PLAN_ROW_OUT_ANCHOR))
		plan_ports_outbound(found, l.ports[0], last);
	if (rule_is(rule, PLAN_ROW_IN_REDIRECT, PLAN_ROW_IN_ANCHOR) ||
	    rule_is(rule, PLAN_ROW_IN_PROXIED, PLAN_ROW_IN_PROXIED))
		plan_ports_inbound(found, l.ports[0], last);
}

/* The uids of a set, whose keys are in network order. */
static void set_proxies(const struct ruleset_set *s, struct plan_ports *found)
{
	for (size_t i = 0; i < s->ranges.count; i++) {
		uint32_t first, last;

		memcpy(&first, s->ranges.ranges[i].first, sizeof(first));
		memcpy(&last, s->ranges.ranges[i].last, sizeof(last));
		plan_ports_proxies(found, ntohl(first), ntohl(last));
	}
}

/* A rule of row out-proxy under way: "meta skuid 1337", "meta skuid @set". */
struct proxy_rule {
	const struct ruleset *sets;
	struct plan_ports *found;
	bool begun; /* the owner's uid has been loaded */
};

static int take_proxies(struct nftnl_expr *x, void *data)
{
	struct proxy_rule *p = data;
	const char *name = nftnl_expr_get_str(x, NFTNL_EXPR_NAME);
	const struct ruleset_set *set = NULL;
	const uint32_t *uid = NULL;
	uint32_t len = 0;

	if (!p->begun) {
		p->begun = true;
		return strcmp(name, "meta") == 0 &&
				       nftnl_expr_get_u32(x, NFTNL_EXPR_META_KEY) == NFT_META_SKUID
			       ? 0
			       : -1;
	}
	if (strcmp(name, "cmp") == 0)
		uid = nftnl_expr_get(x, NFTNL_EXPR_CMP_DATA, &len);
	else if (strcmp(name, "lookup") == 0)
		set = ruleset_find_set(p->sets, nftnl_expr_get_str(x, NFTNL_EXPR_LOOKUP_SET));
	if (uid && len == sizeof(*uid))
		plan_ports_proxies(p->found, *uid, *uid);
	if (set)
		set_proxies(set, p->found);
	return 0;
}

struct plan_ports ruleset_redirect_ports(const struct ruleset *r)
{
	struct plan_ports found = { .tproxy = false };

	for (size_t i = 0; i < r->chain_count; i++) {
		for (size_t j = 0; j < r->chains[i].count; j++) {
			const struct nftnl_rule *rule = r->chains[i].rules[j].nft;

			rule_redirect_ports(rule, &found);
			if (rule_is(rule, PLAN_ROW_OUT_PROXY, PLAN_ROW_OUT_PROXY))
				ruleset_each_expr(rule, take_proxies,
						  &(struct proxy_rule){ r, &found, false });
		}
	}
	return found;
}

/* An end comes before a start of the same key: the first interval is over by then. */
static int key_cmp(const void *a, const void *b)
{
	const struct ruleset_key *x = a, *y = b;
	int rc = memcmp(x->bytes, y->bytes, sizeof(x->bytes));

	return rc ? rc : (int)y->end - (int)x->end;
}

/* The kernel lists interval sets backwards: then turning them round is all it takes. */
static void sort_keys(struct ruleset_key *keys, size_t count)
{
	bool forwards = true, backwards = true;

	for (size_t i = 1; i < count; i++) {
		int order = key_cmp(&keys[i - 1], &keys[i]);

		forwards &= order <= 0;
		backwards &= order >= 0;
	}
	if (!forwards && !backwards)
		qsort(keys, count, sizeof(*keys), key_cmp);
	for (size_t i = 0; !forwards && backwards && i < count / 2; i++) {
		struct ruleset_key swap = keys[i];

		keys[i] = keys[count - 1 - i];
		keys[count - 1 - i] = swap;
	}
}

bool ruleset_key_successor(const uint8_t *key, size_t len, uint8_t out[RULESET_KEY_MAX])
{
	memcpy(out, key, RULESET_KEY_MAX);
	for (size_t i = len; i-- > 0;) {
		if (++out[i] != 0x00)
			return true;
	}
	return false;
}

bool ruleset_key_predecessor(const uint8_t *key, size_t len, uint8_t out[RULESET_KEY_MAX])
{
	memcpy(out, key, RULESET_KEY_MAX);
	for (size_t i = len; i-- > 0;) {
		if (--out[i] != 0xff)
			return true;
	}
	return false;
}

int ruleset_ranges_from_keys(struct addr_ranges *out, struct ruleset_key *keys, size_t count,
			     size_t len, struct err *e)
{
	uint8_t before[RULESET_KEY_MAX];
	struct addr_range *r;
	bool open = false;
	size_t n = 0;

	*out = (struct addr_ranges){ .count = 0 };
	if (!count)
		return 0;
	r = calloc(count, sizeof(*r));
	if (!r)
		return err_set(e, -ENOMEM, "out of memory for %zu set elements", count);
	sort_keys(keys, count);
	for (size_t i = 0; i < count; i++) {
		ruleset_key_predecessor(keys[i].bytes, len, before);
		if (open)
			memcpy(r[n - 1].last, before, sizeof(before));
		open = !keys[i].end;
		if (open && (!n || memcmp(r[n - 1].last, before, sizeof(before)) != 0))
			memcpy(r[n++].first, keys[i].bytes, sizeof(before));
	}
	if (open)
		memset(r[n - 1].last, 0xff, len);
	out->ranges = r;
	out->count = out->capacity = n;
	return 0;
}
