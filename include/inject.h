/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Puts our containers into the workloads of a stream of Kubernetes manifests, or takes them out. */
#ifndef SLUICE_INJECT_H
#define SLUICE_INJECT_H

#include "inject_spec.h"

/* What became of a workload, for whoever runs us; @what borrowed. */
typedef void inject_reporter(const char *what, void *data);

/*
 * Prints @in, documents of YAML or JSON, to @out with every workload changed that @o says should
 * be; the rest as it was, to the byte. Says of each workload what was done, or why nothing.
 * 0; or a usage error that names the line, -ENOMEM, and then what was printed is worth nothing.
 */
int inject_stream(struct span in, const struct inject_options *o, inject_reporter *report,
		  void *data, FILE *out, struct err *e);

#endif
