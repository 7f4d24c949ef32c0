// SPDX-License-Identifier: GPL-2.0-or-later
/* The registry of series: see metrics.h. */
#include "metrics_internal.h"

#include <errno.h>

/* Parts of series are cut from slabs of this size: no two threads write one cache line. */
#define SLAB_SIZE 4096u
#define SLAB_LINE 64u

/* How many keys over the budget a thread knows without asking: 24 KiB, once there is one. */
#define REFUSED_MAX 1024u

struct slab {
	struct slab *next;
	size_t used;
};

struct shard_slot {
	uint32_t hash;
	struct metric_part *part; /* NULL: empty */
};

struct metrics_shard {
	struct metrics *metrics;
	struct shard_slot *table; /* open addressing, at most three quarters full */
	uint32_t capacity, count;
	struct slab *slab;
	struct metrics_shard *next;
	struct metric_key *refused;  /* REFUSED_MAX by hash, or NULL: the last that was, of each */
	struct metric_part spare[2]; /* a value and a histogram for when memory is out */
};

static uint32_t key_hash(const struct metric_key *key)
{
	uint64_t a, b, h;

	_Static_assert(sizeof(*key) == 24, "two words and two names");
	memcpy(&a, key, sizeof(a));
	memcpy(&b, (const char *)key + sizeof(a), sizeof(b));
	h = key->name * 0xd6e8feb86659fd93u ^ key->detail * 0xa0761d6478bd642fu;
	h = (a ^ (b << 29 | b >> 35) ^ h) * 0x9e3779b97f4a7c15u;
	h = (h ^ h >> 32) * 0xd6e8feb86659fd93u;
	return (uint32_t)(h >> 32);
}

static bool key_eq(const struct metric_key *a, const struct metric_key *b)
{
	return memcmp(a, b, sizeof(*a)) == 0;
}

/* How many lines of the exposition one series is. */
static uint32_t lines_of(enum metric metric)
{
	const struct metric_info *info = &metric_infos[metric];

	/* The buckets, the infinite one, sum and count. */
	return info->type == METRIC_HISTOGRAM ? info->bounds->count + 3 : 1;
}

/* How many series of @metric there may be when the budget is spent: its fixed labels' values. */
static uint32_t overflow_variants(enum metric metric)
{
	uint32_t variants = 1;

	for (int i = 0; i < METRIC_LABELS_MAX; i++) {
		if (metric_infos[metric].labels[i] == LABEL_DIRECTION)
			variants *= DIRECTION_COUNT;
		if (metric_infos[metric].labels[i] == LABEL_WAY)
			variants *= WAY_COUNT;
		if (metric_infos[metric].labels[i] == LABEL_REASON)
			variants *= LOST_REASON_COUNT;
	}
	return variants;
}

static struct metric_key overflow_key(const struct metric_key *key)
{
	return (struct metric_key){
		.metric = key->metric,
		.direction = key->direction,
		.way = key->way,
		.lost = key->lost,
		.reserved = KEY_OVERFLOW,
	};
}

static char *label_escape(char *out, const char *value)
{
	for (; *value; value++) {
		if (*value == '\\' || *value == '"' || *value == '\n')
			*out++ = '\\';
		*out++ = *value == '\n' ? 'n' : *value;
	}
	return out;
}

/* service_name="...",service_namespace="..." as far as they are set; NULL without memory. */
static char *base_labels(const struct metrics_config *config)
{
	const char *const names[] = { "service_name=\"", "service_namespace=\"" };
	const char *const values[] = { config->service_name, config->service_namespace };
	size_t size = 64;
	char *text, *out;

	for (unsigned i = 0; i < ARRAY_SIZE(values); i++)
		size += values[i] ? 2 * strlen(values[i]) : 0;
	out = text = malloc(size);
	if (!text)
		return NULL;
	for (unsigned i = 0; i < ARRAY_SIZE(values); i++) {
		if (!values[i] || !*values[i])
			continue;
		if (out != text)
			*out++ = ',';
		out = label_escape(stpcpy(out, names[i]), values[i]);
		*out++ = '"';
	}
	*out = '\0';
	return text;
}

