// SPDX-License-Identifier: GPL-2.0-or-later
/* The nftables backend: see backend_nft.h. */
#include "backend_nft.h"

#include "drain.h"
#include "encode_nft.h"
#include "nft_read.h"
#include "nft_write.h"

#include <errno.h>
#include <linux/netlink.h>
#include <time.h>

/* How often somebody else may get in between before we give up, and the pause before a retry. */
#define COMMIT_TRIES	100
#define COMMIT_PAUSE_NS 1000000

/* How often a check waits for an apply between its sets and its rules, and for how long each time.
 */
#define FINISH_TRIES	250
#define FINISH_PAUSE_NS 2000000

/* What the caller wants to know of a difference is the first one. */
struct first_difference {
	char line[200];
};

static void keep_first(const char *line, void *data)
{
	struct first_difference *first = data;

	if (!first->line[0])
		snprintf(first->line, sizeof(first->line), "%s", line);
}

static long compare(const struct ruleset *want, const struct ruleset *have, compare_report *report,
		    void *data, struct err *e)
{
	long differences = compare_rulesets(want, have, report, data);

	return differences < 0 ? err_set(e, (int)differences, "out of memory for comparing")
			       : differences;
}

/* A transaction, from its reason to its proof. */
struct change {
	struct ruleset want; /* the plan, encoded */
	bool wrote;	     /* false: the kernel holds it already */
	bool existed;	     /* there was a table of ours */
	uint32_t generation; /* that it made */
};

/* One attempt: read, compare, write. */
static int try_change(struct nl_socket *nl, const struct plan *p, struct change *c, struct err *e)
{
	struct ruleset have = { .exists = false };
	int rc = nft_read(nl, &have, e);

	if (rc == 0)
		rc = encode_nft(p, ruleset_free_generation(&have), &c->want, e);
	if (rc == 0) {
		long differences = compare(&c->want, &have, NULL, NULL, e);

		rc = differences < 0 ? (int)differences : 0;
		c->wrote = differences > 0;
	}
	c->existed = have.exists;
	if (rc == 0 && c->wrote)
		rc = nft_write(nl, &c->want, &have, &c->generation, e);
	ruleset_fini(&have);
	return rc;
}

/* try_change() until nobody gets in between. @c->want is the caller's to finish. */
static int change(struct nl_socket *nl, const struct plan *p, struct change *c, struct err *e)
{
	const struct timespec pause = { .tv_nsec = COMMIT_PAUSE_NS };
	int rc;

	*c = (struct change){ .wrote = false };
	for (unsigned try = 0; try < COMMIT_TRIES; try++) {
		rc = try_change(nl, p, c, e);
		if (rc != -ERESTART)
			return rc;
		ruleset_fini(&c->want);
		nanosleep(&pause, NULL);
	}
	return err_set(e, -EBUSY,
		       "something else here keeps rewriting its nftables rules: gave up after %d "
		       "attempts",
		       COMMIT_TRIES);
}

/*
 * The kernel, read again, holds what was written. Where it does not although nobody else has
 * committed since, something is badly wrong. Where it cannot be read, it still said that it does.
 */
static int prove(struct nl_socket *nl, const struct change *c, bool *overtaken, struct err *e)
{
	struct ruleset have = { .exists = false };
	struct first_difference first = { "" };
	int rc = nft_read(nl, &have, e);
	long differences = rc == 0 ? compare(&c->want, &have, keep_first, &first, e) : rc;

	if (differences < 0)
		err_wrap(e, "the plan is in place, but could not be read back to prove it");
	*overtaken = differences > 0 && have.generation != c->generation;
	if (differences > 0 && !*overtaken)
		differences =
			err_set(e, -EBADE, "the kernel took the rules but does not hold them: %s",
				first.line);
	ruleset_fini(&have);
	return differences < 0 ? (int)differences : 0;
}

/*
 * What failed because this kernel was built without it becomes -EOPNOTSUPP: no netlink bus, no
 * nf_tables behind it, or not that expression, chain type or attribute.
 */
static int explain_lack(int rc, struct err *e)
{
	switch (rc) {
	case -EPROTONOSUPPORT:
	case -EAFNOSUPPORT:
	case -ENOENT:
	case -EOPNOTSUPP:
		err_wrap(e, "nftables of this kernel cannot carry the plan");
		return e->code = -EOPNOTSUPP;
	default:
		return rc;
	}
}

