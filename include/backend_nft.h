/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The nftables backend: a plan into the kernel, out of it, and held against it.
 *
 * Theory of Operation: everything begins with reading back what is there. When that equals the
 * plan, nothing is sent. Otherwise one transaction, on the very generation that was read, makes
 * it so: in place where the kernel can (chains flushed and refilled, old sets deleted), so that
 * the set `alive` keeps its elements and no connection meets neither plan; by replacing the table
 * where it cannot (a hook's priority). New sets, under the next generation, get a transaction of
 * their own before: kernels since 6.18 publish elements only after the rules of the same
 * transaction (nft_set_commit_update() in nf_tables_commit()), and to a rule that looks a set up
 * meanwhile it is empty. Measured: one connection in 70 swaps went past an included uid. Then the
 * kernel is read again: only that proves anything.
 */
#ifndef SLUICE_BACKEND_NFT_H
#define SLUICE_BACKEND_NFT_H

#include "backend.h"

extern const struct backend backend_nft;

#endif
