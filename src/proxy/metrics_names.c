// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Names in metrics: interned for the process, bounded by kind.
 *
 * Theory of Operation: an open-addressing table of fixed size whose slots go from NULL to a name
 * once and never back, so a reader needs no lock: it probes until it meets the name or NULL. An
 * id's text is in place before the id can be seen by anyone.
 */
#include "metrics_internal.h"

#include <errno.h>

#define NAME_MAX_LEN 253 /* RFC 1035 sect. 2.3.4, as text */

const char *const metric_name_kinds[] = {
	[METRIC_NAME_ADDRESS] = "address", [METRIC_NAME_PTR] = "ptr",
	[METRIC_NAME_HOST] = "host",	   [METRIC_NAME_SNI] = "sni",
	[METRIC_NAME_WORD] = "alpn",	   [METRIC_NAME_METHOD] = "rpc_method",
};
_Static_assert(ARRAY_SIZE(metric_name_kinds) == METRIC_NAME_KIND_COUNT, "a word for each");

struct metric_name {
	uint32_t hash, id;
	uint8_t len;
	char text[];
};

static struct metric_name *name_new(struct span text, uint32_t hash, uint32_t id)
{
	struct metric_name *name = malloc(sizeof(*name) + text.len);

	if (!name)
		return NULL;
	name->hash = hash;
	name->id = id;
	name->len = (uint8_t)text.len;
	memcpy(name->text, text.ptr, text.len);
	return name;
}

int metric_names_init(struct metric_names *n, const uint32_t max[METRIC_NAME_KIND_COUNT],
		      struct err *e)
{
	uint32_t total = 2;

	*n = (struct metric_names){ .capacity = 16, .count = 2 };
	pthread_mutex_init(&n->lock, NULL);
	for (int kind = 0; kind < METRIC_NAME_KIND_COUNT; kind++) {
		n->max[kind] = MIN(max[kind], 1000000u);
		total += n->max[kind];
	}
	while (n->capacity < 2 * total)
		n->capacity *= 2;
	n->slots = calloc(n->capacity, sizeof(*n->slots));
	n->by_id = calloc(total, sizeof(*n->by_id));
	if (n->by_id) {
		n->by_id[METRIC_NAME_NONE] = name_new(SPAN_LIT(""), 0, METRIC_NAME_NONE);
		n->by_id[METRIC_NAME_OTHER] = name_new(SPAN_LIT("_OTHER"), 0, METRIC_NAME_OTHER);
	}
	if (!n->slots || !n->by_id || !n->by_id[0] || !n->by_id[1]) {
		metric_names_fini(n);
		return err_set(e, -ENOMEM, "out of memory for the names of metrics");
	}
	return 0;
}

void metric_names_fini(struct metric_names *n)
{
	for (uint32_t i = 0; n->by_id && i < n->count; i++)
		free(n->by_id[i]);
	free(n->by_id);
	free(n->slots);
	pthread_mutex_destroy(&n->lock);
}

struct span metric_names_text(const struct metric_names *n, uint32_t id)
{
	return SPAN(n->by_id[id]->text, n->by_id[id]->len);
}

struct span metrics_name_text(const struct metrics *m, uint32_t id)
{
	return metric_names_text(&m->names, id);
}

/* Lower case, and only what host names and addresses are made of. 0: neither. */
static char name_char(char c)
{
	if (c >= 'A' && c <= 'Z')
		return (char)(c | 0x20);
	if ((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '.' || c == '-' || c == ':')
		return c;
	return 0;
}

/* The same without addresses of IPv6, which are no names. */
static char host_char(char c)
{
	return c == ':' ? 0 : name_char(c);
}

/* What methods of gRPC and protocols of ALPN are made of, in any case. 0: something else. */
static char word_char(char c)
{
	if ((c >= '0' && c <= '9') || ((c | 0x20) >= 'a' && (c | 0x20) <= 'z'))
		return c;
	return c && strchr("._/$+-", c) ? c : 0;
}

/* The slot that holds @text, or the empty one where it would go. */
static _Atomic(struct metric_name *) *find(const struct metric_names *n, struct span text,
					   uint32_t hash)
{
	for (uint32_t i = hash;; i++) {
		_Atomic(struct metric_name *) *slot = &n->slots[i & (n->capacity - 1)];
		const struct metric_name *name = atomic_load_explicit(slot, memory_order_acquire);

		if (!name || (name->hash == hash && name->len == text.len &&
			      memcmp(name->text, text.ptr, text.len) == 0))
			return slot;
	}
}

static uint32_t add(struct metric_names *n, struct span text, uint32_t hash,
		    enum metric_name_kind kind)
{
	_Atomic(struct metric_name *) *slot;
	struct metric_name *name;
	uint32_t id = METRIC_NAME_OTHER;

	pthread_mutex_lock(&n->lock);
	slot = find(n, text, hash);
	name = atomic_load_explicit(slot, memory_order_relaxed);
	if (name) {
		id = name->id;
	} else if (n->used[kind] < n->max[kind] && (name = name_new(text, hash, n->count))) {
		n->used[kind]++;
		id = n->count++;
		n->by_id[id] = name;
		atomic_store_explicit(slot, name, memory_order_release);
	}
	if (n->used[kind] == n->max[kind])
		atomic_store_explicit(&n->full[kind], true, memory_order_relaxed);
	pthread_mutex_unlock(&n->lock);
	return id;
}

uint32_t metric_names_id(struct metric_names *n, struct span name, enum metric_name_kind kind)
{
	const struct metric_name *known;
	char lower[NAME_MAX_LEN];
	uint32_t hash = 2166136261u; /* FNV-1a */

	bool is_host = kind == METRIC_NAME_HOST;
	/* A host that cannot be one is none. */
	uint32_t none = is_host ? METRIC_NAME_NONE : METRIC_NAME_OTHER;
	char (*fold)(char) = is_host ? host_char : kind >= METRIC_NAME_WORD ? word_char : name_char;

	if (is_host && name.len && name.ptr[name.len - 1] == '.')
		name.len--;
	if (!name.len)
		return METRIC_NAME_NONE;
	if (name.len > sizeof(lower))
		return none;
	for (size_t i = 0; i < name.len; i++) {
		lower[i] = fold(name.ptr[i]);
		if (!lower[i])
			return none;
		hash = (hash ^ (unsigned char)lower[i]) * 16777619u;
	}
	name.ptr = lower;
	known = atomic_load_explicit(find(n, name, hash), memory_order_acquire);
	if (known)
		return known->id;
	/* A name that was not there before the table filled up will never be. */
	if (atomic_load_explicit(&n->full[kind], memory_order_relaxed))
		return METRIC_NAME_OTHER;
	return add(n, name, hash, kind);
}
