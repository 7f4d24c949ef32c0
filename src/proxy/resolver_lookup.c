// SPDX-License-Identifier: GPL-2.0-or-later
/* The addresses of a name: see resolver_lookup.h. */
#include "resolver_lookup.h"

#include <netinet/in.h>
#include <netdb.h>

#define DNS_TYPE_A    1	 /* RFC 1035 sect. 3.2.2 */
#define DNS_TYPE_AAAA 28 /* RFC 3596 sect. 2.1 */

/* What c-ares has in hand. Its own, since it may outlive the lookup. */
struct lookup_query {
	struct lookups *all;
	struct lookup *lookup; /* NULL: it has gone on */
	uint8_t family;
	bool late;
};

static void proceed(struct lookup *l);

/* ---- Answers ---- */

static void add_address(struct lookup_half *half, enum addr_family family, const void *bytes,
			int ttl)
{
	struct addr a = { .family = (uint8_t)family };

	memcpy(a.bytes, bytes, addr_len(family));
	for (uint32_t i = 0; i < half->count; i++) {
		if (memcmp(&half->addresses[i], &a, sizeof(a)) == 0)
			return;
	}
	if (half->count < RESOLVER_ADDRESSES_MAX)
		half->addresses[half->count++] = a;
	half->ttl = MIN(half->ttl, (uint32_t)MAX(ttl, 0));
}

static int read_a(struct lookup_half *half, const unsigned char *message, int len)
{
	struct ares_addrttl list[RESOLVER_ADDRESSES_MAX];
	int count = ARRAY_SIZE(list);
	int status = ares_parse_a_reply(message, len, NULL, list, &count);

	for (int i = 0; status == ARES_SUCCESS && i < count; i++)
		add_address(half, ADDR_V4, &list[i].ipaddr, list[i].ttl);
	return status;
}

static int read_aaaa(struct lookup_half *half, const unsigned char *message, int len)
{
	struct ares_addr6ttl list[RESOLVER_ADDRESSES_MAX];
	int count = ARRAY_SIZE(list);
	int status = ares_parse_aaaa_reply(message, len, NULL, list, &count);

	for (int i = 0; status == ARES_SUCCESS && i < count; i++)
		add_address(half, ADDR_V6, &list[i].ip6addr, list[i].ttl);
	return status;
}

static enum race_state state_of(int status, uint32_t count)
{
	switch (status) {
	case ARES_SUCCESS:
		return count ? RACE_ADDRESSES : RACE_NONE;
	case ARES_ENODATA:
		return RACE_NONE;
	case ARES_ENOTFOUND:
		return RACE_NO_NAME;
	case ARES_ETIMEOUT:
		return RACE_SILENT;
	default:
		return RACE_FAILED;
	}
}

static void note(struct lookup *l, enum addr_family family, enum race_state state)
{
	l->race.halves[family].state = (uint8_t)state;
	l->race.halves[family].at = loop_clock();
}

static void on_reply(void *ctx, int status, int timeouts, unsigned char *message, int len)
{
	struct lookup_query *q = ctx;
	struct lookup *l = q->lookup;
	enum addr_family family = (enum addr_family)q->family;

	(void)timeouts;
	q->all->queries--;
	q->all->late -= q->late;
	if (l) {
		struct lookup_half *half = &l->halves[family];

		half->query = NULL;
		if (status == ARES_SUCCESS)
			status = (family == ADDR_V4 ? read_a : read_aaaa)(half, message, len);
		note(l, family, state_of(status, half->count));
	}
	free(q);
	if (l && !l->asking && !l->all->channel->closing)
		proceed(l);
}

/* ---- Questions ---- */

static void ask(struct lookup *l, enum addr_family family, const char *name)
{
	struct lookup_query *q = calloc(1, sizeof(*q));

	l->halves[family] = (struct lookup_half){ .query = q, .ttl = UINT32_MAX };
	note(l, family, q ? RACE_ASKED : RACE_FAILED);
	if (!q)
		return;
	*q = (struct lookup_query){ .all = l->all, .lookup = l, .family = (uint8_t)family };
	l->all->queries++;
	ares_query(l->all->channel->ares, name, DNS_CLASS_IN,
		   family == ADDR_V4 ? DNS_TYPE_A : DNS_TYPE_AAAA, on_reply, q);
}

static void make_late(struct lookup_query *q)
{
	if (q && !q->late) {
		q->late = true;
		q->all->late++;
	}
}

/* Waits no longer for what is under way. */
static void let_go(struct lookup *l)
{
	for (unsigned f = 0; f < ADDR_FAMILY_COUNT; f++) {
		struct lookup_query *q = l->halves[f].query;

		if (q) {
			make_late(q);
			q->lookup = NULL;
			l->halves[f].query = NULL;
		}
	}
}