static int nft_apply(const struct plan *p, const struct backend_options *o,
		     struct backend_applied *done, struct err *e)
{
	struct nl_socket *nl = nl_socket_new(NETLINK_NETFILTER, e);
	struct change c;
	int rc;

	(void)o;
	*done = (struct backend_applied){ .rules = plan_rule_count(p), .sets = p->set_count };
	if (!nl)
		return explain_lack(e->code, e);
	rc = change(nl, p, &c, e);
	if (rc < 0)
		rc = explain_lack(rc, e);
	else if (c.wrote)
		rc = prove(nl, &c, &done->overtaken, e);
	done->changed = c.wrote;
	done->existed = c.existed;
	for (size_t i = 0; i < c.want.set_count; i++)
		done->elements += c.want.sets[i].ranges.count;
	ruleset_fini(&c.want);
	nl_socket_free(nl);
	return rc;
}

/*
 * What the kernel holds, but not in the moment between an apply's two transactions, when sets that
 * no rule uses yet look like too many. Where an apply was killed there, they are.
 */
static int read_finished(struct nl_socket *nl, struct ruleset *have, struct err *e)
{
	const struct timespec pause = { .tv_nsec = FINISH_PAUSE_NS };
	int rc = nft_read(nl, have, e);

	for (unsigned try = 0; try < FINISH_TRIES && rc == 0 && ruleset_has_unused_set(have);
	     try++) {
		ruleset_fini(have);
		nanosleep(&pause, NULL);
		rc = nft_read(nl, have, e);
	}
	return rc;
}

static long nft_check(const struct plan *p, compare_report *report, void *data, size_t *rules,
		      struct err *e)
{
	struct ruleset have = { .exists = false }, want = { .exists = false };
	struct nl_socket *nl = nl_socket_new(NETLINK_NETFILTER, e);
	long rc;

	*rules = plan_rule_count(p);
	if (!nl)
		return e->code;
	rc = read_finished(nl, &have, e);
	if (rc == 0)
		rc = encode_nft(p, 1, &want, e);
	if (rc == 0)
		rc = compare(&want, &have, report, data, e);
	ruleset_fini(&want);
	ruleset_fini(&have);
	nl_socket_free(nl);
	return rc;
}

static int nft_present(bool *tproxy, struct err *e)
{
	struct nl_socket *nl = nl_socket_new(NETLINK_NETFILTER, e);
	struct ruleset have = { .exists = false };
	int rc;

	if (!nl)
		return explain_lack(e->code, e);
	rc = nft_read(nl, &have, e);
	rc = rc < 0 ? explain_lack(rc, e) : have.exists;
	*tproxy = rc > 0 && ruleset_redirect_ports(&have).tproxy;
	ruleset_fini(&have);
	nl_socket_free(nl);
	return rc;
}

/* Deletes the table, whatever has become of it meanwhile. */
static int delete_table(struct nl_socket *nl, struct err *e)
{
	struct ruleset have = { .exists = false };
	int rc = -ERESTART;

	for (unsigned try = 0; rc == -ERESTART && try < COMMIT_TRIES; try++) {
		rc = nft_read(nl, &have, e);
		if (rc == 0 && have.exists)
			rc = nft_write_delete(nl, have.generation, e);
		ruleset_fini(&have);
	}
	return rc == -ERESTART ? err_set(e, -EBUSY,
					 "something else here keeps rewriting its "
					 "nftables rules: the table is still there")
			       : rc;
}

/* Leaves rules that match nothing, so that nothing new is redirected but RSTs are translated. */
static int anchor(struct nl_socket *nl, const struct plan *p, struct err *e)
{
	struct change c = { .wrote = false };
	int rc = change(nl, p, &c, e);

	ruleset_fini(&c.want);
	return rc;
}

/* Waits, as long as we may. Whoever applies a plan meanwhile wants it to stay. */
static int drain(const struct plan *anchored, const struct backend_options *o,
		 const struct plan_ports *ports, struct err *e)
{
	long rc = drain_wait(ports, o, e);
	bool tproxy;
	size_t rules;

	if (rc == 0)
		rc = nft_check(anchored, NULL, NULL, &rules, e);
	if (rc > 0)
		rc = nft_present(&tproxy, e);
	return rc > 0 ? err_set(e, -EBUSY,
				"somebody changed the rules while connections were draining: "
				"nothing was removed")
		      : (int)rc;
}

