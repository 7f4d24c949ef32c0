// SPDX-License-Identifier: GPL-2.0-or-later
/* Names and addresses by DNS: see resolver.h. */
#include "resolver.h"

#include "dns_message.h"
#include "resolver_cache.h"
#include "resolver_channel.h"
#include "resolver_lookup.h"

#include <errno.h>

#define SECOND 1000000000ull
#define MS     1000000ull

#define ENTRIES	  1000u
#define QUESTIONS 100u

/* Of one question to one server, the first time. */
#define TIMEOUT_MS 2000

/* RFC 8305 sect. 3: the Resolution Delay. */
#define DELAY_MS 50

/* "No such name" for AAAA may be wrong: A is given so many times longer (RFC 4074 sect. 4.2). */
#define DELAYS_OF_A 10

/*
 * A family without an answer is not asked for again for so long, in seconds. The answer that lacks
 * it holds no longer. Less for A: there may be no way to what IPv6 addresses the name has.
 */
static const uint32_t unanswered[ADDR_FAMILY_COUNT] = { [ADDR_V4] = 10, [ADDR_V6] = 60 };

/* resolv.conf is looked at no more often. */
#define CHECK_MS 5000

/* While something is under way: time-outs are noticed this late. */
#define TICK_NS (SECOND / 20)

/* A name that cannot be renewed is believed this much longer (RFC 8767 allows days). */
#define STALE_NS (3600 * SECOND)

/* How long answers hold, in seconds, by question. */
static const struct {
	uint32_t least, most; /* what the TTL is held between */
	uint32_t negative, failure;
} holds[DNS_QUESTION_COUNT] = {
	[DNS_ADDRESS] = { 1, 300, 5, 1 },
	[DNS_PTR] = { 1, 300, 10, 5 },
};

struct resolver {
	struct resolver_config config;
	struct resolver_channel channel;
	struct resolver_cache cache;
	struct lookups lookups;
	uint64_t next_tick;	  /* ns; while something is under way */
	uint32_t active;	  /* questions that wait for a first answer */
	struct cache_entry *done; /* to be told to who waits */

	struct metrics_shard *shard;
	uint32_t counted[DNS_QUESTION_COUNT]; /* entries, as the metric has them */
};

/* ---- Counting ---- */

static struct metric_value *value_of(struct resolver *r, enum metric metric,
				     enum dns_question question, enum dns_result result)
{
	const struct metric_key key = {
		.metric = (uint8_t)metric,
		.question = (uint8_t)question,
		.result = (uint8_t)result,
	};

	return metrics_value(r->shard, &key);
}

/* Kept up to date with every change of the cache. */
static void count_entries(struct resolver *r)
{
	for (unsigned q = 0; q < DNS_QUESTION_COUNT; q++) {
		if (r->counted[q] == r->cache.counts[q])
			continue;
		metric_add(value_of(r, METRIC_DNS_CACHE_ENTRIES, (enum dns_question)q, 0),
			   (int64_t)r->cache.counts[q] - (int64_t)r->counted[q]);
		r->counted[q] = r->cache.counts[q];
	}
}

static void count_active(struct resolver *r, enum dns_question question, int change)
{
	r->active += (uint32_t)change;
	metric_add(value_of(r, METRIC_DNS_QUERIES_ACTIVE, question, 0), change);
}

/* ---- Answers ---- */

static enum dns_result result_of(int status)
{
	switch (status) {
	case ARES_SUCCESS:
		return DNS_ANSWERED;
	case ARES_ENODATA:
	case ARES_ENOTFOUND:
		return DNS_NEGATIVE;
	case ARES_ETIMEOUT:
		return DNS_TIMEOUT;
	default:
		return DNS_FAILED;
	}
}

static uint64_t hold_until(uint64_t now, enum dns_question question, enum dns_result result,
			   uint32_t ttl)
{
	uint32_t seconds = holds[question].failure;

	if (result == DNS_ANSWERED)
		seconds = MIN(MAX(ttl, holds[question].least), holds[question].most);
	else if (result == DNS_NEGATIVE)
		seconds = holds[question].negative;
	return now + seconds * SECOND;
}

/* Whoever waits for @e is to be told. */
static void queue(struct resolver *r, struct cache_entry *e)
{
	if (!e->waiting || e->queued)
		return;
	e->queued = true;
	e->done = r->done;
	r->done = e;
}

/* Counts the answer to @e, which is its first. */
static void count_answer(struct resolver *r, const struct cache_entry *e, enum dns_result result)
{
	metric_add(value_of(r, METRIC_DNS_QUERIES, (enum dns_question)e->question, result), 1);
	count_active(r, (enum dns_question)e->question, -1);
}

