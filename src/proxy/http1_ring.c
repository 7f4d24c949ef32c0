// SPDX-License-Identifier: GPL-2.0-or-later
/* The requests in flight of one HTTP/1 flow: see http1_ring.h. */
#include "http1_ring.h"

_Static_assert(HTTP1_HOST_MAX <= UINT8_MAX, "the length of a name fits");
_Static_assert(HTTP1_PIPELINE_MAX < UINT16_MAX, "its references fit");
_Static_assert((HTTP1_INLINE & (HTTP1_INLINE - 1)) == 0, "a ring's size is a power of two");

static void host_put(struct http1_host *host)
{
	if (host && --host->refs == 0)
		free(host);
}

void http1_host_drop(struct http1 *h)
{
	host_put(h->host);
	h->host = NULL;
}

/* Precondition: @text has 1 to HTTP1_HOST_MAX bytes. */
static struct http1_host *text_new(struct span text)
{
	struct http1_host *host = malloc(sizeof(*host) + text.len);

	if (!host)
		return NULL;
	host->refs = 1;
	host->len = (uint8_t)text.len;
	memcpy(host->text, text.ptr, text.len);
	return host;
}

struct http1_host *http1_target_new(struct span text)
{
	text.len = MIN(text.len, HTTP1_HOST_MAX);
	return text.len ? text_new(text) : NULL;
}

struct http1_host *http1_host_get(struct http1 *h, struct span text)
{
	struct http1_host *host = h->host;

	text.len = MIN(text.len, HTTP1_HOST_MAX);
	if (!text.len)
		return NULL;
	/* A client names the same host again and again: one allocation per flow. */
	if (!host || host->len != text.len || memcmp(host->text, text.ptr, text.len) != 0) {
		host = text_new(text);
		if (!host)
			return NULL;
		http1_host_drop(h);
		h->host = host;
	}
	host->refs++;
	return host;
}

static bool grow(struct http1 *h)
{
	unsigned capacity = h->ring ? 2u * h->capacity : 4 * HTTP1_INLINE;
	struct http1_request *ring = malloc(capacity * sizeof(*ring));

	if (!ring)
		return false;
	for (unsigned i = 0; i < h->count; i++)
		ring[i] = *http1_ring_at(h, i);
	free(h->ring);
	h->ring = ring;
	h->head = 0;
	h->capacity = (uint16_t)capacity;
	return true;
}

struct http1_request *http1_ring_push(struct http1 *h)
{
	if (h->count == (h->ring ? h->capacity : HTTP1_INLINE) && !grow(h))
		return NULL;
	h->count++;
	return http1_ring_newest(h);
}

void http1_ring_pop(struct http1 *h)
{
	unsigned capacity = h->ring ? h->capacity : HTTP1_INLINE;

	host_put(http1_ring_at(h, 0)->host);
	host_put(http1_ring_at(h, 0)->target);
	h->head = (uint16_t)((h->head + 1u) & (capacity - 1));
	h->trace = (struct trace){ { 0 }, { 0 } };
	h->status = 0;
	h->answered = false;
	if (--h->count == 0 && h->ring) {
		free(h->ring);
		h->ring = NULL;
		h->head = 0;
	}
}
