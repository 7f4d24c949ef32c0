/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Which response answers which request, and what is told of the two: the half of the HTTP/1
 * observer that no longer sees bytes. http1.c calls it when a message is whole, or can be no more.
 */
#ifndef SLUICE_HTTP1_PAIR_H
#define SLUICE_HTTP1_PAIR_H

#include "http1.h"

/* The lane's next line begins a message. */
void http1_pair_next(struct http1_lane *l);

/* The last byte of the newest request was seen. */
void http1_pair_request(struct observer *o);

/* The last byte of the oldest request's final response was seen, at @now. */
void http1_pair_response(struct observer *o, uint64_t now);

/* Whichever of the two goes @way. */
void http1_pair_message(struct observer *o, enum way way, uint64_t now);

/* The protocol was switched: the oldest exchange is done, nothing behind it is HTTP/1. */
void http1_pair_tunnel(struct observer *o, uint64_t now);

/* The thread is lost. What was not answered yet has no known end and is not told. */
void http1_pair_lost(struct observer *o, enum lost_reason reason);

/* Both lanes are not looked at any more; nothing is owned. Precondition: no requests. */
void http1_pair_close(struct http1 *h);

#endif
