// SPDX-License-Identifier: GPL-2.0-or-later
/* Connecting to a host by its name: see dial.h. */
#include "dial.h"

#include "forward_rules.h"
#include "log.h"
#include "local_addr.h"
#include "thread.h"
#include "upstream.h"

#include <errno.h>
#include <sys/socket.h>

/* RFC 8305 sect. 5: the Connection Attempt Delay. */
#define ATTEMPT_DELAY_NS 250000000u

static void close_attempt(struct dial *d, unsigned i)
{
	struct loop_source *source = &d->attempts[i].source;

	if (source->fd < 0)
		return;
	own_release(d->thread->shared->own, &d->attempts[i].own);
	close(source->fd);
	source->fd = -1;
	source->registered = false;
	d->pending--;
}

void dial_cancel(struct dial *d)
{
	if (!d->busy)
		return;
	resolver_cancel(&d->request);
	for (unsigned i = 0; i < d->next; i++)
		close_attempt(d, i);
	d->busy = false;
	d->next_at = 0;
}

static void finish(struct dial *d, enum dial_end end, int fd)
{
	dial_cancel(d);
	d->done(d, end, fd);
}

static enum dial_end end_of(int error)
{
	switch (error) {
	case ECONNREFUSED:
		return DIAL_REFUSED;
	case ECONNRESET:
	case EPIPE:
		return DIAL_RESET;
	case ETIMEDOUT:
		return DIAL_TIMEOUT;
	case EMFILE:
	case ENFILE:
	case ENOBUFS:
	case ENOMEM:
	case EADDRNOTAVAIL: /* no free source port */
		return DIAL_LIMIT;
	default:
		return DIAL_UNREACHABLE;
	}
}

/* Attempt @i. A host that says no tells more than a network that leads nowhere. */
static void failed(struct dial *d, unsigned i, int error)
{
	enum dial_end end = end_of(error);

	if (d->end == DIAL_CONNECTED || end != DIAL_UNREACHABLE)
		d->end = (uint8_t)end;
	if (end == DIAL_RESET)
		d->won = (uint8_t)i;
}

static void attempt_ready(struct loop_source *source, uint32_t events);

/* Begins to connect to the address @i. 0 when it stands, -EINPROGRESS, or another -errno. */
static int attempt(struct dial *d, unsigned i)
{
	struct dial_attempt *a = &d->attempts[i];
	struct loop_source *source = &a->source;
	union sockaddr_any to;
	int rc;

	*a = (struct dial_attempt){ .source = { .fd = -1, .ready = attempt_ready },
				    .index = (uint8_t)i };
	sockaddr_set(&to, &d->addresses[i], d->port);
	rc = thread_connect(d->thread, &to, NULL, d->before, source, &a->own);
	if (source->fd >= 0)
		d->pending++;
	return rc;
}

/* The connection of attempt @i stands. */
static void win(struct dial *d, unsigned i)
{
	struct loop_source *source = &d->attempts[i].source;
	int fd = source->fd;

	loop_unwatch(&d->thread->loop, source);
	source->fd = -1;
	d->pending--;
	d->won = (uint8_t)i;
	finish(d, DIAL_CONNECTED, fd);
}

/* The next attempt, if there is one to make, comes a while after the last. */
static void set_timer(struct dial *d)
{
	if (d->next == d->count)
		return;
	d->next_at = d->last_at + ATTEMPT_DELAY_NS;
	d->timer(d);
}

/* Tries the next addresses until one is under way, or all have failed. */
static void try_next(struct dial *d)
{
	d->next_at = 0;
	while (d->next < d->count) {
		unsigned i = d->next++;
		int rc = attempt(d, i);

		if (rc == 0) {
			win(d, i);
			return;
		}
		if (rc == -EINPROGRESS) {
			d->last_at = loop_clock();
			set_timer(d);
			return;
		}
		failed(d, i, -rc);
		close_attempt(d, i);
	}
	if (!d->pending && !d->expects)
		finish(d, (enum dial_end)d->end, -1);
}

static void attempt_ready(struct loop_source *source, uint32_t events)
{
	struct dial_attempt *a = CONTAINER_OF(source, struct dial_attempt, source);
	struct dial *d = CONTAINER_OF(a - a->index, struct dial, attempts[0]);
	int rc = upstream_connected(source->fd, events);

	d->thread->now = loop_clock();
	if (rc == 0) {
		win(d, a->index);
	} else if (rc != -EINPROGRESS) {
		failed(d, a->index, -rc);
		close_attempt(d, a->index);
		try_next(d);
	}
}

