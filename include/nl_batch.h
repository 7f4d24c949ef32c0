/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * One nftables transaction: many messages, all or nothing.
 *
 * Theory of Operation: messages are written one behind the other into one buffer, between a begin
 * that carries the generation we read and an end without which the kernel would only pretend
 * (kernel: net/netfilter/nfnetlink.c). The buffer goes out as one datagram. Only the last message
 * asks for an acknowledgement; refusals come without asking, each with its message's sequence
 * number and the offset of what was refused. All answers are read; any refusal wins over any
 * acknowledgement. A refusal of the begin itself, ERESTART, says that the generation was stale.
 */
#ifndef SLUICE_NL_BATCH_H
#define SLUICE_NL_BATCH_H

#include "nl_socket.h"

struct nl_batch;

/* Begins a transaction on the state of @generation. NULL with @e set. */
struct nl_batch *nl_batch_new(struct nl_socket *nl, uint32_t generation, struct err *e);
void nl_batch_free(struct nl_batch *b);

/* What a message does, for the error line: "%s '%s'", as in "rule 'out-dead'". */
struct nl_batch_label {
	const char *what, *name; /* borrowed until the batch is committed */
};

/* The longest message there can be: attributes have lengths of 16 bits. */
#define NL_BATCH_MESSAGE_MAX 65535

/*
 * A new message of @type (NFT_MSG_*), to be filled by mnl_attr_put_*() or a libnftnl builder with
 * at most NL_BATCH_MESSAGE_MAX bytes; it counts from the next call on. Once memory is out it is
 * one that is thrown away. Never NULL.
 */
struct nlmsghdr *nl_batch_add(struct nl_batch *b, uint16_t type, uint16_t flags,
			      struct nl_batch_label label);

/*
 * Sends it and reads every answer. 0 when the kernel says it is committed (read back to know);
 * -ERESTART when the generation was stale: read again, build again. Otherwise -errno, @e naming
 * the first message refused and the part of it.
 */
int nl_batch_commit(struct nl_batch *b, struct err *e);

#endif
