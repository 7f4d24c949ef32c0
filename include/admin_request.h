/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A request to the admin server: its parts, and whether its sender may make it.
 *
 * Theory of Operation: what everybody may read is open. The rest is for people inside the pod,
 * and being on loopback is not enough to be one: `kubectl port-forward` brings a browser there,
 * and with it every page that is open in it. A page whose name was made to resolve to 127.0.0.1
 * (DNS rebinding) says that name in Host, so Host must be an address or `localhost`. A page may
 * send a form anywhere without asking, but neither a header of its own nor without Origin, so an
 * order must have the one and not the other. Pure: no I/O.
 */
#ifndef SLUICE_ADMIN_REQUEST_H
#define SLUICE_ADMIN_REQUEST_H

#include "protocol.h"
#include "span.h"

/* Every order must have a field of this name; its value does not matter. */
#define ADMIN_ORDER_FIELD "X-Sluice"

/* Who may make a request. */
enum admin_access {
	ADMIN_ANYONE,
	ADMIN_LOCAL, /* whoever is inside the pod */
	ADMIN_ORDER, /* the same, and it was meant */
	ADMIN_ACCESS_COUNT,
};

/* The spans are parts of the head. */
struct admin_request {
	enum http_method method;
	struct span path, query; /* of the target, the query without its '?' */
	struct span fields;	 /* the header's lines */
	bool http11;		 /* answers may be chunked */
	bool close;		 /* the connection ends with the answer */
	bool local;		 /* it came over loopback, or that is not asked for */
};

/*
 * The length of the head that @bytes begin with, its empty line included; 0: it is not whole.
 * Empty lines before it count as part of it (RFC 9112 sect. 2.2).
 */
size_t admin_head_len(struct span bytes);

/* Reads a whole head; `local` is the caller's to set. False: it is no HTTP/1 request. */
bool admin_request_parse(struct span head, struct admin_request *out);

/*
 * The next field of @name (without ':', in any case): its value without blanks around it. Start
 * with *rest = the request's `fields`. False: there is none any more.
 */
bool admin_field_next(struct span *rest, struct span name, struct span *value);

/* Whether the sender may ask for what is for @access: NULL, else why not, for the sender. */
const char *admin_request_refused(const struct admin_request *q, enum admin_access access);

#endif
