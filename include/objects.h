/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Parts of Kubernetes objects, made once and printed as YAML, as JSON, and as an expression of CEL
 * (the language of admission policies), so that what these say cannot differ.
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
	bool on_one_line; /* also where the rest is in block style */
	const char *key;  /* in a map; NULL: none */
	const char *text; /* of OBJECT_TEXT, OBJECT_PLAIN */
	/* In CEL; NULL: as it is. */
	const char *cel;      /* what stands in its place */
	const char *cel_if;   /* of an item or a field: it is there if this holds */
	const char *cel_each; /* of an item: it is there for each of this list, called `each` */
	bool free_keys;	      /* of a map: its keys are data, not the fields of a type */
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

/*
 * In block style, each line but the first indented by @indent spaces and no newline at the end.
 * Text of several lines stands as it is, below its key.
 */
void object_print_yaml(const struct object *o, unsigned indent, FILE *to);

/* On one line, which is YAML as well. */
void object_print_json(const struct object *o, FILE *to);

/*
 * As an expression of CEL, laid out likewise. @type: the name that a map of fields has there,
 * as "Object.spec.initContainers"; those in it are called by its name, a dot and their key.
 */
void object_print_cel(const struct object *o, const char *type, unsigned indent, FILE *to);

#endif
