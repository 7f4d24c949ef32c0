/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Reads values of a YAML document as kubectl does, which takes it for YAML 1.1. */
#ifndef SLUICE_YAML_READ_H
#define SLUICE_YAML_READ_H

#include "yaml_edit.h"

/*
 * As yaml_edit_get(), also of what merge keys (<<) put into @map: for reading, not for changing. A
 * usage error for a key that is given twice, or once before a merge key that has it, too: that one
 * wins for kubectl, and the other one for the rest of the world
 * (https://yaml.org/type/merge.html).
 */
int yaml_read_get(struct yaml_edit *edit, const yaml_node_t *map, const char *key,
		  yaml_node_t **value, struct err *e);

/*
 * *@truth becomes what @node says; false where it is NULL or null. 0, or a usage error for what is
 * no boolean, with @key, its key. Of YAML 1.1 also yes, on and y are true
 * (https://yaml.org/type/bool.html), in lower case, upper case, or the first letter alone.
 */
int yaml_read_bool(const yaml_node_t *node, const char *key, bool *truth, struct err *e);

#endif
