/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Parts of Kubernetes objects, made once and printed as YAML or as JSON.
 *
 * A tree is made of nodes that belong to a pool, and goes with it. Memory that runs out is noted in
 * the pool, whose nodes are then NULL; every function takes a NULL node and does nothing.
 */
#ifndef SLUICE_OBJECTS_H
#define SLUICE_OBJECTS_H

#include "base.h"

enum object_kind {
	OBJECT_MAP,
	OBJECT_LIST,
	OBJECT_TEXT,  /* a string */
	OBJECT_PLAIN, /* a number, true or false */
	OBJECT_KIND_COUNT,
};

struct object {
	enum object_kind kind;
	const char *key;		    /* in a map; NULL: none */
	const char *text;		    /* of OBJECT_TEXT, OBJECT_PLAIN */
	struct object *first, *last, *next; /* children, and the sibling behind this one */
	struct object *made_before;	    /* of the same pool */
};

struct object_pool {
	struct object *newest;
	struct object_text *texts; /* strings made by object_format() */
	bool failed;
};

#define OBJECT_POOL_INIT                                       \
	{                                                      \
		.newest = NULL, .texts = NULL, .failed = false \
	}

void object_pool_fini(struct object_pool *pool);

/* A string that lives as long as the pool; "" without memory. */
const char *object_format(struct object_pool *pool, const char *fmt, ...) _printf_(2, 3);

/* All borrow their strings. @in: the map or list that it becomes the last of; NULL: none. */
struct object *object_map(struct object_pool *pool, struct object *in, const char *key);
struct object *object_list(struct object_pool *pool, struct object *in, const char *key);
struct object *object_text(struct object_pool *pool, struct object *in, const char *key,
			   const char *text);
struct object *object_plain(struct object_pool *pool, struct object *in, const char *key,
			    const char *text);

/* In block style, each line but the first indented by @indent spaces and no newline at the end. */
void object_print_yaml(const struct object *o, unsigned indent, FILE *to);

/* On one line, which is YAML as well. */
void object_print_json(const struct object *o, FILE *to);

#endif
