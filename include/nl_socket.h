/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A netlink socket: requests, dumps, deadlines. Everything here talks to the kernel alone. */
#ifndef SLUICE_NL_SOCKET_H
#define SLUICE_NL_SOCKET_H

#include "error.h"

#include <linux/netlink.h>

struct nl_socket;

/* The answers of the kernel come at once; this is how long we believe that. */
#define NL_DEADLINE_MS 10000

/*
 * Opens a socket of @bus (NETLINK_NETFILTER, NETLINK_SOCK_DIAG) in the current network namespace,
 * with extended acknowledgements on. NULL with @e set.
 */
struct nl_socket *nl_socket_new(int bus, struct err *e);
void nl_socket_free(struct nl_socket *nl);

/* Requests are short: headers, a few names, an address. */
struct nl_request {
	union {
		struct nlmsghdr nlh;
		char bytes[1024];
	};
};

/*
 * Begins a request with NLM_F_REQUEST and @flags; all else is zero (libmnl leaves the padding of
 * attributes as it is). Returns @header bytes of it: the header that messages of this bus have.
 */
void *nl_request_init(struct nl_request *r, uint16_t type, uint16_t flags, size_t header);

/* The same for nf_tables; @type is without the subsystem (NFT_MSG_GETRULE), @family NFPROTO_*. */
void nl_request_nft(struct nl_request *r, uint16_t type, uint16_t flags, uint8_t family);

/* A sequence number that no earlier request of this socket had. */
uint32_t nl_socket_seq(struct nl_socket *nl);

/* Makes room for one message of @len bytes in the kernel's queue of this socket. */
int nl_socket_reserve(struct nl_socket *nl, size_t len, struct err *e);

/* Sends @len bytes as one datagram. 0 or -errno with @e set. */
int nl_socket_send(struct nl_socket *nl, const void *data, size_t len, struct err *e);

/* Called for each message; a negative return ends reading and is passed on. */
typedef int nl_callback(const struct nlmsghdr *nlh, void *data);

/*
 * Reads one datagram and shows each of its messages to @cb. @wait: until the deadline; otherwise
 * -EAGAIN when there is nothing. 0, a negative return of @cb, or -errno with @e set.
 */
int nl_socket_receive(struct nl_socket *nl, bool wait, nl_callback *cb, void *data, struct err *e);

/*
 * Sends the request @nlh (its sequence number is set here) and shows every answer to @cb, which may
 * be NULL: up to the end of a list or the acknowledgement, where NLM_F_DUMP or NLM_F_ACK asks for
 * one; else there is one, that or a refusal. 0 when the kernel answered: *@code is then 0,
 * its -errno, or -EINTR for a dump that was not consistent (all of it has been read: ask again).
 * Otherwise a negative return of @cb, or -errno with @e set.
 */
int nl_socket_request(struct nl_socket *nl, struct nlmsghdr *nlh, nl_callback *cb, void *data,
		      int *code, struct err *e);

/* What a refusal says beyond its number. */
struct nl_refusal {
	int code;	  /* negative errno */
	uint32_t offset;  /* of the refused attribute in our message; 0: not said */
	const char *text; /* the kernel's words, in the message; NULL: none */
};

/* Takes an NLMSG_ERROR apart. Its code is 0 for an acknowledgement. */
struct nl_refusal nl_refusal_parse(const struct nlmsghdr *nlh);

#endif
