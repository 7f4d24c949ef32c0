// SPDX-License-Identifier: GPL-2.0-or-later
/* The backend of choice: see backend.h. */
#include "backend.h"

#include "backend_iptc.h"
#include "backend_nft.h"

#include <errno.h>
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

int backend_apply(enum backend_choice choice, const struct plan *p, const struct backend_options *o,
		  struct backend_applied *done, struct err *e)
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
	if (choice == BACKEND_AUTO)
		return remove_both(o, done, e);
	return (choice == BACKEND_NFT ? &backend_nft : &backend_iptc)->remove(o, done, e);
}

long backend_check(enum backend_choice choice, const struct plan *p, compare_report *report,
		   void *data, struct err *e)
{
	const struct backend *b = choice == BACKEND_IPTABLES ? &backend_iptc : &backend_nft;
	char line[128];
	long differences;
	int other;

	if (choice == BACKEND_AUTO) {
		int nft = holds(&backend_nft, NULL, e);

		if (nft < 0)
			return nft;
		if (nft == 0 && holds(&backend_iptc, NULL, e) > 0)
			b = &backend_iptc;
	}
	differences = b->check(p, report, data, e);
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
