/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The legacy tables of the kernel, through libiptc: one open table is a snapshot, which is changed
 * and put back as a whole.
 */
#ifndef SLUICE_LEGACY_H
#define SLUICE_LEGACY_H

#include "xtable.h"

/*
 * Whether this network namespace has the table already. Opening one that it has not would make
 * it, for good, so nothing is opened here. 1, 0, or -EACCES where only root may know: then nothing
 * is known.
 */
int legacy_registered(enum addr_family family, enum lower_table table);

/* The same of any table that a plan can have rules in. */
int legacy_registered_any(enum addr_family family);

/*
 * Whether the kernel can do this family at all. False where it was started without IPv6, which
 * then has no rules and needs none.
 */
bool legacy_has_family(enum addr_family family);

/* What else than the table's name a failure is about: 0, or -EPERM with @e set and CAP_* named. */
int legacy_may(struct err *e);

/* One open table. */
struct legacy {
	enum addr_family family;
	enum lower_table table;
	struct xtc_handle *handle; /* owned */
};

/* Opens a table, which makes it where it was not. 0 or -errno with @e set. */
int legacy_open(struct legacy *l, enum addr_family family, enum lower_table table, struct err *e);

/* Drops the snapshot. */
void legacy_close(struct legacy *l);

/* What is ours in the snapshot. @out is the caller's to finish, also after a failure. */
int legacy_read(const struct legacy *l, struct xtable *out, struct err *e);

/* What there is of others in one chain. */
struct legacy_chain {
	const char *name;
	bool builtin;
	size_t foreign;	   /* rules that do not lead to a chain of ours */
	size_t untracking; /* rules with the target CT or NOTRACK */
};

/* Shows every chain of the snapshot that is not ours. */
void legacy_each_chain(const struct legacy *l,
		       void (*each)(const struct legacy_chain *c, void *data), void *data);

/*
 * Puts @want in the place of what is ours, @have, and writes the table. Everything of others
 * stays: rules, order, counters. 0; -EAGAIN without @e when the table has changed since it was
 * opened; another -errno with @e set. After that the kernel may hold the new table all the same
 * (libiptc sets the counters in a step of its own): only opening and reading it again can tell.
 */
int legacy_write(struct legacy *l, const struct xtable *have, const struct xtable *want,
		 struct err *e);

#endif