struct metrics *metrics_new(const struct metrics_config *config, struct err *e)
{
	struct metrics *m = calloc(1, sizeof(*m));
	uint32_t reserved = METRIC_LINES_FIXED;

	if (!m || !(m->base_labels = base_labels(config))) {
		free(m);
		err_set(e, -ENOMEM, "out of memory for metrics");
		return NULL;
	}
	if (metric_names_init(&m->names, config->max_names, e) < 0) {
		free(m->base_labels);
		free(m);
		return NULL;
	}
	m->routes = config->routes;
	pthread_mutex_init(&m->lock, NULL);
	for (int metric = 0; metric < METRIC_COUNT; metric++)
		reserved += overflow_variants((enum metric)metric) * lines_of((enum metric)metric);
	m->samples_max = config->max_samples > reserved ? config->max_samples - reserved : 0;
	return m;
}

static void shard_free(struct metrics_shard *s)
{
	while (s->slab) {
		struct slab *slab = s->slab;

		s->slab = slab->next;
		free(slab);
	}
	free(s->table);
	free(s->refused);
	free(s);
}

void metrics_free(struct metrics *m)
{
	if (!m)
		return;
	while (m->shards) {
		struct metrics_shard *s = m->shards;

		m->shards = s->next;
		shard_free(s);
	}
	for (uint32_t i = 0; i < m->table_capacity; i++)
		free(m->table[i]);
	free(m->table);
	free(m->base_labels);
	metric_names_fini(&m->names);
	pthread_mutex_destroy(&m->lock);
	free(m);
}

struct metrics_shard *metrics_shard_new(struct metrics *m, struct err *e)
{
	struct metrics_shard *s = calloc(1, sizeof(*s));

	if (s) {
		s->metrics = m;
		s->capacity = 64;
		s->table = calloc(s->capacity, sizeof(*s->table));
	}
	if (!s || !s->table) {
		free(s);
		err_set(e, -ENOMEM, "out of memory for metrics");
		return NULL;
	}
	pthread_mutex_lock(&m->lock);
	s->next = m->shards;
	m->shards = s;
	pthread_mutex_unlock(&m->lock);
	return s;
}

/* Memory for a part of a series, zeroed; NULL when there is none. Lives as long as the shard. */
static void *slab_take(struct metrics_shard *s, size_t size)
{
	struct slab *slab = s->slab;
	char *piece;

	if (!slab || slab->used + size > SLAB_SIZE) {
		slab = aligned_alloc(SLAB_LINE, SLAB_SIZE);
		if (!slab)
			return NULL;
		memset(slab, 0, SLAB_SIZE);
		slab->next = s->slab;
		slab->used = SLAB_LINE;
		s->slab = slab;
	}
	piece = (char *)slab + slab->used;
	slab->used += size;
	return piece;
}

static struct metric_part *shard_find(const struct metrics_shard *s, const struct metric_key *key,
				      uint32_t hash)
{
	for (uint32_t i = hash;; i++) {
		const struct shard_slot *slot = &s->table[i & (s->capacity - 1)];

		if (!slot->part)
			return NULL;
		if (slot->hash == hash && key_eq(&slot->part->key, key))
			return slot->part;
	}
}

static void shard_put(struct shard_slot *table, uint32_t capacity, struct metric_part *part)
{
	uint32_t i = part->hash;

	while (table[i & (capacity - 1)].part)
		i++;
	table[i & (capacity - 1)] = (struct shard_slot){ part->hash, part };
}

/* Makes room for one more. */
static bool shard_reserve(struct metrics_shard *s)
{
	struct shard_slot *grown;

	if (s->count + 1 <= s->capacity / 4 * 3)
		return true;
	grown = calloc(2 * (size_t)s->capacity, sizeof(*grown));
	if (!grown)
		return false;
	for (uint32_t i = 0; i < s->capacity; i++) {
		if (s->table[i].part)
			shard_put(grown, 2 * s->capacity, s->table[i].part);
	}
	free(s->table);
	s->table = grown;
	s->capacity *= 2;
	return true;
}