/*
 * Whether the client may be taken to @a. Where it was going by itself, it needs nobody for that.
 * Our own ports are refused whoever has the address: it might lead back to us on some way.
 */
static bool may_go(const struct dial *d, const struct addr *a)
{
	const struct pod *pod = d->thread->shared->pod;
	struct addr own, spellings[FORWARD_RULES_WITHIN + 1] = { *a };
	size_t count = 1 + forward_rules_within(a, spellings + 1);
	int local = 0;

	if (d->unjudged) {
		own = sockaddr_addr(d->unjudged);
		if (sockaddr_port(d->unjudged) == d->port && memcmp(&own, a, sizeof(own)) == 0)
			return true;
	}
	if (pod_owns_port(pod, d->port) || forward_rules_forbid(a))
		return false;
	for (size_t i = 0; i < count && local == 0; i++)
		local = local_addr_is(pod->locals[d->thread->index], &spellings[i]);
	if (local < 0)
		log_warn("the forward proxy cannot tell whose an address is, and refuses: %s",
			 strerror(-local));
	return local == 0;
}

static bool was_tried(const struct dial *d, const struct addr *a)
{
	for (unsigned i = 0; i < d->next; i++) {
		if (memcmp(&d->addresses[i], a, sizeof(*a)) == 0)
			return true;
	}
	return false;
}

/*
 * Keeps of @count addresses those that may be gone to, behind those that were tried: IPv6 and IPv4
 * in turn (RFC 8305 sect. 4).
 */
static void choose(struct dial *d, const struct addr *addresses, size_t count)
{
	size_t at[ADDR_FAMILY_COUNT] = { 0, 0 };
	enum addr_family family = ADDR_V6;

	d->count = d->next;
	if (d->next && d->addresses[d->next - 1].family == ADDR_V6)
		family = ADDR_V4;
	for (unsigned given_up = 0; given_up < ADDR_FAMILY_COUNT;) {
		size_t *i = &at[family];

		while (*i < count && (addresses[*i].family != family ||
				      was_tried(d, &addresses[*i]) || !may_go(d, &addresses[*i])))
			++*i;
		if (*i < count && d->count < ARRAY_SIZE(d->addresses)) {
			d->addresses[d->count++] = addresses[(*i)++];
			given_up = 0;
		} else {
			given_up++;
		}
		family = family == ADDR_V6 ? ADDR_V4 : ADDR_V6;
	}
}

static void resolved(struct dial *d, const struct resolver_answer *answer)
{
	static const uint8_t ends[] = {
		[DNS_ANSWERED] = DIAL_FORBIDDEN, /* all that there is */
		[DNS_NEGATIVE] = DIAL_UNRESOLVED, [DNS_FAILED] = DIAL_UNRESOLVED,
		[DNS_TIMEOUT] = DIAL_DNS_TIMEOUT, [DNS_LIMIT] = DIAL_LIMIT,
	};

	_Static_assert(ARRAY_SIZE(ends) == DNS_RESULT_COUNT, "an end for each");
	d->thread->now = loop_clock();
	d->expects = answer->more;
	if (!d->pending)
		d->began = d->thread->now;
	if (answer->result == DNS_ANSWERED)
		choose(d, answer->addresses, answer->count);
	if (d->pending)
		set_timer(d);
	else if (d->next < d->count)
		try_next(d);
	else if (!d->expects)
		finish(d, (enum dial_end)(d->next ? d->end : ends[answer->result]), -1);
}

static void name_done(struct resolver_request *request, const struct resolver_answer *answer)
{
	resolved(CONTAINER_OF(request, struct dial, request), answer);
}

void dial_start(struct dial *d, struct span host, uint16_t port)
{
	struct resolver_answer answer = { .result = DNS_ANSWERED };
	struct addr literal;

	d->busy = true;
	d->port = port;
	d->count = d->next = d->pending = 0;
	d->next_at = 0;
	d->expects = false;
	d->end = DIAL_CONNECTED;
	d->request = (struct resolver_request){ .done = name_done };
	if (addr_parse(host, &literal, NULL) == 0) {
		answer.addresses = &literal;
		answer.count = 1;
		resolved(d, &answer);
	} else if (resolver_addresses(d->thread->resolver, host, &d->request, &answer)) {
		resolved(d, &answer);
	}
}

void dial_tick(struct dial *d)
{
	if (d->busy && d->next_at)
		try_next(d);
}
