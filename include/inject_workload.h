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
};

/*
 * Notes the changes to @object, a node of the edit's document, if it is a workload, and reports.
 * 1, or 0 if it is none; -errno with @e set: a usage error names the workload.
 */
int inject_workload(struct inject_run *r, yaml_node_t *object, struct err *e);

#endif
