// SPDX-License-Identifier: GPL-2.0-or-later
/* The backend of choice: see backend.h. */
#include "backend.h"

#include "backend_iptc.h"
#include "backend_nft.h"
#include "drain.h"
#include "nl_socket.h"
#include "tproxy_route.h"

#include <errno.h>
#include <linux/netlink.h>
#include <time.h>

static const struct backend *other_than(const struct backend *b)
{
	return b == &backend_nft ? &backend_iptc : &backend_nft;
}

/*
 * Whether @b holds rules of ours. What cannot be there is not; nor is what we may not see, but
 * that there is something to see goes to @unseen, which may be NULL.
 */
static int holds(const struct backend *b, bool *unseen, struct err *e)
{
	struct err failure = ERR_INIT;
	int rc = b->present(&failure);

	if (unseen)
		*unseen = rc == -EPERM;
	if (rc == -EOPNOTSUPP || rc == -EACCES || rc == -EPERM)
		return 0;
	if (rc < 0)
		*e = failure;
	return rc;
}

/* nftables, unless the kernel lacks something for it and the legacy tables do. */
static int apply_auto(const struct plan *p, const struct backend_options *o,
		      struct backend_applied *done, struct err *e)
{
	struct err legacy = ERR_INIT;
	int rc = backend_nft.apply(p, o, done, e);

	done->by = &backend_nft;
	/* With a plan of ours in nftables the kernel can hold one: then this is just a refusal. */
	if (rc != -EOPNOTSUPP || holds(&backend_nft, NULL, &legacy) > 0)
		return rc;
	rc = backend_iptc.apply(p, o, done, &legacy);
	done->by = &backend_iptc;
	if (rc < 0) {
		char text[ERR_TEXT_MAX];

		snprintf(text, sizeof(text), "%.*s", ERR_TEXT_MAX / 2, e->text);
		err_set(e, rc, "%s; nor can the legacy tables: %.*s", text, ERR_TEXT_MAX / 2,
			legacy.text);
	}
	return rc;
}

/* The longest wait for a beat: what makes beats rarer than this makes the switch useless. */
#define HANDOVER_MAX_MS 1000

/*
 * A living proxy beats at least once in this time. nftables comes first in the path of a beat, and
 * drops it: so its heartbeat goes before the legacy tables can hear one.
 */
static void wait_for_beat(const struct plan *p)
{
	const struct plan_chain *beats = &p->chains[PLAN_CHAIN_HEARTBEAT];
	uint32_t ms = beats->count ? MIN(beats->rules[0].timeout_ms, HANDOVER_MAX_MS) : 0;
	const struct timespec pause = { ms / 1000, (long)(ms % 1000) * 1000000 };

	nanosleep(&pause, NULL);
}

/* Takes out what @b still holds. */
static int retire(const struct backend *b, const struct plan *p, const struct backend_options *o,
		  struct err *e)
{
	struct backend_options keep = *o;
	struct backend_removed removed;
	int rc = b->hush ? b->hush(o, e) : 0;

	if (rc < 0)
		return rc;
	wait_for_beat(p);
	keep.keep_connections = true;
	return b->remove(&keep, &removed, e);
}

/* Without routing, what came in by TPROXY would hang: it is reset. */
static int retire_route(struct nl_socket *nl, const struct plan *p, struct backend_applied *done,
			struct err *e)
{
	const struct plan_ports tproxied = { .tproxy = true };
	struct backend_removed ended = { .existed = false };
	bool had;
	int rc;

	if (plan_needs_route(p))
		return 0;
	rc = tproxy_route_remove(nl, &had, e);
	done->changed |= had;
	return rc == 0 && had ? drain_connections(&tproxied, &ended, e) : rc;
}

static int apply_rules(enum backend_choice choice, const struct plan *p,
		       const struct backend_options *o, struct backend_applied *done, struct err *e)
{
	const struct backend *b = choice == BACKEND_IPTABLES ? &backend_iptc : &backend_nft;
	bool unseen;
	/* First, so that a failure to see leaves everything as it is. */
	int other = holds(other_than(b), &unseen, e), rc;

	if (other < 0)
		return other;
	if (choice == BACKEND_AUTO)
		rc = apply_auto(p, o, done, e);
	else
		rc = b->apply(p, o, done, e);
	if (rc < 0)
		return rc;
	if (choice != BACKEND_AUTO)
		done->by = b;
	if (done->by != b)
		return 0; /* it is in the other one, and this one holds none */
	done->other_unseen = unseen;
	done->replaced = other > 0;
	if (other > 0 && retire(other_than(b), p, o, e) < 0)
		return err_wrap(e, "the plan is in place, but an older one stays in %s",
				other_than(b)->name);
	return 0;
}

/* Rules and routing. @nl: NETLINK_ROUTE, opened while there is nothing yet to undo. */
static int apply_routed(struct nl_socket *nl, enum backend_choice choice, const struct plan *p,
			const struct backend_options *o, struct backend_applied *done,
			struct err *e)
{
	bool routed = false;
	int rc = plan_needs_route(p) ? tproxy_route_add(nl, &routed, e) : 0;

