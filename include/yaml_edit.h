/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Changes a stream of YAML or JSON documents without writing it anew: comments, order, quotes and
 * blank lines of what is not changed stay as they are.
 *
 * Theory of Operation: libyaml reads each document into a tree whose nodes know where in the text
 * they stand. A change is an insertion or a deletion of text there, in the style, block or flow,
 * of what surrounds it. Changes are collected, then made all at once. Aliases are never expanded,
 * so that a small file stays small; a node that is used twice is not changed, since that would
 * change something else as well.
 */
#ifndef SLUICE_YAML_EDIT_H
#define SLUICE_YAML_EDIT_H

#include "error.h"
#include "objects.h"
#include "span.h"

#include <yaml.h>

struct yaml_change {
	size_t at, remove; /* bytes from the beginning; remove so many */
	char *insert;	   /* owned; NULL: nothing */
	size_t order;
};

struct yaml_edit {
	struct span source;	     /* borrowed; UTF-8 */
	struct yaml_change *changes; /* owned; in any order */
	size_t count, capacity;
	yaml_document_t *doc;		/* borrowed; the one at hand */
	uint8_t *uses;			/* owned; how often each of its nodes is used: 0, 1, more */
	size_t last_index, last_offset; /* a character of the source, and where that is in bytes */
};

/* @source must outlive @edit. */
void yaml_edit_init(struct yaml_edit *edit, struct span source);
void yaml_edit_fini(struct yaml_edit *edit);

/* From here on nodes are those of @doc, which must be of the source. 0 or -ENOMEM. */
int yaml_edit_document(struct yaml_edit *edit, yaml_document_t *doc, struct err *e);

/*
 * *@value becomes the value of that key; NULL where @map is no map or has no such key. 0, or a
 * usage error where it cannot be told: given twice, or merged in.
 */
int yaml_edit_get(struct yaml_edit *edit, const yaml_node_t *map, const char *key,
		  yaml_node_t **value, struct err *e);

/* A usage error if a change to @node, the value of @key, would change something else, too. */
int yaml_edit_own(const struct yaml_edit *edit, const yaml_node_t *node, const char *key,
		  struct err *e);

/* Its text; an empty span if it is no scalar. */
struct span yaml_edit_text(const yaml_node_t *node);

/* Whether there is nothing: no node, or a plain null. */
bool yaml_edit_is_null(const yaml_node_t *node);

/* How many items or keys it has; 0 of a scalar. */
size_t yaml_edit_size(const yaml_node_t *node);

/* Item of a list, or NULL. */
yaml_node_t *yaml_edit_item(struct yaml_edit *edit, const yaml_node_t *list, size_t index);

/* A key of a map, its text. */
struct span yaml_edit_key(struct yaml_edit *edit, const yaml_node_t *map, size_t index);

/* The number of its line, from 1. */
unsigned yaml_edit_line(const yaml_node_t *node);

/*
 * Each notes a change; 0, -ENOMEM, or a usage error for a layout in which it cannot be made.
 * @items, a list: before the other items, or behind them. @entries, a map: before the other keys;
 * in place of a null where @map is one, the value of @key in @parent.
 */
int yaml_edit_add_items(struct yaml_edit *edit, const yaml_node_t *list, const struct object *items,
			bool behind, struct err *e);
int yaml_edit_add_keys(struct yaml_edit *edit, const yaml_node_t *map, const struct object *entries,
		       struct err *e);

/* Takes the place of a null. */
int yaml_edit_fill(struct yaml_edit *edit, const yaml_node_t *null, const struct object *value,
		   struct err *e);

/* Takes the place of what the key @index of @map has, a scalar in flow style. */
int yaml_edit_replace(struct yaml_edit *edit, const yaml_node_t *map, size_t index,
		      const struct object *value, struct err *e);

/* Removes those items, or keys with their values, for which @doomed[index] says so. */
int yaml_edit_remove(struct yaml_edit *edit, const yaml_node_t *node, const bool *doomed,
		     struct err *e);

/* The text with all changes made. 0, or a usage error where they overlap. */
int yaml_edit_print(struct yaml_edit *edit, FILE *to, struct err *e);

#endif
