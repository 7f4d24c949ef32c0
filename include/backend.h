/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What carries a plan into the kernel: nftables or the legacy tables, behind one interface. */
#ifndef SLUICE_BACKEND_H
#define SLUICE_BACKEND_H

#include "compare.h"
#include "plan.h"

struct backend_options {
	uint32_t lock_timeout_ms; /* how long to wait for our turn, and for the lock of iptables */
	bool keep_connections;	  /* remove: another backend translates them from now on */
	uint32_t drain_ms;	  /* remove: how long connections may take to end by themselves */
	int *turn;		  /* what turn_take() gave: given back while connections drain */
};

/* What apply did. */
struct backend_applied {
	bool changed;	    /* false: it was all there already */
	bool existed;	    /* this backend held another plan, or part of this one */
	bool overtaken;	    /* somebody changed the rules between our change and the proof */
	bool counters_lost; /* the kernel took the rules but not others' counters */
	bool replaced;	    /* the other backend held a plan, which is gone */
	bool other_unseen;  /* the other backend may hold one: it cannot be looked at */
	const struct backend *by;
	size_t rules;
	size_t sets, elements; /* of all sets together; 0 where the backend has none */
};

/* What remove did. */
struct backend_removed {
	bool existed;		 /* rules */
	bool routed;		 /* and routing, or that alone */
	bool unseen;		 /* the legacy tables may hold a plan: they cannot be looked at */
	bool cannot_destroy;	 /* the kernel lacks SOCK_DESTROY */
	bool counters_lost;	 /* as in struct backend_applied */
	struct plan_ports ports; /* where redirected connections arrived */
	size_t destroyed;	 /* proxied connections */
};

struct backend {
	const char *name; /* for users: "nftables" */

	/*
	 * Makes the kernel hold @p, and proves it by reading it back. 0 or -errno with @e set,
	 * -EOPNOTSUPP when the kernel was built without what that takes. After a failure the old
	 * state stands.
	 */
	int (*apply)(const struct plan *p, const struct backend_options *o,
		     struct backend_applied *done, struct err *e);

	/*
	 * Takes everything of ours out, when the connections that go through the proxy have ended:
	 * by themselves or by a reset, since they would hang without translation. 0 or -errno with
	 * @e set: -EBUSY when somebody changed the rules meanwhile, which are left to them.
	 */
	int (*remove)(const struct backend_options *o, struct backend_removed *done, struct err *e);

	/*
	 * Stops hearing heartbeats, while those heard count on; another backend hears them then. 0
	 * or -errno with @e set. NULL: it hears nothing that the other would not have heard before.
	 */
	int (*hush)(const struct backend_options *o, struct err *e);

	/*
	 * Returns the number of differences, each told to @report, or -errno with @e set. How many
	 * rules it should hold goes to *@rules.
	 */
	long (*check)(const struct plan *p, compare_report *report, void *data, size_t *rules,
		      struct err *e);

	/*
	 * Whether there is anything of ours, and whether that goes by TPROXY; asking changes
	 * nothing. 1, 0, or -errno with @e set: -EACCES or -EPERM where this user may not know,
	 * -EOPNOTSUPP where the kernel cannot hold any.
	 */
	int (*present)(bool *tproxy, struct err *e);
};

/*
 * The commands on the backend of choice, and the routing that a plan needs (tproxy_route.h), which
 * is there before its rules and goes after them. With BACKEND_AUTO: apply takes nftables, or the
 * legacy tables where the kernel lacks what nftables needs; check takes the one that holds our
 * rules, remove both. Nothing is ever opened just to see whether it is there.
 *
 * Theory of Operation: whichever carries the plan now, the other one may still hold an older plan.
 * apply takes that out once the new one is in place and has heard a heartbeat: until then both
 * redirect, so that no connection finds neither. Connections live on, since the translation of a
 * connection is conntrack's and needs any rule, not the old one. Only what came in by TPROXY ends
 * with a plan that needs no routing: it is reset.
 *
 * All this looks first and acts then, on two rule sets and routing that no transaction holds
 * together: so in a network namespace one apply or remove works at a time (turn.h). Whoever looks
 * takes no turn, and a remove that lets connections drain gives its own back meanwhile.
 */
int backend_apply(enum backend_choice choice, const struct plan *p, const struct backend_options *o,
		  struct backend_applied *done, struct err *e);

/* As the backends' own; of two that held rules, counts and ports add up. */
int backend_remove(enum backend_choice choice, const struct backend_options *o,
		   struct backend_removed *done, struct err *e);

/* What check looked at. */
struct backend_checked {
	const struct backend *by;
	size_t rules; /* of the plan, there */
	bool held;    /* it holds a plan, if another one */
	bool unseen;  /* the legacy tables may hold one: they cannot be looked at */
};

/*
 * As the backends' own; rules that the other backend holds are a difference too. @done may be
 * NULL.
 */
long backend_check(enum backend_choice choice, const struct plan *p, compare_report *report,
		   void *data, struct backend_checked *done, struct err *e);

#endif
