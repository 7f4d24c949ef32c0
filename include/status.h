/* SPDX-License-Identifier: GPL-2.0-or-later */
/* How things stand in this namespace: gathered without changing anything, then printed. */
#ifndef SLUICE_STATUS_H
#define SLUICE_STATUS_H

#include "lacks.h"
#include "neighbours.h"
#include "plan.h"
#include "readback.h"

/* What the rules of one row have counted: first packets of connections, but for beats. */
struct status_count {
	bool present; /* there is a rule of this row */
	uint64_t packets, bytes;
};

/* What we could not look at, and why. */
#define STATUS_UNSEEN_MAX 6

struct status {
	struct readback kernel;
	struct status_count rows[PLAN_ROW_COUNT];
	struct plan_ports ports; /* 0 where there is no such redirect */
	bool inbound_listening, outbound_listening;
	struct neighbours neighbours;
	struct lacks lacks;
	uint64_t conntrack_count, conntrack_max; /* max 0: not known */
	char unseen[STATUS_UNSEEN_MAX][ERR_TEXT_MAX];
	size_t unseen_count;
};

/* Never fails: what cannot be seen is named. @out is the caller's to finish. */
void status_gather(struct status *out);
void status_fini(struct status *s);

/* Adds what each row has counted. Pure. */
void status_count_nft(const struct ruleset *have, struct status_count rows[PLAN_ROW_COUNT]);
void status_count_xt(const struct xtable *have, struct status_count rows[PLAN_ROW_COUNT]);

/* Pure but for the output. */
void status_print_text(const struct status *s, FILE *to);
void status_print_json(const struct status *s, FILE *to);

#endif