static bool is_crowded(const struct lookups *all)
{
	return all->late >= all->late_max;
}

/* Asks the current candidate for what is to be asked. IPv6 first: RFC 8305 sect. 3. */
static void ask_both(struct lookup *l, const char *name)
{
	bool crowded = is_crowded(l->all);

	l->asking = true;
	for (unsigned f = ADDR_FAMILY_COUNT; f-- > 0;) {
		if (l->skip[f] || (f == ADDR_V6 && crowded))
			note(l, (enum addr_family)f, RACE_SKIPPED);
		else
			ask(l, (enum addr_family)f, name);
	}
	l->asking = false;
}

/* Asks what was skipped before. */
static void ask_skipped(struct lookup *l)
{
	char name[DNS_NAME_MAX + 2];

	l->asking = true;
	for (unsigned f = 0; f < ADDR_FAMILY_COUNT; f++) {
		if (l->race.halves[f].state != RACE_SKIPPED)
			continue;
		if (resolver_channel_candidate(l->all->channel, span_str(l->name), l->candidate - 1,
					       name))
			ask(l, (enum addr_family)f, name);
		else
			note(l, (enum addr_family)f, RACE_FAILED);
	}
	l->asking = false;
}

static void on_hosts(void *ctx, int status, int timeouts, struct ares_addrinfo *info)
{
	struct lookup *l = ctx;

	(void)timeouts;
	for (const struct ares_addrinfo_node *n = info ? info->nodes : NULL; n; n = n->ai_next) {
		const struct sockaddr *sa = n->ai_addr;

		if (n->ai_family == AF_INET)
			add_address(&l->halves[ADDR_V4], ADDR_V4,
				    &((const struct sockaddr_in *)(const void *)sa)->sin_addr,
				    n->ai_ttl);
		else if (n->ai_family == AF_INET6)
			add_address(&l->halves[ADDR_V6], ADDR_V6,
				    &((const struct sockaddr_in6 *)(const void *)sa)->sin6_addr,
				    n->ai_ttl);
	}
	for (unsigned f = 0; f < ADDR_FAMILY_COUNT; f++)
		note(l, (enum addr_family)f,
		     state_of(status == ARES_SUCCESS ? ARES_SUCCESS : ARES_ENOTFOUND,
			      l->halves[f].count));
	if (info)
		ares_freeaddrinfo(info);
}

/* The channel's own way to addresses is that of files alone, so it answers at once. */
static void read_hosts(struct lookup *l)
{
	static const struct ares_addrinfo_hints hints = {
		.ai_flags = ARES_AI_NOSORT,
		.ai_family = AF_UNSPEC,
		.ai_socktype = SOCK_STREAM,
	};

	for (unsigned f = 0; f < ADDR_FAMILY_COUNT; f++)
		l->halves[f] = (struct lookup_half){ .ttl = UINT32_MAX };
	ares_getaddrinfo(l->all->channel->ares, l->name, NULL, &hints, on_hosts, l);
}

/* Not to be asked for: RFC 6761 sect. 6.3 and RFC 7686 sect. 2. */
static bool is_for_dns(struct span name)
{
	if (name.len && name.ptr[name.len - 1] == '.')
		name.len--;
	return !span_eq(name, SPAN_LIT("localhost")) && !span_eq(name, SPAN_LIT("onion")) &&
	       !dns_name_below(name, SPAN_LIT("onion"));
}

/* Asks the next one. False: there is none. */
static bool next_candidate(struct lookup *l)
{
	char name[DNS_NAME_MAX + 2];

	for (; *l->sources; l->sources++) {
		if (*l->sources == 'f') {
			l->sources++;
			read_hosts(l);
			return true;
		}
		if (*l->sources == 'b' && is_for_dns(span_str(l->name)) &&
		    resolver_channel_candidate(l->all->channel, span_str(l->name), l->candidate,
					       name)) {
			l->candidate++;
			ask_both(l, name);
			return true;
		}
	}
	return false;
}

/* ---- Going on ---- */

/* Those of both families, half of the room for each if both have as many. */
static uint32_t gather(const struct lookup *l, struct addr list[RESOLVER_ADDRESSES_MAX])
{
	const struct lookup_half *v6 = &l->halves[ADDR_V6], *v4 = &l->halves[ADDR_V4];
	uint32_t half = RESOLVER_ADDRESSES_MAX / 2;
	uint32_t n6 = MIN(v6->count, MAX(half, RESOLVER_ADDRESSES_MAX - v4->count));
	uint32_t n4 = MIN(v4->count, RESOLVER_ADDRESSES_MAX - n6);

	memcpy(list, v6->addresses, n6 * sizeof(list[0]));
	memcpy(list + n6, v4->addresses, n4 * sizeof(list[0]));
	return n6 + n4;
}