/* The slot of @key in the process's table, or the empty one where it would go. */
static struct metric_series **series_slot(struct metric_series **table, uint32_t capacity,
					  const struct metric_key *key, uint32_t hash)
{
	for (uint32_t i = hash;; i++) {
		struct metric_series **slot = &table[i & (capacity - 1)];

		if (!*slot || ((*slot)->hash == hash && key_eq(&(*slot)->key, key)))
			return slot;
	}
}

static bool series_reserve(struct metrics *m)
{
	uint32_t capacity = m->table_capacity ? 2 * m->table_capacity : 128;
	struct metric_series **grown;

	if (m->table_capacity && m->table_count + 1 <= m->table_capacity / 4 * 3)
		return true;
	grown = calloc(capacity, sizeof(*grown));
	if (!grown)
		return false;
	for (uint32_t i = 0; i < m->table_capacity; i++) {
		struct metric_series *x = m->table[i];

		if (x)
			*series_slot(grown, capacity, &x->key, x->hash) = x;
	}
	free(m->table);
	m->table = grown;
	m->table_capacity = capacity;
	return true;
}

/* As it is written down among the refused: never all zero. */
static struct metric_key refused_key(const struct metric_key *key)
{
	struct metric_key refused = *key;

	refused.reserved = KEY_REFUSED;
	return refused;
}

/* Samples are never given back: what was refused once always is. */
static bool was_refused(const struct metrics_shard *s, const struct metric_key *key, uint32_t hash)
{
	struct metric_key refused = refused_key(key);

	return s->refused && key_eq(&s->refused[hash % REFUSED_MAX], &refused);
}

static void remember_refused(struct metrics_shard *s, const struct metric_key *key, uint32_t hash)
{
	if (!s->refused)
		s->refused = calloc(REFUSED_MAX, sizeof(*s->refused));
	if (s->refused)
		s->refused[hash % REFUSED_MAX] = refused_key(key);
}

/*
 * The series of @key, made and published on first use. NULL: over the budget (@refused), or no
 * memory.
 */
static struct metric_series *series_get(struct metrics *m, const struct metric_key *key,
					uint32_t hash, bool *refused)
{
	uint32_t lines = lines_of((enum metric)key->metric);
	struct metric_series **slot, *x;

	if (!series_reserve(m))
		return NULL;
	slot = series_slot(m->table, m->table_capacity, key, hash);
	if (*slot)
		return *slot;
	*refused = key->reserved != KEY_OVERFLOW && m->samples + lines > m->samples_max;
	x = *refused ? NULL : calloc(1, sizeof(*x));
	if (!x)
		return NULL;
	if (key->reserved != KEY_OVERFLOW)
		m->samples += lines;
	x->key = *key;
	x->hash = hash;
	*slot = x;
	m->table_count++;
	if (m->last[key->metric])
		atomic_store_explicit(&m->last[key->metric]->next, x, memory_order_release);
	else
		atomic_store_explicit(&m->first[key->metric], x, memory_order_release);
	m->last[key->metric] = x;
	return x;
}

/* This shard's part of a series that exists or may be made. NULL: see series_get(). */
static struct metric_part *part_make(struct metrics_shard *s, const struct metric_key *key,
				     uint32_t hash)
{
	const struct metric_info *info = &metric_infos[key->metric];
	struct metrics *m = s->metrics;
	struct metric_part *part = NULL;
	struct metric_series *x;
	bool refused = false;

	pthread_mutex_lock(&m->lock);
	x = series_get(m, key, hash, &refused);
	if (x && shard_reserve(s)) {
		part = slab_take(s, info->type == METRIC_HISTOGRAM
					    ? sizeof(*part)
					    : offsetof(struct metric_part, value) +
						      sizeof(part->value));
	}
	if (part) {
		part->key = *key;
		part->hash = hash;
		if (info->type == METRIC_HISTOGRAM)
			part->histogram.bounds = info->bounds;
		part->next = atomic_load_explicit(&x->parts, memory_order_relaxed);
		atomic_store_explicit(&x->parts, part, memory_order_release);
		shard_put(s->table, s->capacity, part);
		s->count++;
	}
	pthread_mutex_unlock(&m->lock);
	if (refused)
		remember_refused(s, key, hash);
	return part;
}

