/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What may surprise in an injected pod, where it does no harm to go on. */
#ifndef SLUICE_INJECT_WARN_H
#define SLUICE_INJECT_WARN_H

#include "inject_workload.h"

/* Tells of a pod that was injected with these settings. */
void inject_warn(struct inject_run *r, const struct inject_pod *w, const struct inject_settings *s);

/* Tells of a Namespace whose level of Pod Security refuses the pods; nothing of another object. */
void inject_warn_namespace(struct inject_run *r, yaml_node_t *object);

#endif