static void tell(struct lookup *l, enum dns_result result, bool more)
{
	struct addr list[RESOLVER_ADDRESSES_MAX];
	uint32_t count = result == DNS_ANSWERED ? gather(l, list) : 0;

	l->told = true;
	l->all->told(l, result, list, count, more);
	if (!more)
		lookup_free(l);
}

/* Whether a server said that it cannot tell. Silence is what nobody broke. */
static bool has_failed(const struct lookup *l)
{
	return l->race.halves[ADDR_V4].state == RACE_FAILED ||
	       l->race.halves[ADDR_V6].state == RACE_FAILED;
}

/* Goes on with the next name. False: there is none, and @l has ended. */
static bool go_on(struct lookup *l)
{
	let_go(l);
	if (next_candidate(l))
		return true;
	tell(l, l->failed ? DNS_FAILED : DNS_NEGATIVE, false);
	return false;
}

/* Addresses that need not wait for the others. */
static void tell_part(struct lookup *l)
{
	if (l->told)
		return;
	for (unsigned f = 0; f < ADDR_FAMILY_COUNT; f++)
		make_late(l->halves[f].query);
	tell(l, DNS_ANSWERED, true);
}

static void proceed(struct lookup *l)
{
	static const struct race_delays patient = { UINT64_MAX, { UINT64_MAX, UINT64_MAX } };

	for (;;) {
		bool crowded = !l->told && is_crowded(l->all);

		switch (race_judge(&l->race, crowded ? &patient : &l->all->delays, loop_clock(),
				   &l->due)) {
		case RACE_WAIT:
			l->all->due = MIN(l->all->due, l->due);
			return;
		case RACE_ASK:
			ask_skipped(l);
			break;
		case RACE_PART:
			if (!crowded)
				tell_part(l);
			return;
		case RACE_WHOLE:
			tell(l, DNS_ANSWERED, false);
			return;
		case RACE_GIVE_UP:
			if (!has_failed(l)) {
				tell(l, DNS_TIMEOUT, false);
				return;
			}
			/* A server may know nothing but its own domain: as glibc's, on to the next
			 * name. */
			l->failed = true;
			if (!go_on(l))
				return;
			break;
		case RACE_NEXT:
			if (!go_on(l))
				return;
			break;
		}
	}
}

void lookups_tick(struct lookups *all, uint64_t now)
{
	if (now < all->due)
		return;
	all->due = UINT64_MAX;
	for (struct lookup *l = all->first, *next; l; l = next) {
		next = l->next;
		if (now >= l->due)
			proceed(l);
		else
			all->due = MIN(all->due, l->due);
	}
}

/* ---- Their life ---- */

struct lookup *lookup_new(struct lookups *all, struct span name, void *owner)
{
	struct lookup *l = calloc(1, sizeof(*l));

	if (!l)
		return NULL;
	*l = (struct lookup){
		.all = all,
		.next = all->first,
		.link = &all->first,
		.owner = owner,
		.sources = resolver_channel_sources(all->channel),
		.due = UINT64_MAX,
	};
	memcpy(l->name, name.ptr, MIN(name.len, sizeof(l->name) - 1));
	if (l->next)
		l->next->link = &l->next;
	all->first = l;
	return l;
}

void lookup_begin(struct lookup *l)
{
	if (next_candidate(l))
		proceed(l);
	else
		tell(l, DNS_NEGATIVE, false);
}

void lookup_free(struct lookup *l)
{
	if (!l)
		return;
	let_go(l);
	*l->link = l->next;
	if (l->next)
		l->next->link = l->link;
	free(l);
}

bool lookup_lacks(const struct lookup *l, enum addr_family family)
{
	switch ((enum race_state)l->race.halves[family].state) {
	case RACE_ADDRESSES:
	case RACE_NONE:
	case RACE_NO_NAME:
		return false;
	default:
		return true;
	}
}

uint64_t lookup_expires(const struct lookup *l, uint64_t (*hold)(uint64_t at, uint32_t ttl))
{
	uint64_t expires = UINT64_MAX;

	for (unsigned f = 0; f < ADDR_FAMILY_COUNT; f++) {
		if (l->race.halves[f].state == RACE_ADDRESSES)
			expires = MIN(expires, hold(l->race.halves[f].at, l->halves[f].ttl));
	}
	return expires;
}
