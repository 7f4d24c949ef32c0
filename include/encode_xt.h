/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A plan as the legacy tables hold it, to the byte as iptables 1.8.9 writes the same line. Pure:
 * nothing is sent.
 */
#ifndef SLUICE_ENCODE_XT_H
#define SLUICE_ENCODE_XT_H

#include "lower.h"
#include "xtable.h"

/* No rule of ours is longer: four matches, a comment and a target. */
#define ENCODE_XT_RULE_MAX 1024

/*
 * Encodes what @l has in @table. @out is the caller's to finish, also after a failure. 0 or
 * -ENOMEM.
 */
int encode_xt(const struct lower *l, enum lower_table table, struct xtable *out, struct err *e);

#endif
