// SPDX-License-Identifier: GPL-2.0-or-later
/* The backend for the legacy tables: see backend_iptc.h. */
#include "backend_iptc.h"

#include "compare_xt.h"
#include "decode_xt.h"
#include "drain.h"
#include "encode_xt.h"
#include "legacy.h"
#include "xt_lock.h"

#include <errno.h>
#include <time.h>

/* How often a table may be changed under our hands before we give up, and the pause between. */
#define REPLACE_TRIES	 50
#define REPLACE_PAUSE_NS 1000000

/* How often the kernel may call a table invalid before we believe it. */
#define INVALID_TRIES 5

/* The four tables of a plan. */
struct tables {
	struct xtable each[LOWER_TABLE_COUNT][ADDR_FAMILY_COUNT];
};

/* Tables as they were before we first wrote them. */
struct transaction {
	struct tables before;
	bool written[LOWER_TABLE_COUNT][ADDR_FAMILY_COUNT];
	bool counters_lost;
	bool anchored; /* what was there before the anchor cannot be rolled back to any more */
};

static const char *const family_names[] = { [ADDR_V4] = "IPv4", [ADDR_V6] = "IPv6" };
_Static_assert(ARRAY_SIZE(family_names) == ADDR_FAMILY_COUNT, "a name for each family");

static void tables_init(struct tables *t)
{
	for (unsigned i = 0; i < LOWER_TABLE_COUNT; i++) {
		for (unsigned f = 0; f < ADDR_FAMILY_COUNT; f++)
			xtable_init(&t->each[i][f], f, i);
	}
}

static void tables_fini(struct tables *t)
{
	for (unsigned i = 0; i < LOWER_TABLE_COUNT; i++) {
		for (unsigned f = 0; f < ADDR_FAMILY_COUNT; f++)
			xtable_fini(&t->each[i][f]);
	}
}

static int tables_encode(struct tables *t, const struct plan *p, struct err *e)
{
	int rc = 0;

	tables_init(t);
	for (unsigned f = 0; rc == 0 && f < ADDR_FAMILY_COUNT; f++) {
		struct lower l;

		rc = lower_plan(p, f, &l, e);
		for (unsigned i = 0; rc == 0 && i < LOWER_TABLE_COUNT; i++)
			rc = encode_xt(&l, i, &t->each[i][f], e);
		lower_fini(&l);
	}
	return rc;
}

static size_t tables_rules(const struct tables *t)
{
	size_t count = 0;

	for (unsigned i = 0; i < LOWER_TABLE_COUNT; i++) {
		for (unsigned f = 0; f < ADDR_FAMILY_COUNT; f++)
			count += xtable_rule_count(&t->each[i][f]);
	}
	return count;
}

/*
 * What a table holds of ours; nothing, and the table untouched, where this namespace has it not.
 * Where only root may know that, the table is opened.
 */
static int read_registered(enum addr_family family, enum lower_table table, struct xtable *have,
			   struct err *e)
{
	struct legacy l;
	int rc = legacy_registered(family, table);

	xtable_init(have, family, table);
	if (rc == 0)
		return 0;
	if (rc < 0 && rc != -EACCES)
		return err_sys(e, rc, "cannot see which legacy %s tables there are",
			       family_names[family]);
	rc = legacy_open(&l, family, table, e);
	if (rc == 0)
		rc = legacy_read(&l, have, e);
	legacy_close(&l);
	return rc;
}

/* Keeps what the table held before we change it for the first time; returns where it is. */
static const struct xtable *remember(struct transaction *tx, struct xtable *take)
{
	struct xtable *before = &tx->before.each[take->table][take->family];

	if (tx->written[take->table][take->family])
		return take;
	tx->written[take->table][take->family] = true;
	*before = *take;
	xtable_init(take, take->family, take->table);
	return before;
}

/* One look at a table, and a change where it differs: 1 when it holds @want, else 0 or -errno. */
static int try_replace(struct transaction *tx, const struct xtable *want, struct err *e)
{
	struct xtable have;
	struct legacy l;
	int rc = legacy_open(&l, want->family, want->table, e);

	xtable_init(&have, want->family, want->table);
	if (rc == 0)
		rc = legacy_read(&l, &have, e);
	if (rc == 0 && xtable_equal(want, &have))
		rc = 1;
	else if (rc == 0)
		rc = legacy_write(&l, remember(tx, &have), want, e);
	xtable_fini(&have);
	legacy_close(&l);
	return rc;
}

