/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the kernel holds in our table. */
#ifndef SLUICE_NFT_READ_H
#define SLUICE_NFT_READ_H

#include "nl_socket.h"
#include "ruleset.h"

/*
 * Reads our table, or that there is none (@out->exists), as of one generation; starts again while
 * somebody changes things meanwhile. @out is the caller's to finish, also after a failure. 0, or
 * -errno with @e set: -EPERM without CAP_NET_ADMIN, -EOPNOTSUPP without nf_tables, -EBUSY when the
 * state would not hold still.
 */
int nft_read(struct nl_socket *nl, struct ruleset *out, struct err *e);

#endif