/* The question of @e has ended: what it brought, and for how many seconds. */
static void ended(struct cache_entry *e, enum dns_result result, const void *data, size_t size,
		  uint32_t count, uint32_t ttl)
{
	struct resolver *r = e->resolver;
	enum dns_question question = (enum dns_question)e->question;
	uint64_t now = loop_clock(), until = hold_until(now, question, result, ttl);

	count_answer(r, e, result);
	if (result > DNS_NEGATIVE && e->known && now < e->stale_until) {
		e->expires = until; /* nothing new: what was known holds a little longer */
	} else {
		resolver_cache_answer(e, result, data, size, count, until);
		e->stale_until =
			question == DNS_PTR && result == DNS_ANSWERED ? until + STALE_NS : 0;
	}
	e->asking = false;
	queue(r, e);
}

static uint64_t hold_addresses(uint64_t at, uint32_t ttl)
{
	return hold_until(at, DNS_ADDRESS, DNS_ANSWERED, ttl);
}

/* For how long @e, whose addresses are whole now, may be used: less where a family is missing. */
static uint64_t hold_whole(struct cache_entry *e, uint64_t now)
{
	uint64_t until = lookup_expires(e->lookup, hold_addresses);

	for (unsigned f = 0; f < ADDR_FAMILY_COUNT; f++) {
		if (!lookup_lacks(e->lookup, (enum addr_family)f))
			continue;
		if (e->unanswered[f] <= now)
			e->unanswered[f] = now + unanswered[f] * SECOND;
		until = MIN(until, e->unanswered[f]);
	}
	return until;
}

static void on_lookup(struct lookup *l, enum dns_result result, const struct addr *list,
		      uint32_t count, bool more)
{
	struct cache_entry *e = l->owner;
	uint64_t now = loop_clock(), until;

	if (result != DNS_ANSWERED)
		until = hold_until(now, DNS_ADDRESS, result, 0);
	else
		until = more ? lookup_expires(l, hold_addresses) : hold_whole(e, now);
	if (!e->partial)
		count_answer(e->resolver, e, result);
	resolver_cache_answer(e, result, list, count * sizeof(list[0]), count, until);
	e->partial = more;
	if (!more) {
		e->asking = false;
		e->lookup = NULL;
	}
	queue(e->resolver, e);
}

/* The best of the names that were told. */
struct ptr_choice {
	struct resolver *resolver;
	bool searched; /* it lies below a search domain */
	struct span name;
	char text[DNS_NAME_MAX];
};

static int span_cmp(struct span a, struct span b)
{
	int difference = memcmp(a.ptr, b.ptr, MIN(a.len, b.len));

	return difference ? difference : (a.len > b.len) - (a.len < b.len);
}

static void on_ptr_found(void *ctx, struct span name)
{
	struct ptr_choice *c = ctx;
	bool searched = resolver_searches(c->resolver, name);

	if (c->name.len &&
	    (searched < c->searched || (searched == c->searched && span_cmp(name, c->name) >= 0)))
		return;
	memcpy(c->text, name.ptr, name.len);
	c->name = SPAN(c->text, name.len);
	c->searched = searched;
}

static void on_ptr(void *ctx, int status, int timeouts, unsigned char *message, int len)
{
	struct cache_entry *e = ctx;
	struct ptr_choice choice = { .resolver = e->resolver };
	uint32_t ttl = 0;

	(void)timeouts;
	if (e->resolver->channel.closing)
		return;
	if (status == ARES_SUCCESS && message && len > 0)
		dns_ptr_read(SPAN((const char *)message, (size_t)len), on_ptr_found, &choice, &ttl);
	if (status == ARES_SUCCESS && !choice.name.len)
		status = ARES_ENODATA;
	ended(e, result_of(status), choice.text, choice.name.len, (uint32_t)choice.name.len, ttl);
}

static void fill(struct resolver_answer *answer, const struct cache_entry *e)
{
	*answer = (struct resolver_answer){ .result = (enum dns_result)e->result };
	if (e->result != DNS_ANSWERED)
		return;
	if (e->question == DNS_PTR) {
		answer->name = SPAN(e->data, e->count);
	} else {
		answer->addresses = e->data;
		answer->count = e->count;
		answer->more = e->partial;
	}
}

static void join(struct cache_entry *e, struct resolver_request *request)
{
	request->next = e->waiting;
	request->link = &e->waiting;
	if (e->waiting)
		e->waiting->link = &request->next;
	e->waiting = request;
}

/* Tells those who waited for @e. They may ask, and cancel one another, meanwhile. */
static void tell(struct cache_entry *e)
{
	struct resolver_request *list = e->waiting;
	struct resolver_answer answer;

	e->waiting = NULL;
	if (list)
		list->link = &list;
	while (list) {
		struct resolver_request *request = list;

		resolver_cancel(request);
		fill(&answer, e);
		if (answer.more)
			join(e, request);
		request->done(request, &answer);
	}
}

