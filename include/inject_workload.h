/* SPDX-License-Identifier: GPL-2.0-or-later */
/* One workload of a stream of manifests: what it is, and what is changed in it. */
#ifndef SLUICE_INJECT_WORKLOAD_H
#define SLUICE_INJECT_WORKLOAD_H

#include "inject.h"
#include "yaml_edit.h"

struct inject_run {
	const struct inject_options *options;
	struct yaml_edit edit;
	inject_reporter *report; /* NULL: nobody wants to know */
	void *data;		 /* the reporter's */
	bool exact;		 /* taking out again what was put in gives the same bytes */
	struct err unread;	 /* the first value of the object at hand that cannot be told */
};

/* Where the template of the pods is. */
struct inject_kind {
	const char *group, *name;
	const char *path[5];
	bool ends; /* its pods are done some time */
};

/* A template of pods, and what of it we look at; NULL: absent. */
struct inject_pod {
	const struct inject_kind *kind;
	char title[320];     /* "Deployment/web" */
	yaml_node_t *object; /* the workload */
	yaml_node_t *template, *metadata, *annotations, *labels, *spec, *init_containers,
		*containers;
};

/* A line about a workload, to the reporter. */
void inject_tell(struct inject_run *r, const struct inject_pod *w, const char *fmt, ...)
	_printf_(3, 4);

/*
 * What is at a path of keys, merge keys included; NULL, or no text, where there is none. An error
 * is noted as @r->unread, for inject_workload() to return.
 */
yaml_node_t *inject_node_at(struct inject_run *r, yaml_node_t *node, const char *const *path);

#define NODE_AT(r, node, ...) inject_node_at(r, node, (const char *const[]){ __VA_ARGS__, NULL })
#define TEXT_AT(r, node, ...) yaml_edit_text(NODE_AT(r, node, __VA_ARGS__))

/*
 * Notes the changes to @object, a node of the edit's document, if it is a workload, and reports.
 * 1, or 0 if it is none; -errno with @e set: a usage error names the workload.
 */
int inject_workload(struct inject_run *r, yaml_node_t *object, struct err *e);

#endif