/* A series that the thread has not met, or one that the budget refused. */
static struct metric_part *part_miss(struct metrics_shard *s, const struct metric_key *key,
				     uint32_t hash)
{
	bool histogram = metric_infos[key->metric].type == METRIC_HISTOGRAM;
	struct metric_part *part = was_refused(s, key, hash) ? NULL : part_make(s, key, hash);
	struct metric_key other;

	if (part)
		return part;
	atomic_fetch_add_explicit(&s->metrics->overflowed[key->metric], 1, memory_order_relaxed);
	other = overflow_key(key);
	hash = key_hash(&other);
	part = shard_find(s, &other, hash);
	if (!part)
		part = part_make(s, &other, hash);
	if (!part) {
		/* Not even that: what is counted now is not printed. */
		part = &s->spare[histogram];
		if (histogram)
			part->histogram.bounds = metric_infos[key->metric].bounds;
	}
	return part;
}

static struct metric_part *part_of(struct metrics_shard *s, const struct metric_key *key)
{
	uint32_t hash = key_hash(key);
	struct metric_part *part = shard_find(s, key, hash);

	return likely(part) ? part : part_miss(s, key, hash);
}

struct metric_value *metrics_value(struct metrics_shard *s, const struct metric_key *key)
{
	return &part_of(s, key)->value;
}

struct metric_histogram *metrics_histogram(struct metrics_shard *s, const struct metric_key *key)
{
	return &part_of(s, key)->histogram;
}

uint32_t metrics_name(struct metrics_shard *s, struct span name, enum metric_name_kind kind)
{
	return metric_names_id(&s->metrics->names, name, kind);
}

/* Adds to what only this thread writes: a load and a store, no locked instruction. */
static uint64_t bump(_Atomic uint64_t *to, uint64_t n)
{
	uint64_t sum = atomic_load_explicit(to, memory_order_relaxed) + n;

	atomic_store_explicit(to, sum, memory_order_relaxed);
	return sum;
}

static unsigned bucket_of(const struct metric_bounds *bounds, uint64_t value)
{
	unsigned i = 0;

	/* Most values fall into one of the first few. */
	while (i < bounds->count && value > bounds->values[i])
		i++;
	return i;
}

void metric_exemplar(struct metrics_shard *s, struct metric_histogram *h, uint64_t value,
		     const struct trace *trace, uint64_t now)
{
	unsigned bucket = bucket_of(h->bounds, value);
	struct metric_exemplar *x = atomic_load_explicit(&h->exemplars, memory_order_relaxed);
	uint64_t words[ARRAY_SIZE(x->words)];
	uint32_t sequence;

	_Static_assert(sizeof(*trace) == 3 * sizeof(words[0]), "three words");
	memcpy(words, trace, sizeof(*trace));
	words[3] = value;
	words[4] = now;
	while (x && x->bucket != bucket)
		x = x->next;
	if (!x) {
		x = slab_take(s, sizeof(*x));
		if (!x)
			return;
		x->bucket = bucket;
		x->next = atomic_load_explicit(&h->exemplars, memory_order_relaxed);
		for (unsigned i = 0; i < ARRAY_SIZE(words); i++)
			atomic_init(&x->words[i], words[i]);
		atomic_store_explicit(&h->exemplars, x, memory_order_release);
		return;
	}
	/* Whoever reads one of the new words has seen that the sequence is odd. */
	sequence = atomic_load_explicit(&x->sequence, memory_order_relaxed);
	atomic_store_explicit(&x->sequence, sequence + 1, memory_order_relaxed);
	for (unsigned i = 0; i < ARRAY_SIZE(words); i++)
		atomic_store_explicit(&x->words[i], words[i], memory_order_release);
	atomic_store_explicit(&x->sequence, sequence + 2, memory_order_release);
}

void metric_observe(struct metric_histogram *h, uint64_t value)
{
	bump(&h->buckets[bucket_of(h->bounds, value)], 1);
	if (unlikely(bump(&h->sum, value) < value))
		bump(&h->sum_wraps, 1);
}
