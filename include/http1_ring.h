/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The requests in flight of one HTTP/1 flow, oldest first, and the names of their hosts. */
#ifndef SLUICE_HTTP1_RING_H
#define SLUICE_HTTP1_RING_H

#include "http1.h"

/* The name of a host, shared by requests; or a target. */
struct http1_host {
	uint16_t refs;
	uint8_t len;
	char text[];
};

/* The @i-th oldest. Precondition: i < count. */
static inline struct http1_request *http1_ring_at(struct http1 *h, unsigned i)
{
	struct http1_request *ring = h->ring ? h->ring : h->few;
	unsigned capacity = h->ring ? h->capacity : HTTP1_INLINE;

	return &ring[(h->head + i) & (capacity - 1)];
}

static inline struct http1_request *http1_ring_newest(struct http1 *h)
{
	return http1_ring_at(h, h->count - 1u);
}

/* Room for one more, its content undefined; NULL without memory. */
struct http1_request *http1_ring_push(struct http1 *h);

/* Forgets the oldest, and how it was answered. The allocation goes with the last one. */
void http1_ring_pop(struct http1 *h);

/* A reference to the name @text, which the request's pop gives back; NULL: none, or no memory. */
struct http1_host *http1_host_get(struct http1 *h, struct span text);

/* The first of @text, for a request's pop to give back; NULL: it is empty, or no memory. */
struct http1_host *http1_target_new(struct span text);

/* Forgets the last name. */
void http1_host_drop(struct http1 *h);

#endif
