// SPDX-License-Identifier: GPL-2.0-or-later
/* The backend of choice: see backend.h. */
#include "backend.h"

#include "backend_iptc.h"
#include "backend_nft.h"
#include "drain.h"
#include "nl_socket.h"
#include "tproxy_route.h"
#include "turn.h"

#include <errno.h>
#include <linux/netlink.h>
#include <time.h>

static const struct backend *other_than(const struct backend *b)
{
	return b == &backend_nft ? &backend_iptc : &backend_nft;
}

/* What a look at a backend showed besides whether it holds rules of ours. */
struct look {
	bool unseen; /* it may hold some: we may not see them */
	bool tproxy; /* they go by TPROXY, and need the routing */
};

/* Whether @b holds rules of ours. What cannot be there is not; nor is what we may not see. */
static int holds(const struct backend *b, struct look *look, struct err *e)
{
	struct err failure = ERR_INIT;
	int rc;

	*look = (struct look){ .tproxy = false };
	rc = b->present(&look->tproxy, &failure);
	/* A file that only root may read, or a table that takes CAP_NET_RAW. */
	look->unseen = rc == -EACCES || rc == -EPERM;
	if (rc == -EOPNOTSUPP || look->unseen)
		return 0;
	if (rc < 0)
		*e = failure;
	return rc;
}

/* Whether any rules need the routing. */
static int route_in_use(struct err *e)
{
	struct look nft, legacy;
	int rc = holds(&backend_nft, &nft, e);

	if (rc >= 0)
		rc = holds(&backend_iptc, &legacy, e);
	return rc < 0 ? rc : nft.tproxy || legacy.tproxy;
}

/* nftables, unless the kernel lacks something for it and the legacy tables do. */
static int apply_auto(const struct plan *p, const struct backend_options *o,
		      struct backend_applied *done, struct err *e)
{
	struct err legacy = ERR_INIT;
	struct look look;
	int rc = backend_nft.apply(p, o, done, e);

	done->by = &backend_nft;
	/* With a plan of ours in nftables the kernel can hold one: then this is just a refusal. */
	if (rc != -EOPNOTSUPP || holds(&backend_nft, &look, &legacy) > 0)
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

/* Takes out what @b still holds, once @by has taken over; not if somebody took that out. */
static int retire(const struct backend *b, const struct backend *by, const struct plan *p,
		  const struct backend_options *o, struct err *e)
{
	struct backend_options keep = *o;
	struct backend_removed removed;
	struct look look;
	int rc = b->hush ? b->hush(o, e) : 0;

	if (rc < 0)
		return rc;
	wait_for_beat(p);
	rc = holds(by, &look, e);
	if (rc < 0)
		return rc;
	if (rc == 0)
		return err_set(e, -EBUSY, "somebody has removed the new one from %s meanwhile",
			       by->name);
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
	struct look look;
	/* First, so that a failure to see leaves everything as it is. */
	int other = holds(other_than(b), &look, e), rc;

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
	done->other_unseen = look.unseen;
	done->replaced = other > 0;
	if (other > 0 && retire(other_than(b), b, p, o, e) < 0)
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

		/* A failure may come late, with the plan in place. */
		if (route_in_use(&ignored) == 0)
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
	_cleanup_close_ int turn = -1;
	int rc = nl ? 0 : e->code;

	if (rc == 0)
		rc = turn = turn_take(o->lock_timeout_ms, e);
	if (rc >= 0)
		rc = apply_routed(nl, choice, p, o, done, e);
	nl_socket_free(nl);
	return rc;
}

#define ROUTE_LEFT "the rules are gone, but routing of theirs may be left"

static int remove_both(const struct backend_options *o, struct backend_removed *done, struct err *e)
{
	struct backend_removed legacy = { .existed = false };
	struct look look;
	/* Before connections drain: what somebody applies there meanwhile is to stay. */
	int present = holds(&backend_iptc, &look, e), rc;

	if (present < 0)
		return present;
	rc = backend_nft.remove(o, done, e);
	done->unseen = look.unseen;
	if ((rc < 0 && rc != -EOPNOTSUPP) || present == 0)
		return rc == -EOPNOTSUPP ? 0 : rc;
	rc = backend_iptc.remove(o, &legacy, e);
	done->existed |= legacy.existed;
	done->cannot_destroy |= legacy.cannot_destroy;
	done->counters_lost |= legacy.counters_lost;
	done->destroyed += legacy.destroyed;
	return rc;
}

/* Of one backend or both. Whether rules that are left, or new, need the routing goes to @used. */
static int remove_rules(enum backend_choice choice, const struct backend_options *o,
			struct backend_removed *done, bool *used, struct err *e)
{
	const struct backend *b = choice == BACKEND_NFT ? &backend_nft : &backend_iptc;
	struct look left = { .tproxy = false };
	int rc = 0;

	/* First, so that a failure to see leaves everything as it is. */
	if (choice != BACKEND_AUTO)
		rc = holds(other_than(b), &left, e);
	if (rc >= 0)
		rc = choice == BACKEND_AUTO ? remove_both(o, done, e) : b->remove(o, done, e);
	*used = left.tproxy;
	if (rc >= 0 && o->drain_ms) {
		rc = route_in_use(e);
		*used = rc > 0;
		if (rc < 0)
			err_wrap(e, ROUTE_LEFT);
	}
	return rc;
}

int backend_remove(enum backend_choice choice, const struct backend_options *o,
		   struct backend_removed *done, struct err *e)
{
	struct nl_socket *nl = nl_socket_new(NETLINK_ROUTE, e);
	struct backend_options mine = *o;
	_cleanup_close_ int turn = -1;
	int rc = nl ? 0 : e->code;
	bool used = false;

	if (rc == 0)
		rc = turn = turn_take(o->lock_timeout_ms, e);
	mine.turn = &turn;
	if (rc >= 0)
		rc = remove_rules(choice, &mine, done, &used, e);
	if (rc >= 0 && !used) {
		rc = tproxy_route_remove(nl, &done->routed, e);
		if (rc < 0)
			err_wrap(e, ROUTE_LEFT);
	}
	nl_socket_free(nl);
	return MIN(rc, 0);
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
	struct look look, other_look = { .unseen = false };
	char line[128];
	long differences;
	size_t rules;
	int other;

	if (choice == BACKEND_AUTO) {
		int nft = holds(&backend_nft, &look, e);

		if (nft < 0)
			return nft;
		if (nft == 0 && holds(&backend_iptc, &look, e) > 0)
			b = &backend_iptc;
	}
	differences = b->check(p, report, data, &rules, e);
	if (differences >= 0 && done)
		*done = (struct backend_checked){ b, rules, holds(b, &look, e) > 0, false };
	if (differences >= 0) {
		long routing = check_route(p, report, data, e);

		differences = routing < 0 ? routing : differences + routing;
	}
	other = differences < 0 ? 0 : holds(other_than(b), &other_look, e);
	if (done)
		done->unseen = other_look.unseen;
	if (other < 0)
		return other;
	if (other > 0 && report) {
		snprintf(line, sizeof(line), "extra rules: in %s there is a plan, too",
			 other_than(b)->name);
		report(line, data);
	}
	return differences < 0 ? differences : differences + other;
}