/* Without redirects there are no translations of ours to care for. */
static int end_connections(struct nl_socket *nl, const struct backend_options *o,
			   struct backend_removed *done, struct err *e)
{
	struct plan p;
	int rc;

	if (!done->ports.inbound_first && !done->ports.outbound_first)
		return 0;
	rc = plan_build_anchor(&p, &done->ports, e);
	if (rc == 0)
		rc = anchor(nl, &p, e);
	if (rc == 0 && o->drain_ms)
		rc = drain(&p, o, &done->ports, e);
	plan_fini(&p);
	return rc < 0 ? rc : drain_connections(&done->ports, done, e);
}

/* In place of our anchor, and of nothing else, what was there before it. */
static int put_back(struct ruleset *before, const struct plan *anchored, struct err *e)
{
	/* Of its own, since answers may be left in the other one. */
	struct nl_socket *nl = nl_socket_new(NETLINK_NETFILTER, e);
	int rc = nl ? -ERESTART : e->code;

	for (unsigned try = 0; rc == -ERESTART && try < COMMIT_TRIES; try++) {
		struct ruleset now = { .exists = false };
		size_t rules;
		long differences = nft_check(anchored, NULL, NULL, &rules, e);

		rc = differences < 0 ? (int)differences : 0;
		if (differences == 0)
			rc = nft_read(nl, &now, e);
		if (differences == 0 && rc == 0)
			rc = nft_write_back(nl, before, &now, e);
		ruleset_fini(&now);
	}
	nl_socket_free(nl);
	return rc;
}

/* After a removal that failed for the reason in @e. */
static int restore(struct ruleset *before, const struct plan_ports *ports, struct err *e)
{
	struct err failure = ERR_INIT;
	struct plan p;
	int rc = plan_build_anchor(&p, ports, &failure);

	if (rc == 0)
		rc = put_back(before, &p, &failure);
	plan_fini(&p);
	return rc < 0 ? err_wrap(e, "%s, so that " DRAIN_LEFT, failure.text) : e->code;
}

static int nft_remove(const struct backend_options *o, struct backend_removed *done, struct err *e)
{
	struct nl_socket *nl = nl_socket_new(NETLINK_NETFILTER, e);
	struct ruleset have = { .exists = false };
	int rc;

	*done = (struct backend_removed){ .existed = false };
	if (!nl)
		return explain_lack(e->code, e);
	rc = nft_read(nl, &have, e);
	if (rc < 0)
		rc = explain_lack(rc, e);
	done->existed = have.exists;
	done->ports = ruleset_redirect_ports(&have);
	if (rc == 0 && done->existed && !o->keep_connections)
		rc = end_connections(nl, o, done, e);
	if (rc == 0 && done->existed)
		rc = delete_table(nl, e);
	if (rc < 0 && done->existed)
		rc = restore(&have, &done->ports, e);
	ruleset_fini(&have);
	nl_socket_free(nl);
	return rc;
}

/* Flushes the heartbeat, as often as somebody gets in between. */
static int nft_hush(const struct backend_options *o, struct err *e)
{
	struct nl_socket *nl = nl_socket_new(NETLINK_NETFILTER, e);
	struct ruleset have = { .exists = false };
	int rc = nl ? -ERESTART : e->code;

	(void)o;
	for (unsigned try = 0; rc == -ERESTART && try < COMMIT_TRIES; try++) {
		const char *chain = plan_chain_name(PLAN_CHAIN_HEARTBEAT);

		rc = nft_read(nl, &have, e);
		if (rc == 0 && ruleset_find_chain(&have, chain))
			rc = nft_write_flush(nl, have.generation, chain, e);
		ruleset_fini(&have);
	}
	nl_socket_free(nl);
	return rc == -ERESTART ? err_set(e, -EBUSY,
					 "something else here keeps rewriting its nftables rules")
			       : rc;
}

const struct backend backend_nft = {
	.name = "nftables",
	.apply = nft_apply,
	.remove = nft_remove,
	.check = nft_check,
	.hush = nft_hush,
	.present = nft_present,
};
