/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Names in DNS (RFC 1035): the little that c-ares does not do, PTR records with their TTL. Pure. */
#ifndef SLUICE_DNS_MESSAGE_H
#define SLUICE_DNS_MESSAGE_H

#include "addr.h"
#include "span.h"

/* RFC 1035 sect. 3.2.2, 3.2.4. */
#define DNS_TYPE_CNAME 5
#define DNS_TYPE_PTR   12
#define DNS_CLASS_IN   1

/* Longest name as text, without its final dot (RFC 1035 sect. 2.3.4). */
#define DNS_NAME_MAX 253

/* "ip6.arpa" and 32 nibbles, each with a dot; NUL-terminated. */
#define DNS_REVERSE_MAX 74

/* Writes the name to ask the PTR record of @a with (RFC 1035 sect. 3.5, RFC 3596 sect. 2.5). */
const char *dns_reverse_name(const struct addr *a, char text[DNS_REVERSE_MAX]);

/* Whether @name may be a label's value: 1 to 253 of [a-z0-9.-]. */
bool dns_name_is_plain(struct span name);

/*
 * Writes @name in lower case: labels of [a-z0-9_-], perhaps with a final dot. No NUL follows.
 * False: it can be nobody's name.
 */
bool dns_name_lower(struct span name, char out[DNS_NAME_MAX + 1]);

/* Whether @name lies below @domain (which begins and ends without a dot), in either case. */
bool dns_name_below(struct span name, struct span domain);

/* One PTR record's name, in lower case; valid during the call. */
typedef void dns_ptr_found(void *ctx, struct span name);

/*
 * Reads the answers of a whole DNS message, whoever sent it, and tells each PTR record whose name
 * is plain. Records of other kinds are passed over. Returns the number told; *@ttl is then the
 * smallest in seconds of theirs and of the CNAMEs beside them. What is malformed ends the reading.
 */
unsigned dns_ptr_read(struct span message, dns_ptr_found *found, void *ctx, uint32_t *ttl);

#endif
