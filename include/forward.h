/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The forward proxy: a client's connection to the outbound listener that goes where its requests
 * say. That is so for clients that use us as their proxy (http_proxy=http://127.0.0.1:9001), and
 * with --outbound-mode=host for those that are redirected.
 *
 * Theory of Operation: it is a flow with one server at a time. Requests are taken one by one; those
 * that come meanwhile wait in the client's socket, so answers are in order by nature. A request for
 * the host of the one before goes to the same connection, any other ends that and begins a new
 * one. What is sent is what was read but for what forward_head.h names. From a CONNECT, an upgrade,
 * or first bytes that are not HTTP on it is an ordinary flow (relay.c).
 *
 *   AWAITING   a request, or its rest. -> DIALING, EXCHANGE, LEAVING, or an ordinary flow
 *   DIALING    its host is being connected to; a client of HTTP/1 is not read, one of HTTP/2 may
 *              cancel what it is for. One that ends its side is dialled for some seconds more.
 *              -> EXCHANGE, FRAMES, AWAITING
 *   EXCHANGE   content goes to the server, an answer to the client. -> AWAITING, LEAVING
 *   FRAMES     HTTP/2 both ways (forward_http2.h). -> LEAVING
 *   LEAVING    all has been said: the client is given time to read it, and what it sends is
 *              dropped, since unread bytes would make the close a reset.
 *
 * How a server ends is how its client ends: a FIN between answers or within one is passed on, a
 * reset within one is a reset. Metrics count a connection for each server, from its first request.
 */
#ifndef SLUICE_FORWARD_H
#define SLUICE_FORWARD_H

#include "flow.h"

/*
 * Serves the connection @fd, taken over, of a client that was going to @original, or NULL: to us;
 * behind @loops flows of ours, as far as one can tell.
 */
void forward_accept(struct thread *t, int fd, const union sockaddr_any *original, uint8_t loops);

/* Frees what the flow owns beside itself; from flow.c, when it ends. */
void forward_fini(struct flow *f);

/* Sees to deadlines, once a round. */
void forward_tick(struct thread *t);

/* A drain has begun: clients that have been answered go, now or with their next answer. */
void forward_drain(struct thread *t);

#endif