/* After a commit that failed: whether the rules are in place all the same. */
static bool took_effect(struct transaction *tx, const struct xtable *want)
{
	struct xtable have;
	struct err ignored = ERR_INIT;
	bool equal = read_registered(want->family, want->table, &have, &ignored) == 0 &&
		     xtable_equal(want, &have);

	tx->counters_lost |= equal;
	xtable_fini(&have);
	return equal;
}

/*
 * Makes the table hold @want; only having read it back is success. EINVAL is what the kernel says
 * to rules that it does not like, and also to counters for a table that somebody has replaced in
 * between (do_add_counters()): what it does not like it will not like again.
 */
static int replace(struct transaction *tx, const struct xtable *want, struct err *e)
{
	const struct timespec pause = { .tv_nsec = REPLACE_PAUSE_NS };

	for (unsigned try = 0, invalid = 0; try < REPLACE_TRIES; try++) {
		int rc = try_replace(tx, want, e);

		if (rc == 1)
			return 0;
		if (rc < 0 && rc != -EAGAIN) {
			if (took_effect(tx, want))
				return 0;
			if (rc != -EINVAL || ++invalid == INVALID_TRIES)
				return rc;
		}
		if (rc < 0 || try > 0)
			nanosleep(&pause, NULL);
	}
	return err_set(e, -EBUSY,
		       "something else keeps rewriting the legacy %s table '%s' without taking its "
		       "lock: gave up after %d attempts",
		       family_names[want->family], lower_table_name(want->table), REPLACE_TRIES);
}

/* Gives every table that was written what it had, the last one first. */
static int roll_back(struct transaction *tx, struct err *e)
{
	struct transaction undo = { .counters_lost = false };
	int rc = 0;

	tables_init(&undo.before);
	for (unsigned i = LOWER_TABLE_COUNT; i-- > 0;) {
		for (unsigned f = ADDR_FAMILY_COUNT; f-- > 0;) {
			struct err failure = ERR_INIT;

			if (tx->written[i][f] &&
			    replace(&undo, &tx->before.each[i][f], &failure) < 0)
				rc = err_wrap(e,
					      "%s, so that part of the change is left (the same "
					      "command, run again, repairs that), because",
					      failure.text);
		}
	}
	tables_fini(&undo.before);
	return rc;
}

/* Whether this table needs a look at all: not for nothing where there is none. */
static int concerns(const struct xtable *want, struct err *e)
{
	int rc;

	if (!legacy_has_family(want->family))
		return 0;
	if (!xtable_empty(want))
		return 1;
	rc = legacy_registered(want->family, want->table);
	return rc == -EACCES ? 1
	       : rc < 0	     ? err_sys(e, rc, "cannot see which legacy tables there are")
			     : rc;
}

/* Replaces all four tables, in order or, where rules go, backwards. */
static int replace_all(struct transaction *tx, const struct tables *want, bool backwards,
		       struct err *e)
{
	for (unsigned i = 0; i < LOWER_TABLE_COUNT; i++) {
		unsigned table = backwards ? LOWER_TABLE_COUNT - 1 - i : i;

		for (unsigned f = 0; f < ADDR_FAMILY_COUNT; f++) {
			const struct xtable *t = &want->each[table][f];
			int rc = concerns(t, e);

			if (rc > 0)
				rc = replace(tx, t, e);
			if (rc < 0)
				return rc;
		}
	}
	return 0;
}

static bool any_written(const struct transaction *tx)
{
	bool any = false;

	for (unsigned i = 0; i < LOWER_TABLE_COUNT; i++) {
		for (unsigned f = 0; f < ADDR_FAMILY_COUNT; f++)
			any |= tx->written[i][f];
	}
	return any;
}

/* Whether any table held something of ours: before it was written, or as it is now. */
static bool any_before(const struct transaction *tx, const struct tables *want)
{
	bool any = false;

	for (unsigned i = 0; i < LOWER_TABLE_COUNT; i++) {
		for (unsigned f = 0; f < ADDR_FAMILY_COUNT; f++) {
			bool written = tx->written[i][f];
			const struct xtable *t =
				written ? &tx->before.each[i][f] : &want->each[i][f];

			any |= !xtable_empty(t) && (written || legacy_has_family(f));
		}
	}
	return any;
}

