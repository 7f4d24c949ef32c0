/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Transactions that turn one ruleset into another. */
#ifndef SLUICE_NFT_WRITE_H
#define SLUICE_NFT_WRITE_H

#include "nl_socket.h"
#include "ruleset.h"

/*
 * From what was read to what is wanted, in one transaction, behind one for the new sets; see
 * backend_nft.h for how. The generations of the sets in @want must not occur in @have. 0 and the
 * generation that this made, -ERESTART when @have is out of date, or -errno with @e set. A failure
 * takes the new sets back, unless somebody else has written meanwhile.
 */
int nft_write(struct nl_socket *nl, const struct ruleset *want, const struct ruleset *have,
	      uint32_t *generation, struct err *e);

/*
 * Makes the kernel hold again what @before was read as, in place of @now; @before forgets its
 * handles. As nft_write().
 */
int nft_write_back(struct nl_socket *nl, struct ruleset *before, const struct ruleset *now,
		   struct err *e);

/* Flushes one of our chains, as of @generation. As nft_write(). */
int nft_write_flush(struct nl_socket *nl, uint32_t generation, const char *chain, struct err *e);

/* Deletes our table, as of @generation. As nft_write(). */
int nft_write_delete(struct nl_socket *nl, uint32_t generation, struct err *e);

#endif
