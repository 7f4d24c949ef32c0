/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Looking around in nftables: our set alive, and what others have there. */
#ifndef SLUICE_NFT_LIST_H
#define SLUICE_NFT_LIST_H

#include "addr.h"
#include "nl_socket.h"

struct nftnl_chain;
struct nftnl_rule;

/* What alive holds of each family: for how long yet, in ms; 0: nothing. */
struct nft_alive {
	uint64_t left_ms[ADDR_FAMILY_COUNT];
};

/* Everything is 0 where there is no such set. 0 or -errno with @e set. */
int nft_list_alive(struct nl_socket *nl, struct nft_alive *out, struct err *e);

/*
 * Shows every chain, or rule, of every table of every family. A list that changed meanwhile may
 * lack what came or went. 0 or -errno with @e set: as nft_read().
 */
int nft_list_chains(struct nl_socket *nl, void (*each)(const struct nftnl_chain *c, void *data),
		    void *data, struct err *e);
int nft_list_rules(struct nl_socket *nl, void (*each)(const struct nftnl_rule *r, void *data),
		   void *data, struct err *e);

#endif