static int iptc_apply(const struct plan *p, const struct backend_options *o,
		      struct backend_applied *done, struct err *e)
{
	struct transaction tx = { .counters_lost = false };
	_cleanup_close_ int lock = -1;
	struct tables want;
	int rc;

	*done = (struct backend_applied){ .changed = false };
	tables_init(&tx.before);
	rc = tables_encode(&want, p, e);
	if (rc == 0)
		rc = legacy_may(e);
	if (rc == 0)
		rc = lock = lock_take(o->lock_timeout_ms, e);
	if (rc >= 0) {
		rc = replace_all(&tx, &want, false, e);
		if (rc < 0)
			roll_back(&tx, e);
	}
	done->changed = any_written(&tx);
	done->existed = any_before(&tx, &want);
	done->counters_lost = tx.counters_lost;
	done->rules = tables_rules(&want);
	tables_fini(&want);
	tables_fini(&tx.before);
	return rc;
}

static long iptc_check(const struct plan *p, compare_report *report, void *data, size_t *rules,
		       struct err *e)
{
	struct tables want;
	long total = 0, rc = tables_encode(&want, p, e);

	*rules = tables_rules(&want);
	for (unsigned i = 0; rc >= 0 && i < LOWER_TABLE_COUNT; i++) {
		for (unsigned f = 0; rc >= 0 && f < ADDR_FAMILY_COUNT; f++) {
			struct xtable have;

			if (!legacy_has_family(f))
				continue;
			rc = read_registered(f, i, &have, e);
			if (rc == 0)
				rc = compare_xtables(&want.each[i][f], &have, report, data);
			if (rc == -ENOMEM)
				err_set(e, -ENOMEM, "out of memory for comparing");
			total += rc;
			xtable_fini(&have);
		}
	}
	tables_fini(&want);
	return rc < 0 ? rc : total;
}

/* In place of the redirects, rules that match nothing; later packets of TPROXY go on. */
static int write_anchor(struct transaction *tx, const struct tables *have,
			const struct tables *anchor, struct err *e)
{
	static const enum lower_table with_connections[] = { LOWER_MANGLE, LOWER_NAT };
	int rc = 0;

	for (size_t i = 0; i < ARRAY_SIZE(with_connections); i++) {
		enum lower_table table = with_connections[i];

		for (unsigned f = 0; rc == 0 && f < ADDR_FAMILY_COUNT; f++) {
			if (!xtable_empty(&have->each[table][f]))
				rc = replace(tx, &anchor->each[table][f], e);
		}
	}
	return rc;
}

/* Whether the tables with connections are as write_anchor() left them. */
static int still_anchored(const struct tables *have, const struct tables *anchor, struct err *e)
{
	bool same = true;
	int rc = 0;

	for (unsigned i = LOWER_MANGLE; i < LOWER_TABLE_COUNT; i++) {
		for (unsigned f = 0; rc == 0 && f < ADDR_FAMILY_COUNT; f++) {
			struct xtable now;

			if (i == LOWER_FILTER || xtable_empty(&have->each[i][f]))
				continue;
			rc = read_registered(f, i, &now, e);
			same &= xtable_empty(&now) || xtable_equal(&now, &anchor->each[i][f]);
			xtable_fini(&now);
		}
	}
	if (rc == 0 && !same)
		rc = err_set(e, -EBUSY,
			     "somebody changed the rules while connections were draining: nothing "
			     "was removed");
	return rc;
}

/* Waits without the lock, as long as we may. What happened before cannot be rolled back then. */
static int drain(struct transaction *tx, const struct backend_options *o, int *lock,
		 const struct plan_ports *ports, struct err *e)
{
	int rc;

	tables_fini(&tx->before);
	*tx = (struct transaction){ .counters_lost = tx->counters_lost, .anchored = true };
	tables_init(&tx->before);
	close(take_fd(lock));
	rc = drain_wait(ports, o, e);
	if (rc < 0)
		return rc;
	*lock = lock_take(o->lock_timeout_ms, e);
	return MIN(*lock, 0);
}

/*
 * Nothing new is redirected, but what was goes on being translated while the connections end or
 * are reset.
 */
