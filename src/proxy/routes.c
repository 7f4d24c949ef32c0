// SPDX-License-Identifier: GPL-2.0-or-later
/* Routes: see routes.h. */
#include "routes.h"

#include <errno.h>

/* A place in the tree: what the segments so far have led to. */
struct node {
	struct span segment; /* a literal; empty in the root and in a parameter's */
	uint32_t hash;
	uint16_t parent;
	uint16_t parameter; /* the node behind {name}; 0: none */
	uint16_t route;	    /* of a path that ends here; 0: none */
	uint16_t rest;	    /* of a path that goes on in whatever way; 0: none */
};

struct routes {
	struct node *nodes; /* the first is the root */
	uint16_t *slots;    /* numbers of literal nodes by hash; 0: empty */
	uint32_t node_count, node_capacity;
	uint32_t slot_count; /* a power of two, more than twice the nodes */
	uint16_t count;	     /* of templates */
	char *templates[ROUTES_MAX];
};
_Static_assert(ROUTES_MAX *ROUTES_TEMPLATE_MAX < UINT16_MAX, "a node for each character");

static uint32_t hash_of(unsigned parent, struct span segment)
{
	uint32_t hash = 2166136261u ^ parent; /* FNV-1a */

	for (size_t i = 0; i < segment.len; i++)
		hash = (hash ^ (unsigned char)segment.ptr[i]) * 16777619u;
	return hash ^ hash >> 15;
}

/* The slot of the literal @segment behind @parent, or the empty one where it would go. */
static uint16_t *slot_of(const struct routes *r, unsigned parent, struct span segment,
			 uint32_t hash)
{
	for (uint32_t i = hash;; i++) {
		uint16_t *slot = &r->slots[i & (r->slot_count - 1)];
		const struct node *n = &r->nodes[*slot];

		if (!*slot ||
		    (n->hash == hash && n->parent == parent && span_eq(n->segment, segment)))
			return slot;
	}
}

/* Room for one node more. */
static bool reserve(struct routes *r)
{
	uint32_t capacity = r->node_capacity ? 2 * r->node_capacity : 16;
	struct node *nodes;
	uint16_t *slots;

	if (r->node_count < r->node_capacity)
		return true;
	nodes = realloc(r->nodes, capacity * sizeof(*nodes));
	if (!nodes)
		return false;
	r->nodes = nodes;
	slots = calloc(4 * (size_t)capacity, sizeof(*slots));
	if (!slots)
		return false;
	free(r->slots);
	r->slots = slots;
	r->slot_count = 4 * capacity;
	r->node_capacity = capacity;
	for (uint32_t i = 1; i < r->node_count; i++) {
		const struct node *n = &nodes[i];

		if (n->segment.ptr)
			*slot_of(r, n->parent, n->segment, n->hash) = (uint16_t)i;
	}
	return true;
}

static uint16_t node_new(struct routes *r, unsigned parent, struct span segment, uint32_t hash)
{
	r->nodes[r->node_count] = (struct node){
		.segment = segment,
		.hash = hash,
		.parent = (uint16_t)parent,
	};
	return (uint16_t)r->node_count++;
}

/* The node behind @at for a segment of a template, made if need be. 0 without memory. */
static uint16_t step(struct routes *r, unsigned at, struct span segment)
{
	uint32_t hash = hash_of(at, segment);
	uint16_t *slot;

	if (!reserve(r))
		return 0;
	if (segment.len && segment.ptr[0] == '{') {
		if (!r->nodes[at].parameter) {
			uint16_t new = node_new(r, at, SPAN(NULL, 0), 0);

			r->nodes[at].parameter = new;
		}
		return r->nodes[at].parameter;
	}
	slot = slot_of(r, at, segment, hash);
	if (!*slot)
		*slot = node_new(r, at, segment, hash);
	return *slot;
}

static bool is_word_char(char c)
{
	return (c >= '0' && c <= '9') || ((c | 0x20) >= 'a' && (c | 0x20) <= 'z') || c == '-' ||
	       c == '_';
}

/* pchar of RFC 3986 sect. 3.3. */
static bool is_path_char(char c)
{
	return is_word_char(c) || (c && strchr(".~%!$&'()*+,;=:@", c));
}

static bool is_rest(struct span segment)
{
	return segment.len > 5 && segment.ptr[0] == '{' &&
	       memcmp(segment.ptr + segment.len - 4, "...}", 4) == 0;
}

