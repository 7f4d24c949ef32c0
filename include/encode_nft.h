/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A plan as nftables objects. Pure: nothing is sent. */
#ifndef SLUICE_ENCODE_NFT_H
#define SLUICE_ENCODE_NFT_H

#include "plan.h"
#include "ruleset.h"

/* The dead-man switch's set, which outlives every generation. */
#define ENCODE_ALIVE "alive"

/*
 * Encodes @p; sets are named by @generation. @out is the caller's to finish, also after a failure.
 * 0 or -ENOMEM.
 */
int encode_nft(const struct plan *p, uint32_t generation, struct ruleset *out, struct err *e);

#endif
