// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The admission policy: see inject_policy.h.
 *
 * Theory of Operation: the API server evaluates expressions of CEL for each pod that is made. The
 * conditions say which pods are left alone, as inject_workload.c does. The containers are those of
 * inject_spec.c, printed as an expression; they are added by a JSON Patch, item by item, since a
 * list of objects as the value of one patch is more than the API server can take. An annotation
 * says what was added, so that a pod's manifest can be cleaned by `inject --remove`.
 *
 * No expression fails, whatever a pod says: what is wrong with a value is for the programs to tell,
 * since a policy cannot.
 */
#include "inject_policy.h"

#include <errno.h>

#define NAME "sluice-inject"

struct policy {
	struct object_pool pool;
	const struct inject_options *options;
	struct inject_spec spec;
	struct object *variables;
};

/* Between commas and in quotes. */
static const char *off_words(struct policy *p)
{
	const char *words = "";

	for (size_t i = 0; i < INJECT_OFF_WORDS; i++)
		words = object_format(&p->pool, "%s%s'%s'", words, i ? ", " : "",
				      inject_off_words[i]);
	return words;
}

static void add_named(struct policy *p, struct object *list, const char *name,
		      const char *expression)
{
	struct object *item = object_map(&p->pool, list, NULL);

	object_text(&p->pool, item, "name", name);
	object_text(&p->pool, item, "expression", expression);
}

/* What reason_to_skip() of inject_workload.c says, turned round. */
static void add_conditions(struct policy *p, struct object *spec)
{
	struct object *list = object_list(&p->pool, spec, "matchConditions");
	const char *words = off_words(p);

	add_named(p, list, "not-opted-out",
		  object_format(&p->pool,
				"!(object.metadata.?annotations[?'" INJECT_SWITCH
				"'].orValue('') in [%s]) &&\n"
				"!(object.metadata.?labels[?'" INJECT_SWITCH
				"'].orValue('') in [%s])",
				words, words));
	add_named(p, list, "not-injected",
		  "!(object.spec.containers + object.spec.?initContainers.orValue([]))\n"
		  "  .exists(c, c.name in ['" INJECT_RULES "', '" INJECT_PROXY "'])");
	add_named(p, list, "not-host-network", "!object.spec.?hostNetwork.orValue(false)");
	add_named(p, list, "not-windows",
		  "object.spec.?os.?name.orValue('') != 'windows' &&\n"
		  "object.spec.?nodeSelector[?'kubernetes.io/os'].orValue('') != 'windows' &&\n"
		  "object.spec.?nodeSelector[?'beta.kubernetes.io/os'].orValue('') != 'windows'");
}

static void add_constraints(struct policy *p, struct object *spec)
{
	static const struct {
		const char *key, *item;
	} rules[] = { { "apiGroups", "" },
		      { "apiVersions", "v1" },
		      { "operations", "CREATE" },
		      { "resources", "pods" } };
	struct object *rule = object_map(&p->pool, spec, "matchConstraints");

	rule = object_list(&p->pool, rule, "resourceRules");
	rule = object_map(&p->pool, rule, NULL);
	for (size_t i = 0; i < ARRAY_SIZE(rules); i++) {
		struct object *list = object_list(&p->pool, rule, rules[i].key);

		object_text(&p->pool, list, NULL, rules[i].item);
	}
}

/* As inject notes it: words between blanks, of the annotations without INJECT_SCRAPE. */
static const char *what_is_added(struct policy *p)
{
	const char *names = "";

	for (const struct object *a = p->spec.annotations->first; a; a = a->next)
		names = object_format(&p->pool, "%s%s'%s'", names, *names ? ", " : "",
				      a->key + strlen(INJECT_SCRAPE));
	return object_format(&p->pool,
			     "((has(object.spec.initContainers) ? [] : ['initContainers']) +\n"
			     " (has(object.metadata.annotations) ? [] : ['annotations']) +\n"
			     " [%s].filter(name, !('" INJECT_SCRAPE
			     "' + name in variables.annotations))).join(' ')",
			     names);
}

static void add_variables(struct policy *p, struct object *spec)
{
	struct object *list = object_list(&p->pool, spec, "variables");

	add_named(p, list, "annotations", "object.metadata.?annotations.orValue({})");
	add_named(p, list, "labels", "object.metadata.?labels.orValue({})");
	if (list && p->variables) {
		list->last->next = p->variables->first;
		list->last = p->variables->last;
	}
	add_named(p, list, "added", what_is_added(p));
}

/* ---- The patch ---- */

static void print_container(const struct object *c, const char *list, const char *where, FILE *to)
{
	char type[64];

	snprintf(type, sizeof(type), "Object.spec.%s", list);
	fprintf(to, "[JSONPatch{op: \"add\", path: \"/spec/%s/%s\", value:\n    ", list, where);
	object_print_cel(c, type, 4, to);
	fputs("}] +\n", to);
}