/* Whether @segment is what routes_add() says. */
static int check_segment(struct span segment, bool last, struct err *e)
{
	struct span name;

	if (!memchr(segment.ptr, '{', segment.len) && !memchr(segment.ptr, '}', segment.len)) {
		for (size_t i = 0; i < segment.len; i++) {
			if (!is_path_char(segment.ptr[i]))
				return err_usage(e,
						 "'%.*s' holds a character that no path has: "
						 "percent-encode it",
						 SPAN_FMT(segment));
		}
		return 0;
	}
	if (is_rest(segment) && !last)
		return err_usage(e, "'%.*s' must be the last segment", SPAN_FMT(segment));
	name = SPAN(segment.ptr + 1, segment.len - (is_rest(segment) ? 5 : 2));
	if (segment.len < 3 || segment.ptr[0] != '{' || segment.ptr[segment.len - 1] != '}')
		return err_usage(e, "'%.*s': a whole segment is {name}, or none of it",
				 SPAN_FMT(segment));
	for (size_t i = 0; i < name.len; i++) {
		if (!is_word_char(name.ptr[i]))
			return err_usage(e, "'%.*s': a name is of letters, digits, '-' and '_'",
					 SPAN_FMT(segment));
	}
	return 0;
}

static int check(struct span template, struct err *e)
{
	struct span rest = SPAN(template.ptr + 1, template.len - 1), segment;
	bool done = false;
	int rc = 0;

	if (template.len > ROUTES_TEMPLATE_MAX)
		return err_usage(e, "longer than %u characters", ROUTES_TEMPLATE_MAX);
	if (template.ptr[0] != '/')
		return err_usage(e, "'%.*s' does not begin with '/'", SPAN_FMT(template));
	while (rc == 0 && span_next(&rest, '/', &segment, &done))
		rc = check_segment(segment, done, e);
	return rc;
}

static struct routes *routes_new(void)
{
	struct routes *r = calloc(1, sizeof(*r));

	if (r && reserve(r)) {
		node_new(r, 0, SPAN(NULL, 0), 0);
		return r;
	}
	routes_free(r);
	return NULL;
}

void routes_free(struct routes *r)
{
	if (!r)
		return;
	for (unsigned i = 0; i < r->count; i++)
		free(r->templates[i]);
	free(r->nodes);
	free(r->slots);
	free(r);
}

/* Where the template @text keeps its route. NULL without memory. */
static uint16_t *place_of(struct routes *r, const char *text)
{
	struct span rest = span_str(text + 1), segment;
	bool done = false;
	unsigned at = 0;

	while (span_next(&rest, '/', &segment, &done)) {
		if (is_rest(segment))
			return &r->nodes[at].rest;
		at = step(r, at, segment);
		if (!at)
			return NULL;
	}
	return &r->nodes[at].route;
}

int routes_add(struct routes **to, struct span template, struct err *e)
{
	struct routes *r = *to;
	uint16_t *place;
	char *text;
	int rc = check(template, e);

	if (rc < 0)
		return rc;
	if (!r)
		r = *to = routes_new();
	if (r && r->count == ROUTES_MAX)
		return err_usage(e, "more than %u templates", ROUTES_MAX);
	text = r ? strndup(template.ptr, template.len) : NULL;
	/* Owned from here on: nodes point into it. */
	if (text)
		r->templates[r->count++] = text;
	place = text ? place_of(r, text) : NULL;
	if (!place)
		return err_set(e, -ENOMEM, "out of memory for routes");
	if (*place && strcmp(routes_template(r, *place), text) != 0)
		return err_usage(e, "'%s' matches what '%s' matches", text,
				 routes_template(r, *place));
	if (*place)
		free(r->templates[--r->count]);
	else
		*place = r->count;
	return 0;
}

static uint16_t match(const struct routes *r, unsigned at, struct span path)
{
	const char *slash = memchr(path.ptr, '/', path.len);
	struct span segment = slash ? SPAN(path.ptr, (size_t)(slash - path.ptr)) : path;
	struct span rest = SPAN(slash ? slash + 1 : path.ptr, path.len - segment.len - !!slash);
	uint16_t next = *slot_of(r, at, segment, hash_of(at, segment)), route = 0;

	if (next)
		route = slash ? match(r, next, rest) : r->nodes[next].route;
	next = r->nodes[at].parameter;
	if (!route && next && segment.len)
		route = slash ? match(r, next, rest) : r->nodes[next].route;
	return route ? route : r->nodes[at].rest;
}

uint16_t routes_match(const struct routes *r, struct span path)
{
	if (!path.len || path.ptr[0] != '/' || path.len > ROUTES_PATH_MAX)
		return 0;
	return match(r, 0, SPAN(path.ptr + 1, path.len - 1));
}

const char *routes_template(const struct routes *r, uint16_t route)
{
	return r->templates[route - 1];
}
