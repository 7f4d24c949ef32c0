/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a pod is given: two containers, and annotations for who scrapes it. The one source of what
 * `inject` writes and of what its admission policy makes.
 *
 * Options of both programs reach a container as its environment. Each can be an annotation of the
 * pod, too: sluice.dev/outbound-exclude-ports is --outbound-exclude-ports of either program that
 * has such an option.
 */
#ifndef SLUICE_INJECT_SPEC_H
#define SLUICE_INJECT_SPEC_H

#include "error.h"
#include "objects.h"
#include "span.h"

#define INJECT_PREFIX	"sluice.dev/"
#define INJECT_SWITCH	"sluice.dev/inject"   /* "false": not this pod */
#define INJECT_DONE	"sluice.dev/injected" /* what was added, for --remove */
#define INJECT_SCRAPE	"prometheus.io/"      /* what begins so is named there without it */
#define INJECT_RULES	"sluice-init"
#define INJECT_PROXY	"sluice-proxy"
#define INJECT_SETTINGS 128
#define INJECT_USER_MAX 2147483647u /* of securityContext.runAsUser */

/*
 * In the classic form the proxy is told to stop together with the application, and gives its
 * connections as long as the pod's terminationGracePeriodSeconds, if that is more than the default,
 * of which its own drain-timeout is a little less.
 */
#define INJECT_GRACE_DEFAULT 30u
#define INJECT_GRACE_MAX     86400u

/* Values of INJECT_SWITCH, an annotation or a label of the pod, that mean "not this pod". */
#define INJECT_OFF_WORDS 2
extern const char *const inject_off_words[INJECT_OFF_WORDS];

/* Labels that name a pod's service, the better one first. */
#define INJECT_SERVICE_LABELS 2
extern const char *const inject_service_labels[INJECT_SERVICE_LABELS];

/* How the proxy runs. */
enum inject_form {
	INJECT_SIDECAR, /* an initContainer that goes on (Kubernetes 1.29): Jobs end without ado */
	INJECT_CLASSIC, /* a container as any other */
	INJECT_FORM_COUNT,
};

/* Which version of the API the policy is written for. */
enum inject_policy_api {
	INJECT_POLICY_V1BETA1, /* Kubernetes 1.34 and 1.35, where it is enabled */
	INJECT_POLICY_V1,      /* 1.36 and later */
	INJECT_POLICY_API_COUNT,
};

struct inject_setting {
	const char *name, *value; /* borrowed */
};

/* Options of the programs; one of each name, the last one given. */
struct inject_settings {
	struct inject_setting items[INJECT_SETTINGS];
	size_t count;
};

struct inject_options {
	const char *image, *pull_policy; /* borrowed; the latter NULL: the cluster's default */
	/* Of each of both; borrowed. cpu_limit NULL: none. */
	const char *cpu_request, *cpu_limit, *memory_request, *memory_limit;
	unsigned form; /* enum inject_form */
	struct inject_settings settings;
	bool remove, policy;
	bool component;	     /* for pods that cannot be looked into: fields of theirs say it all */
	unsigned policy_api; /* enum inject_policy_api */
};

struct inject_spec {
	struct object *rules, *proxy; /* the containers */
	struct object *annotations;   /* but INJECT_DONE */
};

/* Whether a pod can set an option, which must be one of these commands: by a variable, no file. */
struct option;
bool inject_settings_may(const struct option *o, unsigned commands);

/*
 * "NAME=VALUE" of --set. Replaces an earlier one of this name. 0, or a usage error: no option that
 * a pod can set, a value that the option refuses, too many.
 */
int inject_settings_add(struct inject_settings *s, const char *name, const char *value,
			struct err *e);

/* The value of that option, or NULL. */
const char *inject_settings_get(const struct inject_settings *s, const char *name);

/* Whether all of them together are accepted by both programs. 0 or a usage error. */
int inject_settings_check(const struct inject_settings *s, struct err *e);

/*
 * The objects for a pod; @service_label: which label of the pod names its service, or NULL.
 * Owned by @pool. 0 or -ENOMEM.
 */
int inject_spec_build(struct inject_spec *spec, struct object_pool *pool,
		      const struct inject_options *o, const char *service_label, struct err *e);

/*
 * The same for whatever pod: what depends on it is said in CEL, in terms of @variables, a list of
 * names and expressions. Those expect `variables.annotations` and `variables.labels`, the pod's.
 */
int inject_spec_build_policy(struct inject_spec *spec, struct object **variables,
			     struct object_pool *pool, const struct inject_options *o,
			     struct err *e);

#endif