/* One that the pod has stays. */
static void print_annotation(const struct object *a, FILE *to)
{
	fprintf(to, "('%s' in variables.annotations ? [] : [JSONPatch{op: \"add\",\n", a->key);
	fprintf(to,
		"  path: \"/metadata/annotations/\" + jsonpatch.escapeKey('%s'), value: ", a->key);
	object_print_cel(a, "", 0, to);
	fputs("}]) +\n", to);
}

static void print_patch(const struct policy *p, FILE *to)
{
	bool sidecar = p->options->form == INJECT_SIDECAR;

	fputs("(has(object.spec.initContainers) ? [] :\n"
	      "  [JSONPatch{op: \"add\", path: \"/spec/initContainers\", value: []}]) +\n",
	      to);
	print_container(p->spec.rules, "initContainers", "0", to);
	print_container(p->spec.proxy, sidecar ? "initContainers" : "containers",
			sidecar ? "1" : "-", to);
	fputs("(has(object.metadata.annotations) ? [] :\n"
	      "  [JSONPatch{op: \"add\", path: \"/metadata/annotations\", value: {}}]) +\n",
	      to);
	for (const struct object *a = p->spec.annotations->first; a; a = a->next)
		print_annotation(a, to);
	fputs("[JSONPatch{op: \"add\",\n"
	      "  path: \"/metadata/annotations/\" + jsonpatch.escapeKey('" INJECT_DONE
	      "'), value: variables.added}]",
	      to);
}

static int add_mutation(struct policy *p, struct object *spec, struct err *e)
{
	_cleanup_free_ char *text = NULL;
	size_t len = 0;
	FILE *to = open_memstream(&text, &len);
	struct object *item;

	if (to)
		print_patch(p, to);
	if (!to || fclose(to) == EOF)
		return err_set(e, -ENOMEM, "out of memory for the policy");
	item = object_map(&p->pool, object_list(&p->pool, spec, "mutations"), NULL);
	object_text(&p->pool, item, "patchType", "JSONPatch");
	item = object_map(&p->pool, item, "jsonPatch");
	object_text(&p->pool, item, "expression", object_format(&p->pool, "%s", text));
	return 0;
}

/* ---- The objects ---- */

static struct object *begin(struct policy *p, const char *kind, struct object **spec)
{
	static const char *const versions[] = { "v1beta1", "v1" };
	struct object *o = object_map(&p->pool, NULL, NULL), *metadata;

	_Static_assert(ARRAY_SIZE(versions) == INJECT_POLICY_API_COUNT, "a version for each");
	object_text(&p->pool, o, "apiVersion",
		    object_format(&p->pool, "admissionregistration.k8s.io/%s",
				  versions[p->options->policy_api]));
	object_text(&p->pool, o, "kind", kind);
	metadata = object_map(&p->pool, o, "metadata");
	object_text(&p->pool, metadata, "name", NAME);
	*spec = object_map(&p->pool, o, "spec");
	return o;
}

/* Whoever wants traffic to fail without a proxy wants no pod without one. */
static bool fails_closed(const struct inject_options *o)
{
	const char *fail = inject_settings_get(&o->settings, "fail");

	return fail && strcmp(fail, "closed") == 0;
}

static int build_policy(struct policy *p, struct object **policy, struct err *e)
{
	struct object *spec;

	*policy = begin(p, "MutatingAdmissionPolicy", &spec);
	object_text(&p->pool, spec, "failurePolicy", fails_closed(p->options) ? "Fail" : "Ignore");
	object_text(&p->pool, spec, "reinvocationPolicy", "IfNeeded");
	add_constraints(p, spec);
	add_conditions(p, spec);
	add_variables(p, spec);
	return add_mutation(p, spec, e);
}

static struct object *build_binding(struct policy *p)
{
	struct object *spec, *o = begin(p, "MutatingAdmissionPolicyBinding", &spec);

	object_text(&p->pool, spec, "policyName", NAME);
	spec = object_map(&p->pool, spec, "matchResources");
	spec = object_map(&p->pool, spec, "namespaceSelector");
	spec = object_map(&p->pool, spec, "matchLabels");
	object_text(&p->pool, spec, INJECT_SWITCH, "enabled");
	return o;
}

int inject_policy_print(const struct inject_options *o, FILE *out, struct err *e)
{
	struct policy p = { .pool = OBJECT_POOL_INIT, .options = o };
	struct object *policy = NULL, *binding = NULL;
	int rc = inject_spec_build_policy(&p.spec, &p.variables, &p.pool, o, e);

	if (rc == 0)
		rc = build_policy(&p, &policy, e);
	if (rc == 0)
		binding = build_binding(&p);
	if (rc == 0 && p.pool.failed)
		rc = err_set(e, -ENOMEM, "out of memory for the policy");
	if (rc == 0) {
		fputs("# Printed by `sluice inject --policy`: new pods of namespaces with the "
		      "label\n# " INJECT_SWITCH ": enabled get what `sluice inject` would give "
		      "them.\n",
		      out);
		object_print_yaml(policy, 0, out);
		fputs("\n---\n", out);
		object_print_yaml(binding, 0, out);
		fputc('\n', out);
	}
	object_pool_fini(&p.pool);
	return rc;
}
