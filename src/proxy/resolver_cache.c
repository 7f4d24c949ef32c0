// SPDX-License-Identifier: GPL-2.0-or-later
/* Answers of DNS, kept: see resolver_cache.h. */
#include "resolver_cache.h"

void resolver_cache_init(struct resolver_cache *c, uint32_t max)
{
	*c = (struct resolver_cache){ .max = max };
}

static uint32_t hash_of(enum dns_question question, struct span key)
{
	uint32_t hash = 2166136261u ^ (uint32_t)question; /* FNV-1a */

	for (size_t i = 0; i < key.len; i++)
		hash = (hash ^ (unsigned char)key.ptr[i]) * 16777619u;
	return hash ^ hash >> 15;
}

static struct cache_entry **list_of(const struct resolver_cache *c, uint32_t hash)
{
	return &c->lists[hash & (RESOLVER_CACHE_LISTS - 1)];
}

static void use_push(struct resolver_cache *c, struct cache_entry *e)
{
	e->newer = NULL;
	e->older = c->newest;
	if (c->newest)
		c->newest->newer = e;
	else
		c->oldest = e;
	c->newest = e;
}

static void use_remove(struct resolver_cache *c, struct cache_entry *e)
{
	if (e->newer)
		e->newer->older = e->older;
	else
		c->newest = e->older;
	if (e->older)
		e->older->newer = e->newer;
	else
		c->oldest = e->newer;
}

static void drop(struct resolver_cache *c, struct cache_entry *e)
{
	struct cache_entry **at = list_of(c, e->hash);

	while (*at != e)
		at = &(*at)->next;
	*at = e->next;
	use_remove(c, e);
	c->count--;
	c->counts[e->question]--;
	free(e->data);
	free(e);
}

void resolver_cache_fini(struct resolver_cache *c)
{
	while (c->newest)
		drop(c, c->newest);
	free(c->lists);
	c->lists = NULL;
}

void resolver_cache_forget(struct resolver_cache *c)
{
	for (struct cache_entry *e = c->newest, *older; e; e = older) {
		older = e->older;
		if (!cache_entry_busy(e))
			drop(c, e);
	}
}

struct cache_entry *resolver_cache_find(struct resolver_cache *c, enum dns_question question,
					struct span key)
{
	uint32_t hash = hash_of(question, key);
	struct cache_entry *e = c->lists ? *list_of(c, hash) : NULL;

	while (e && !(e->hash == hash && e->question == question &&
		      span_eq(SPAN(e->key, e->key_len), key)))
		e = e->next;
	if (e && e != c->newest) {
		use_remove(c, e);
		use_push(c, e);
	}
	return e;
}

/* Gives up the one that was not used for longest. False: none may be. */
static bool make_room(struct resolver_cache *c)
{
	struct cache_entry *e = c->oldest;

	while (e && cache_entry_busy(e))
		e = e->newer;
	if (e)
		drop(c, e);
	return e;
}

struct cache_entry *resolver_cache_add(struct resolver_cache *c, enum dns_question question,
				       struct span key)
{
	uint32_t hash = hash_of(question, key);
	struct cache_entry *e;

	if (!c->lists)
		c->lists = calloc(RESOLVER_CACHE_LISTS, sizeof(struct cache_entry *));
	if (!c->lists || (c->count >= c->max && !make_room(c)))
		return NULL;
	e = calloc(1, sizeof(*e) + key.len);
	if (!e)
		return NULL;
	e->hash = hash;
	e->question = (uint8_t)question;
	e->key_len = (uint8_t)key.len;
	memcpy(e->key, key.ptr, key.len);
	e->next = *list_of(c, hash);
	*list_of(c, hash) = e;
	use_push(c, e);
	c->count++;
	c->counts[question]++;
	return e;
}

void resolver_cache_answer(struct cache_entry *e, enum dns_result result, const void *data,
			   size_t size, uint32_t count, uint64_t expires)
{
	void *copy = size ? malloc(size) : NULL;

	if (copy)
		memcpy(copy, data, size);
	else if (size)
		result = DNS_FAILED;
	free(e->data);
	e->data = copy;
	e->count = copy ? count : 0;
	e->result = (uint8_t)result;
	e->known = true;
	e->expires = expires;
}