	if (rc < 0)
		return rc;
	rc = apply_rules(choice, p, o, done, e);
	if (rc < 0 && routed) {
		struct err ignored = ERR_INIT;

		tproxy_route_remove(nl, &routed, &ignored);
	}
	if (rc < 0)
		return rc;
	done->changed |= routed;
	if (retire_route(nl, p, done, e) < 0)
		return err_wrap(e, "the plan is in place, but routing of an older one stays");
	return 0;
}

int backend_apply(enum backend_choice choice, const struct plan *p, const struct backend_options *o,
		  struct backend_applied *done, struct err *e)
{
	struct nl_socket *nl = nl_socket_new(NETLINK_ROUTE, e);
	int rc = nl ? apply_routed(nl, choice, p, o, done, e) : e->code;

	nl_socket_free(nl);
	return rc;
}

static int remove_both(const struct backend_options *o, struct backend_removed *done, struct err *e)
{
	struct backend_removed legacy = { .existed = false };
	int rc = backend_nft.remove(o, done, e), present;

	if (rc < 0 && rc != -EOPNOTSUPP)
		return rc;
	present = holds(&backend_iptc, NULL, e);
	if (present <= 0)
		return present;
	rc = backend_iptc.remove(o, &legacy, e);
	done->existed |= legacy.existed;
	done->cannot_destroy |= legacy.cannot_destroy;
	done->counters_lost |= legacy.counters_lost;
	done->destroyed += legacy.destroyed;
	return rc;
}

int backend_remove(enum backend_choice choice, const struct backend_options *o,
		   struct backend_removed *done, struct err *e)
{
	struct nl_socket *nl = nl_socket_new(NETLINK_ROUTE, e);
	bool routed = false;
	int rc;

	if (!nl)
		return e->code;
	if (choice == BACKEND_AUTO)
		rc = remove_both(o, done, e);
	else
		rc = (choice == BACKEND_NFT ? &backend_nft : &backend_iptc)->remove(o, done, e);
	if (rc >= 0) {
		rc = tproxy_route_remove(nl, &routed, e);
		if (rc < 0)
			err_wrap(e, "the rules are gone, but routing of theirs may be left");
	}
	done->existed |= routed;
	nl_socket_free(nl);
	return rc;
}

/* Whether lo has addresses of the family: without them there is nothing to route. */
static int has_family(enum addr_family family, struct err *e)
{
	static const struct addr loopback[] = {
		[ADDR_V4] = { ADDR_V4, { 127, [3] = 1 } }, [ADDR_V6] = { ADDR_V6, { [15] = 1 } }
	};
	struct nl_socket *nl = nl_socket_new(NETLINK_ROUTE, e);
	int rc = nl ? tproxy_route_is_local(nl, &loopback[family], e) : e->code;

	nl_socket_free(nl);
	return rc;
}

/* The routing that the plan needs, or needs not. */
static long check_route(const struct plan *p, compare_report *report, void *data, struct err *e)
{
	long differences = 0;

	for (unsigned f = 0; f < ADDR_FAMILY_COUNT; f++) {
		const char *name = f == ADDR_V4 ? "IPv4" : "IPv6";
		int has = has_family(f, e), works;
		char line[128];

		works = has > 0 ? tproxy_route_works(f, e) : has;
		if (works < 0)
			return works;
		if (has == 0 || works == plan_needs_route(p))
			continue;
		differences++;
		snprintf(line, sizeof(line), "%s routing: %s: fwmark 0x%x to local by table %d",
			 works ? "extra" : "missing", name, PLAN_MARK_SOURCE, TPROXY_ROUTE_TABLE);
		if (report)
			report(line, data);
	}
	return differences;
}

long backend_check(enum backend_choice choice, const struct plan *p, compare_report *report,
		   void *data, struct backend_checked *done, struct err *e)
{
	const struct backend *b = choice == BACKEND_IPTABLES ? &backend_iptc : &backend_nft;
	char line[128];
	long differences;
	size_t rules;
	int other;

	if (choice == BACKEND_AUTO) {
		int nft = holds(&backend_nft, NULL, e);

		if (nft < 0)
			return nft;
		if (nft == 0 && holds(&backend_iptc, NULL, e) > 0)
			b = &backend_iptc;
	}
	differences = b->check(p, report, data, &rules, e);
	if (differences >= 0 && done)
		*done = (struct backend_checked){ b, rules, holds(b, NULL, e) > 0 };
	if (differences >= 0) {
		long routing = check_route(p, report, data, e);

		differences = routing < 0 ? routing : differences + routing;
	}
	other = differences < 0 ? 0 : holds(other_than(b), NULL, e);
	if (other < 0)
		return other;
	if (other > 0 && report) {
		snprintf(line, sizeof(line), "extra rules: in %s there is a plan, too",
			 other_than(b)->name);
		report(line, data);
	}
	return differences < 0 ? differences : differences + other;
}
