// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * A component of kustomize: see inject_component.h.
 *
 * A strategic merge puts the items of a patch before those that a list has, which is where an
 * initContainer of ours belongs; a container among others is added behind them by a JSON patch. A
 * patch is applied to whatever its target selects: which kind it names itself does not matter.
 */
#include "inject_component.h"

#include <errno.h>

static const struct place {
	const char *groups, *kinds; /* regular expressions; anchored */
	const char *api, *kind;	    /* of one of them */
	const char *path[6];	    /* of the pods' spec */
	const char *containers;	    /* the end of their list, as JSON patches write it */
} places[] = {
	{ "apps|batch|",
	  "Deployment|StatefulSet|DaemonSet|ReplicaSet|ReplicationController|Job",
	  "apps/v1",
	  "Deployment",
	  { "spec", "template", "spec", NULL },
	  "/spec/template/spec/containers/-" },
	{ "batch",
	  "CronJob",
	  "batch/v1",
	  "CronJob",
	  { "spec", "jobTemplate", "spec", "template", "spec", NULL },
	  "/spec/jobTemplate/spec/template/spec/containers/-" },
	{ "|", "Pod", "v1", "Pod", { "spec", NULL }, "/spec/containers/-" },
};

static const char head[] =
	"# SPDX-License-Identifier: GPL-2.0-or-later\n"
	"# Written by `sluice inject --component`. In an overlay's kustomization.yaml:\n"
	"#   components: [this directory]\n"
	"#   images: [{name: sluice, newName: registry.example/sluice, newTag: 0.1.0}]\n"
	"# A workload with the annotation sluice.dev/inject: \"false\" in its own metadata is left "
	"alone.\n"
	"apiVersion: kustomize.config.k8s.io/v1alpha1\n"
	"kind: Component\n"
	"patches:\n";

/* With inject_off_words. */
#define OTHERS INJECT_SWITCH " notin (false, disabled)"

static void print_patch(const struct place *place, const struct object *patch, FILE *out)
{
	fprintf(out,
		"- target:\n"
		"    group: '%s'\n"
		"    kind: '%s'\n"
		"    annotationSelector: " OTHERS "\n"
		"    labelSelector: " OTHERS "\n"
		"  patch: |-\n"
		"    ",
		place->groups, place->kinds);
	object_print_yaml(patch, 4, out);
	fputc('\n', out);
}

/* Makes @item the last of @list. */
static void append(struct object *list, struct object *item)
{
	if (!list || !item)
		return;
	item->next = NULL;
	if (list->last)
		list->last->next = item;
	else
		list->first = item;
	list->last = item;
}

static struct object *merge_of(struct object_pool *pool, const struct place *place,
			       struct object *rules, struct object *proxy)
{
	struct object *patch = object_map(pool, NULL, NULL), *at;

	object_text(pool, patch, "apiVersion", place->api);
	object_text(pool, patch, "kind", place->kind);
	at = object_map(pool, patch, "metadata");
	object_text(pool, at, "name", "any");
	at = patch;
	for (const char *const *key = place->path; *key; key++)
		at = object_map(pool, at, *key);
	at = object_list(pool, at, "initContainers");
	append(at, rules);
	append(at, proxy);
	return patch;
}

static struct object *addition_of(struct object_pool *pool, const struct place *place,
				  struct object *container)
{
	struct object *list = object_list(pool, NULL, NULL), *op = object_map(pool, list, NULL);

	object_text(pool, op, "op", "add");
	object_text(pool, op, "path", place->containers);
	if (container)
		container->key = "value";
	append(op, container);
	return list;
}

int inject_component_print(const struct inject_options *o, FILE *out, struct err *e)
{
	struct object_pool pool = OBJECT_POOL_INIT;
	bool sidecar = o->form == INJECT_SIDECAR;
	int rc = 0;

	fputs(head, out);
	for (size_t i = 0; rc == 0 && i < ARRAY_SIZE(places); i++) {
		const struct place *place = &places[i];
		struct inject_spec spec;

		rc = inject_spec_build(&spec, &pool, o, NULL, e);
		if (rc < 0)
			break;
		print_patch(place, merge_of(&pool, place, spec.rules, sidecar ? spec.proxy : NULL),
			    out);
		if (!sidecar)
			print_patch(place, addition_of(&pool, place, spec.proxy), out);
	}
	if (rc == 0 && pool.failed)
		rc = err_set(e, -ENOMEM, "out of memory for the component");
	object_pool_fini(&pool);
	return rc;
}