static int end_connections(struct transaction *tx, const struct tables *have,
			   const struct backend_options *o, int *lock, struct backend_removed *done,
			   struct err *e)
{
	struct tables anchor;
	struct plan p;
	int rc;

	if (!done->ports.inbound_first && !done->ports.outbound_first)
		return 0;
	rc = plan_build_anchor(&p, &done->ports, e);
	tables_init(&anchor);
	if (rc == 0)
		rc = tables_encode(&anchor, &p, e);
	if (rc == 0)
		rc = write_anchor(tx, have, &anchor, e);
	if (rc == 0 && o->drain_ms) {
		rc = drain(tx, o, lock, &done->ports, e);
		if (rc == 0) {
			rc = still_anchored(have, &anchor, e);
			tx->anchored = rc != -EBUSY;
		}
	}
	tables_fini(&anchor);
	plan_fini(&p);
	return rc < 0 ? rc : drain_connections(&done->ports, done, e);
}

/* Reads all that is ours. 1 when there is any, 0, or -errno with @e set. */
static int read_all(struct tables *have, struct err *e)
{
	bool any = false;
	int rc = 0;

	tables_init(have);
	for (unsigned i = 0; rc == 0 && i < LOWER_TABLE_COUNT; i++) {
		for (unsigned f = 0; rc == 0 && f < ADDR_FAMILY_COUNT; f++) {
			if (!legacy_has_family(f))
				continue;
			rc = read_registered(f, i, &have->each[i][f], e);
			any |= !xtable_empty(&have->each[i][f]);
		}
	}
	return rc < 0 ? rc : any;
}

/* Under the lock: the connections, then nat, then the heartbeat. */
static int remove_locked(const struct backend_options *o, int *lock, struct backend_removed *done,
			 struct err *e)
{
	struct transaction tx = { .counters_lost = false };
	struct tables have, nothing;
	int rc = read_all(&have, e);

	tables_init(&tx.before);
	tables_init(&nothing);
	done->existed = rc > 0;
	for (unsigned f = 0; f < ADDR_FAMILY_COUNT; f++) {
		decode_xt_ports(&have.each[LOWER_NAT][f], &done->ports);
		decode_xt_ports(&have.each[LOWER_MANGLE][f], &done->ports);
	}
	if (rc > 0) {
		rc = o->keep_connections ? 0 : end_connections(&tx, &have, o, lock, done, e);
		if (rc == 0)
			rc = replace_all(&tx, &nothing, true, e);
		if (rc < 0)
			roll_back(&tx, e);
		if (rc < 0 && tx.anchored)
			rc = err_wrap(e, DRAIN_LEFT);
	}
	done->counters_lost = tx.counters_lost;
	tables_fini(&have);
	tables_fini(&tx.before);
	return rc;
}

static int iptc_remove(const struct backend_options *o, struct backend_removed *done, struct err *e)
{
	_cleanup_close_ int lock = -1;
	struct tables have;
	int rc;

	*done = (struct backend_removed){ .existed = false };
	rc = read_all(&have, e);
	tables_fini(&have);
	if (rc <= 0)
		return rc; /* without a lock for nothing */
	lock = lock_take(o->lock_timeout_ms, e);
	return lock < 0 ? lock : remove_locked(o, &lock, done, e);
}

static int iptc_present(bool *tproxy, struct err *e)
{
	struct plan_ports ports = { .tproxy = false };
	struct tables have;
	bool any = false;
	int rc;

	for (unsigned f = 0; f < ADDR_FAMILY_COUNT; f++) {
		rc = legacy_registered_any(f);
		if (rc < 0)
			return err_sys(e, rc, "cannot see which legacy %s tables there are",
				       family_names[f]);
		any |= rc > 0;
	}
	if (!any)
		return 0;
	rc = read_all(&have, e);
	for (unsigned f = 0; rc > 0 && f < ADDR_FAMILY_COUNT; f++)
		decode_xt_ports(&have.each[LOWER_MANGLE][f], &ports);
	*tproxy = ports.tproxy;
	tables_fini(&have);
	return rc;
}

const struct backend backend_iptc = {
	.name = "the legacy tables",
	.apply = iptc_apply,
	.remove = iptc_remove,
	.check = iptc_check,
	.present = iptc_present,
};