/* Whether c-ares has something to do. */
static bool is_busy(const struct resolver *r)
{
	return r->active || r->lookups.queries;
}

void resolver_tick(struct resolver *r)
{
	uint64_t now = is_busy(r) ? loop_clock() : 0;

	if (now && now >= r->next_tick) {
		resolver_channel_tick(&r->channel);
		r->next_tick = now + TICK_NS;
	}
	if (now)
		lookups_tick(&r->lookups, now);
	while (r->done) {
		struct cache_entry *e = r->done;

		r->done = e->done;
		e->queued = false;
		if (e->asking && !e->partial)
			continue; /* it has been asked anew since, which ends as well */
		e->telling = true;
		tell(e);
		e->telling = false;
	}
}

uint64_t resolver_wake(const struct resolver *r)
{
	if (r->done)
		return 0;
	return is_busy(r) ? MIN(r->next_tick, r->lookups.due) : UINT64_MAX;
}

/* ---- Questions ---- */

static void on_progress(struct resolver_channel *channel)
{
	resolver_tick(CONTAINER_OF(channel, struct resolver, channel));
}

/* Asks for the addresses of @e. They may be there when this returns. */
static void look_up(struct resolver *r, struct cache_entry *e, uint64_t now)
{
	e->lookup = lookup_new(&r->lookups, SPAN(e->key, e->key_len), e);
	if (!e->lookup) {
		ended(e, DNS_FAILED, NULL, 0, 0, 0);
		return;
	}
	for (unsigned f = 0; f < ADDR_FAMILY_COUNT; f++)
		e->lookup->skip[f] = now < e->unanswered[f];
	lookup_begin(e->lookup);
}

/* Asks what @e asks. It may have ended when this returns. */
static void put_question(struct resolver *r, struct cache_entry *e)
{
	struct addr a = { .family = e->key_len == 4 ? ADDR_V4 : ADDR_V6 };
	char reverse[DNS_REVERSE_MAX];

	if (e->question == DNS_ADDRESS) {
		look_up(r, e, loop_clock());
		return;
	}
	memcpy(a.bytes, e->key, e->key_len);
	ares_query(r->channel.ares, dns_reverse_name(&a, reverse), DNS_CLASS_IN, DNS_TYPE_PTR,
		   on_ptr, e);
}

/* Waits no longer for the rest of what @e has: it counts as unanswered. */
static void settle(struct cache_entry *e)
{
	uint64_t now = loop_clock();

	for (unsigned f = 0; f < ADDR_FAMILY_COUNT; f++) {
		if (lookup_lacks(e->lookup, (enum addr_family)f))
			e->unanswered[f] = now + unanswered[f] * SECOND;
	}
	lookup_free(e->lookup);
	e->lookup = NULL;
	e->asking = e->partial = false;
}

/* The servers are others now: @is_ready, or none that could be asked. */
static void ask_again(struct resolver *r, bool is_ready)
{
	for (struct cache_entry *e = r->cache.newest; e; e = e->older) {
		if (!e->asking)
			continue;
		e->expires = e->stale_until = 0;
		memset(e->unanswered, 0, sizeof(e->unanswered));
		lookup_free(e->lookup);
		e->lookup = NULL;
		if (e->partial) {
			/* Who waits for more has something; it is void for others. */
			e->asking = e->partial = false;
			queue(r, e);
		} else if (!is_ready || e->again) {
			ended(e, DNS_FAILED, NULL, 0, 0, 0);
		} else {
			e->again = true;
			put_question(r, e);
		}
	}
}

static bool ready(struct resolver *r, uint64_t now)
{
	bool renewed, is_ready = resolver_channel_ready(&r->channel, now, &renewed);

	if (renewed) {
		resolver_cache_forget(&r->cache);
		count_entries(r);
		ask_again(r, is_ready);
	}
	return is_ready;
}

static void start(struct resolver *r, struct cache_entry *e)
{
	e->resolver = r;
	e->asking = true;
	e->again = false;
	if (!is_busy(r))
		r->next_tick = loop_clock() + TICK_NS;
	count_active(r, (enum dns_question)e->question, 1);
	put_question(r, e);
}

static bool answer_now(struct resolver_answer *answer, enum dns_result result)
{
	*answer = (struct resolver_answer){ .result = result };
	return true;
}

static bool refuse(struct resolver *r, enum dns_question question, struct resolver_answer *answer)
{
	metric_add(value_of(r, METRIC_DNS_QUERIES, question, DNS_LIMIT), 1);
	return answer_now(answer, DNS_LIMIT);
}

