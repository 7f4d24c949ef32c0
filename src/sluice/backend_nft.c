// SPDX-License-Identifier: GPL-2.0-or-later
/* The nftables backend: see backend_nft.h. */
#include "backend_nft.h"

#include "encode_nft.h"
#include "nft_read.h"
#include "nft_write.h"
#include "sock_destroy.h"

#include <errno.h>
#include <linux/netlink.h>
#include <time.h>

/* How often somebody else may get in between before we give up, and the pause before a retry. */
#define COMMIT_TRIES	100
#define COMMIT_PAUSE_NS 1000000

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
	uint32_t generation; /* that was read before */
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
	c->generation = have.generation;
	if (rc == 0 && c->wrote)
		rc = nft_write(nl, &c->want, &have, e);
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
 * committed since (our commit was the next generation), something is badly wrong.
 */
static int prove(struct nl_socket *nl, const struct change *c, bool *overtaken, struct err *e)
{
	struct ruleset have = { .exists = false };
	struct first_difference first = { "" };
	int rc = nft_read(nl, &have, e);
	long differences = rc == 0 ? compare(&c->want, &have, keep_first, &first, e) : rc;

	*overtaken = differences > 0 && have.generation != c->generation + 1;
	if (differences > 0 && !*overtaken)
		differences =
			err_set(e, -EBADE, "the kernel took the rules but does not hold them: %s",
				first.line);
	ruleset_fini(&have);
	return differences < 0 ? (int)differences : 0;
}

int backend_nft_apply(const struct plan *p, struct backend_applied *done, struct err *e)
{
	struct nl_socket *nl = nl_socket_new(NETLINK_NETFILTER, e);
	struct change c;
	int rc;

	*done = (struct backend_applied){ .changed = false };
	if (!nl)
		return e->code;
	rc = change(nl, p, &c, e);
	if (rc == 0 && c.wrote)
		rc = prove(nl, &c, &done->overtaken, e);
	done->changed = c.wrote;
	for (size_t i = 0; i < c.want.set_count; i++)
		done->elements += c.want.sets[i].ranges.count;
	ruleset_fini(&c.want);
	nl_socket_free(nl);
	return rc;
}

long backend_nft_check(const struct plan *p, compare_report *report, void *data, struct err *e)
{
	struct ruleset have = { .exists = false }, want = { .exists = false };
	struct nl_socket *nl = nl_socket_new(NETLINK_NETFILTER, e);
	long rc;

	if (!nl)
		return e->code;
	rc = nft_read(nl, &have, e);
	if (rc == 0)
		rc = encode_nft(p, 1, &want, e);
	if (rc == 0)
		rc = compare(&want, &have, report, data, e);
	ruleset_fini(&want);
	ruleset_fini(&have);
	nl_socket_free(nl);
	return rc;
}

/* Leaves rules that match nothing, so that nothing new is redirected but RSTs are translated. */
static int anchor(struct nl_socket *nl, const struct plan_ports *ports, struct err *e)
{
	struct change c = { .wrote = false };
	struct plan p;
	int rc = plan_build_anchor(&p, ports, e);

	if (rc == 0)
		rc = change(nl, &p, &c, e);
	ruleset_fini(&c.want);
	plan_fini(&p);
	return rc;
}

static int destroy_connections(struct backend_removed *done, struct err *e)
{
	const struct {
		uint16_t first, last;
	} ranges[] = {
		{ done->ports.inbound_first, done->ports.inbound_last },
		{ done->ports.outbound, done->ports.outbound },
	};

	for (size_t i = 0; i < ARRAY_SIZE(ranges); i++) {
		long n = ranges[i].first ? sock_destroy(ranges[i].first, ranges[i].last, e) : 0;

		if (n == -EOPNOTSUPP)
			done->cannot_destroy = true;
		else if (n < 0)
			return (int)n;
		else
			done->destroyed += (size_t)n;
	}
	return 0;
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

/* Without redirects there are no translations of ours to care for. */
static int end_connections(struct nl_socket *nl, struct backend_removed *done, struct err *e)
{
	int rc;

	if (!done->ports.inbound_first && !done->ports.outbound)
		return 0;
	rc = anchor(nl, &done->ports, e);
	return rc < 0 ? rc : destroy_connections(done, e);
}

int backend_nft_remove(struct backend_removed *done, struct err *e)
{
	struct nl_socket *nl = nl_socket_new(NETLINK_NETFILTER, e);
	struct ruleset have = { .exists = false };
	int rc;

	*done = (struct backend_removed){ .existed = false };
	if (!nl)
		return e->code;
	rc = nft_read(nl, &have, e);
	done->existed = have.exists;
	done->ports = ruleset_redirect_ports(&have);
	ruleset_fini(&have);
	if (rc == 0 && done->existed)
		rc = end_connections(nl, done, e);
	if (rc == 0 && done->existed)
		rc = delete_table(nl, e);
	nl_socket_free(nl);
	return rc;
}
