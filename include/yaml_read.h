/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Reads values of a YAML document as kubectl does, which takes it for YAML 1.1. */
#ifndef SLUICE_YAML_READ_H
#define SLUICE_YAML_READ_H

#include "yaml_edit.h"

/*
 * *@truth becomes what @node says; false where it is NULL or null. 0, or a usage error for what is
 * no boolean, with @key, its key. Of YAML 1.1 also yes, on and y are true
 * (https://yaml.org/type/bool.html), in lower case, upper case, or the first letter alone.
 */
int yaml_read_bool(const yaml_node_t *node, const char *key, bool *truth, struct err *e);

#endif