static bool hit(struct resolver *r, struct cache_entry *e, struct resolver_request *request,
		struct resolver_answer *answer)
{
	metric_add(value_of(r, METRIC_DNS_CACHE_HITS, (enum dns_question)e->question, 0), 1);
	fill(answer, e);
	if (answer->more && request)
		join(e, request);
	return true;
}

static bool ask(struct resolver *r, enum dns_question question, struct span key,
		struct resolver_request *request, struct resolver_answer *answer)
{
	struct cache_entry *e = resolver_cache_find(&r->cache, question, key);
	uint64_t now = loop_clock();
	bool is_ready;

	if (e && e->known && now < e->expires)
		return hit(r, e, request, answer);
	is_ready = ready(r, now);
	/* Setting up may have emptied the cache. */
	e = resolver_cache_find(&r->cache, question, key);
	if (!e || !e->asking || (e->partial && now >= e->expires)) {
		if (r->active >= r->config.max_questions)
			return e && now < e->stale_until ? hit(r, e, request, answer)
							 : refuse(r, question, answer);
		if (!is_ready)
			return answer_now(answer, DNS_FAILED);
		if (!e) {
			e = resolver_cache_add(&r->cache, question, key);
			if (!e)
				return refuse(r, question, answer);
			metric_add(value_of(r, METRIC_DNS_CACHE_ADDED, question, 0), 1);
		} else if (e->asking) {
			settle(e);
		}
		count_entries(r);
		start(r, e);
		if (!e->asking) {
			fill(answer, e);
			return true;
		}
	}
	if (e->known && now < e->stale_until)
		return hit(r, e, request, answer);
	if (request)
		join(e, request);
	return false;
}

bool resolver_addresses(struct resolver *r, struct span name, struct resolver_request *request,
			struct resolver_answer *answer)
{
	char key[DNS_NAME_MAX + 1];

	request->link = NULL;
	if (!dns_name_lower(name, key))
		return answer_now(answer, DNS_NEGATIVE);
	return ask(r, DNS_ADDRESS, SPAN(key, name.len), request, answer);
}

bool resolver_ptr(struct resolver *r, const struct addr *address, struct resolver_request *request,
		  struct resolver_answer *answer)
{
	if (request)
		request->link = NULL;
	return ask(r, DNS_PTR,
		   SPAN((const char *)address->bytes, addr_len((enum addr_family)address->family)),
		   request, answer);
}

void resolver_cancel(struct resolver_request *request)
{
	if (!request->link)
		return;
	*request->link = request->next;
	if (request->next)
		request->next->link = request->link;
	request->link = NULL;
}

bool resolver_searches(struct resolver *r, struct span name)
{
	return resolver_channel_searches(&r->channel, name);
}

bool resolver_has_search(struct resolver *r)
{
	return ready(r, loop_clock()) && resolver_channel_has_search(&r->channel);
}

/* ---- Its life ---- */

struct resolver *resolver_new(const struct resolver_config *config, struct loop *loop,
			      struct metrics_shard *shard, struct err *e)
{
	struct resolver *r = calloc(1, sizeof(*r));

	if (!r || ares_library_init(ARES_LIB_INIT_ALL) != ARES_SUCCESS) {
		free(r);
		err_set(e, -ENOMEM, "out of memory for names");
		return NULL;
	}
	r->config = *config;
	if (!r->config.port)
		r->config.port = 53;
	if (!r->config.timeout_ms)
		r->config.timeout_ms = TIMEOUT_MS;
	if (!r->config.check_ms)
		r->config.check_ms = CHECK_MS;
	if (!r->config.delay_ms)
		r->config.delay_ms = DELAY_MS;
	if (!r->config.max_entries)
		r->config.max_entries = ENTRIES;
	if (!r->config.max_questions)
		r->config.max_questions = QUESTIONS;
	r->channel = (struct resolver_channel){
		.config = &r->config,
		.loop = loop,
		.progress = on_progress,
	};
	r->lookups = (struct lookups){
		.channel = &r->channel,
		.told = on_lookup,
		.delays = { .addresses = r->config.delay_ms * MS,
			    .no_name = { [ADDR_V4] = r->config.delay_ms * MS,
					 [ADDR_V6] = r->config.delay_ms * MS * DELAYS_OF_A } },
		.due = UINT64_MAX,
		.late_max = r->config.max_questions,
	};
	r->shard = shard;
	resolver_cache_init(&r->cache, r->config.max_entries);
	return r;
}

void resolver_free(struct resolver *r)
{
	if (!r)
		return;
	resolver_channel_close(&r->channel);
	while (r->lookups.first)
		lookup_free(r->lookups.first);
	resolver_cache_fini(&r->cache);
	free(r);
	ares_library_cleanup();
}
