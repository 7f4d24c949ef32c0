/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Admission without a webhook: what the API server itself needs to do to new pods what `inject`
 * does to manifests.
 */
#ifndef SLUICE_INJECT_POLICY_H
#define SLUICE_INJECT_POLICY_H

#include "inject_spec.h"

/*
 * Prints a MutatingAdmissionPolicy and its binding, as YAML, for the namespaces that have the label
 * INJECT_SWITCH=enabled. 0 or -ENOMEM.
 */
int inject_policy_print(const struct inject_options *o, FILE *out, struct err *e);

#endif
