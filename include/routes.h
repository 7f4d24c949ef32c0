/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Routes: templates of paths, and which of them a request's path belongs to.
 *
 * Theory of Operation: a tree of segments, with a hash of (parent, segment) to find the next
 * literal one; a match looks at each segment of the path, and at each node of the tree at most
 * once. At every segment a literal beats {name}, and {name} beats {name...}: the most specific
 * template is met first. Built before the threads start, constant afterwards.
 */
#ifndef SLUICE_ROUTES_H
#define SLUICE_ROUTES_H

#include "error.h"
#include "span.h"

#define ROUTES_MAX	    200u /* templates */
#define ROUTES_TEMPLATE_MAX 200u /* characters of one */
#define ROUTES_PATH_MAX	    254u /* of a path; a longer one has no route */

struct routes;

/*
 * Adds @template to *@to, which is made when it is NULL: "/" and segments between slashes, each
 * literal, or {name} for one segment that is not empty, or, at the end, {name...} for all that
 * is left. The same again is let pass. 0, a usage error, or -ENOMEM.
 */
int routes_add(struct routes **to, struct span template, struct err *e);

void routes_free(struct routes *r);

/* The route, from 1 on, of a path without its query, percent-encoding as it is; 0: none. */
uint16_t routes_match(const struct routes *r, struct span path);

/* The template of a route that routes_match() gave; valid while @r lives. */
const char *routes_template(const struct routes *r, uint16_t route);

#endif
