/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A component of kustomize that gives workloads the same as `sluice inject` does. */
#ifndef SLUICE_INJECT_COMPONENT_H
#define SLUICE_INJECT_COMPONENT_H

#include "inject_spec.h"

/* Prints a kustomization.yaml of kind Component to @out. 0 or -ENOMEM. */
int inject_component_print(const struct inject_options *o, FILE *out, struct err *e);

#endif
