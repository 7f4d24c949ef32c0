// SPDX-License-Identifier: GPL-2.0-or-later
/* Our containers in one workload: see inject_workload.h. */
#include "inject_workload.h"

#include "inject_warn.h"
#include "parse.h"
#include "yaml_read.h"

#include <errno.h>
#include <stdarg.h>

static const struct inject_kind kinds[] = {
	{ "", "Pod", { NULL }, false },
	{ "", "ReplicationController", { "spec", "template", NULL }, false },
	{ "apps", "Deployment", { "spec", "template", NULL }, false },
	{ "apps", "StatefulSet", { "spec", "template", NULL }, false },
	{ "apps", "DaemonSet", { "spec", "template", NULL }, false },
	{ "apps", "ReplicaSet", { "spec", "template", NULL }, false },
	{ "batch", "Job", { "spec", "template", NULL }, true },
	{ "batch", "CronJob", { "spec", "jobTemplate", "spec", "template", NULL }, true },
};

void inject_tell(struct inject_run *r, const struct inject_pod *w, const char *fmt, ...)
{
	char text[768];
	va_list args;
	int n = snprintf(text, sizeof(text), "%s: ", w->title);

	va_start(args, fmt);
	vsnprintf(text + n, sizeof(text) - (size_t)n, fmt, args);
	va_end(args);
	if (r->report)
		r->report(text, r->data);
}

/* ---- Reading ---- */

static const struct inject_kind *kind_of(struct span api, struct span name)
{
	const char *slash = memchr(api.ptr, '/', api.len);
	struct span group = SPAN(api.ptr, slash ? (size_t)(slash - api.ptr) : 0);

	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
		if (span_eq(name, span_str(kinds[i].name)) &&
		    span_eq(group, span_str(kinds[i].group)))
			return &kinds[i];
	}
	return NULL;
}

static int workload_read(struct inject_run *r, struct inject_pod *w, yaml_node_t *object,
			 struct err *e)
{
	struct yaml_edit *edit = &r->edit;
	const struct {
		yaml_node_t **from, **to;
		const char *key;
	} parts[] = {
		{ &w->template, &w->metadata, "metadata" },
		{ &w->metadata, &w->annotations, "annotations" },
		{ &w->metadata, &w->labels, "labels" },
		{ &w->template, &w->spec, "spec" },
		{ &w->spec, &w->init_containers, "initContainers" },
		{ &w->spec, &w->containers, "containers" },
	};

	w->template = object;
	for (const char *const *key = w->kind->path; *key; key++) {
		int rc = yaml_edit_get(edit, w->template, *key, &w->template, e);

		if (rc == 0)
			rc = yaml_edit_own(edit, w->template, *key, e);
		if (rc < 0)
			return rc;
	}
	for (size_t i = 0; i < ARRAY_SIZE(parts); i++) {
		int rc = yaml_edit_get(edit, *parts[i].from, parts[i].key, parts[i].to, e);

		/* Labels are only looked at. */
		if (rc == 0 && parts[i].to != &w->labels)
			rc = yaml_edit_own(edit, *parts[i].to, parts[i].key, e);
		if (rc < 0)
			return rc;
	}
	return 0;
}

yaml_node_t *inject_node_at(struct inject_run *r, yaml_node_t *node, const char *const *path)
{
	struct err *e = r->unread.code ? NULL : &r->unread;

	for (; *path; path++) {
		if (yaml_read_get(&r->edit, node, *path, &node, e) < 0)
			return NULL;
	}
	return node;
}

/* What could not be told of what was looked at. */
static int check_read(const struct inject_run *r, struct err *e)
{
	if (r->unread.code)
		*e = r->unread;
	return r->unread.code;
}

static struct span annotation(struct inject_run *r, const struct inject_pod *w, const char *name)
{
	return TEXT_AT(r, w->annotations, name);
}

/* Also with an empty value. */
static bool has_annotation(struct inject_run *r, const struct inject_pod *w, const char *name)
{
	return NODE_AT(r, w->annotations, name) != NULL;
}

static bool is_ours(struct span name)
{
	return span_eq(name, SPAN_LIT(INJECT_RULES)) || span_eq(name, SPAN_LIT(INJECT_PROXY));
}

/* How many items of a list have our names. */
static size_t count_ours(struct inject_run *r, yaml_node_t *list)
{
	size_t count = 0;

	for (size_t i = 0; i < yaml_edit_size(list); i++) {
		yaml_node_t *item = yaml_edit_item(&r->edit, list, i);

		count += item && is_ours(TEXT_AT(r, item, "name"));
	}
	return count;
}

static bool has_ours(struct inject_run *r, const struct inject_pod *w)
{
	return count_ours(r, w->init_containers) || count_ours(r, w->containers);
}

/* The names alone may be those of somebody else's containers. */
static const char *reason_not_to_remove(struct inject_run *r, const struct inject_pod *w)
{
	if (!has_ours(r, w))
		return "not injected";
	if (!has_annotation(r, w, INJECT_DONE))
		return "not injected by us: it has no annotation " INJECT_DONE;
	if (count_ours(r, w->containers) == yaml_edit_size(w->containers))
		return "it has no containers but ours";
	return NULL;
}

static bool is_one_of(struct span word, const char *const *words, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		if (span_eq(word, span_str(words[i])))
			return true;
	}
	return false;
}

/*
 * By an annotation or a label: of the pods, or of the workload itself. 0, or a usage error: a slip
 * would measure a pod that is not to be.
 */
static int opted_out(struct inject_run *r, const struct inject_pod *w, bool *out, struct err *e)
{
	static const char *const on_words[] = { "true", "enabled" };
	struct span said[] = { annotation(r, w, INJECT_SWITCH),
			       TEXT_AT(r, w->labels, INJECT_SWITCH),
			       TEXT_AT(r, w->object, "metadata", "annotations", INJECT_SWITCH),
			       TEXT_AT(r, w->object, "metadata", "labels", INJECT_SWITCH) };

	*out = false;
	for (size_t i = 0; i < ARRAY_SIZE(said); i++) {
		if (is_one_of(said[i], inject_off_words, INJECT_OFF_WORDS))
			*out = true;
		else if (said[i].len && !is_one_of(said[i], on_words, ARRAY_SIZE(on_words)))
			return err_usage(e,
					 INJECT_SWITCH ": '%.*s' is none of true, enabled, false, "
						       "disabled",
					 (int)MIN(said[i].len, 64u), said[i].ptr);
	}
	return 0;
}

static bool is_windows(struct inject_run *r, const struct inject_pod *w)
{
	struct span said[] = { TEXT_AT(r, w->spec, "os", "name"),
			       TEXT_AT(r, w->spec, "nodeSelector", "kubernetes.io/os"),
			       /* deprecated, and still a label of every node */
			       TEXT_AT(r, w->spec, "nodeSelector", "beta.kubernetes.io/os") };
	bool windows = false;

	for (size_t i = 0; i < ARRAY_SIZE(said); i++)
		windows |= span_eq(said[i], SPAN_LIT("windows"));
	return windows;
}

/*
 * *@why becomes the reason why this one is left alone; NULL: it is not. The policy's conditions are
 * the same. 0, or a usage error where it cannot be told.
 */
static int reason_to_skip(struct inject_run *r, const struct inject_pod *w, const char **why,
			  struct err *e)
{
	bool host, out = false;
	int rc = r->options->remove ? 0 : opted_out(r, w, &out, e);

	*why = NULL;
	if (rc < 0)
		return rc;
	if (r->options->remove)
		*why = reason_not_to_remove(r, w);
	else if (!w->template)
		*why = "it has no template of pods";
	else if (!yaml_edit_size(w->containers))
		*why = "it has no containers";
	else if (out)
		*why = INJECT_SWITCH " says so";
	else if (has_ours(r, w))
		*why = has_annotation(r, w, INJECT_DONE)
			       ? "already injected; take it out with --remove first"
			       : "it has a container named " INJECT_RULES " or " INJECT_PROXY
				 " that inject did not put there (a component of kustomize may "
				 "have)";
	if (*why || r->options->remove)
		return 0;
	rc = yaml_read_bool(NODE_AT(r, w->spec, "hostNetwork"), "hostNetwork", &host, e);
	if (rc < 0)
		return rc;
	if (host)
		*why = "hostNetwork: its network is the node's";
	else if (is_windows(r, w))
		*why = "Windows: there is no netfilter";
	return 0;
}

static int settings_of(struct inject_run *r, const struct inject_pod *w, struct inject_settings *s,
		       struct err *e)
{
	yaml_node_t *map = w->annotations;
	yaml_node_t *done;
	/* Ours before a merge key would not be the last word. */
	int rc = yaml_edit_get(&r->edit, map, INJECT_DONE, &done, e);

	if (rc < 0)
		return rc;
	*s = r->options->settings;
	for (size_t i = 0; map && map->type == YAML_MAPPING_NODE && i < yaml_edit_size(map); i++) {
		struct span key = yaml_edit_key(&r->edit, map, i);
		const char *value;

		if (!span_starts(key, SPAN_LIT(INJECT_PREFIX)) ||
		    span_eq(key, SPAN_LIT(INJECT_SWITCH)) || span_eq(key, SPAN_LIT(INJECT_DONE)))
			continue;
		/* Both end in a NUL, as all of libyaml's. */
		value = annotation(r, w, key.ptr).ptr;
		rc = check_read(r, e);
		if (rc < 0)
			return rc;
		if (inject_settings_add(s, key.ptr + strlen(INJECT_PREFIX), value, e) < 0)
			return err_wrap(e, "annotation %s", key.ptr);
	}
	return inject_settings_check(s, e);
}

/* ---- Putting in ---- */

/* One container or two, in this order. */
static struct object *listed(struct object_pool *pool, struct object *first, struct object *second)
{
	struct object *list = object_list(pool, NULL, NULL);

	if (!list)
		return NULL;
	list->first = first;
	list->last = second ? second : first;
	first->next = second;
	return list;
}

/* A map of this one entry. */
static struct object *entry_of(struct object_pool *pool, const char *key, struct object *value)
{
	struct object *map = object_map(pool, NULL, NULL);

	if (!map || !value)
		return NULL;
	value->key = key;
	map->first = map->last = value;
	return map;
}

/*
 * Adds @more, a list or map, to @node, the value of @key in the map @parent, which may be absent or
 * null. @behind: of a list, behind its other items.
 */
static int add_to(struct inject_run *r, yaml_node_t *parent, yaml_node_t *node, const char *key,
		  struct object *more, bool behind, struct object_pool *pool, struct err *e)
{
	bool list = more && more->kind == OBJECT_LIST;
	struct object *entry;

	if (more && node && node->type == (list ? YAML_SEQUENCE_NODE : YAML_MAPPING_NODE))
		return list ? yaml_edit_add_items(&r->edit, node, more, behind, e)
			    : yaml_edit_add_keys(&r->edit, node, more, e);
	if (node && !yaml_edit_is_null(node))
		return err_usage(e, "line %u: '%s' is no %s", yaml_edit_line(node), key,
				 list ? "list" : "map");
	r->exact &= !node;
	if (node && more)
		return yaml_edit_fill(&r->edit, node, more, e);
	entry = entry_of(pool, key, more);
	if (!entry)
		return err_set(e, -ENOMEM, "out of memory for '%s'", key);
	return yaml_edit_add_keys(&r->edit, parent, entry, e);
}

/*
 * The annotations that are not there yet; *@done becomes what the one is to say that says what was
 * added: by short names, since podman takes no annotation of more than 63 characters.
 */
static struct object *annotations_to_add(struct inject_run *r, const struct inject_pod *w,
					 struct object_pool *pool, const struct inject_spec *spec,
					 const char **done)
{
	struct object *map = object_map(pool, NULL, NULL);
	const char *names = w->init_containers ? "" : "initContainers ";

	if (!w->annotations)
		names = object_format(pool, "%sannotations ", names);
	if (!w->metadata)
		names = object_format(pool, "%smetadata ", names);
	for (const struct object *a = spec->annotations->first; a; a = a->next) {
		if (has_annotation(r, w, a->key)) {
			inject_tell(r, w,
				    "warning: it has an annotation %s of its own, which stays",
				    a->key);
			continue;
		}
		object_text(pool, map, a->key, a->text);
		names = object_format(pool, "%s%s ", names, a->key + strlen(INJECT_SCRAPE));
	}
	*done = object_format(pool, "%.*s", (int)MAX(strlen(names), 1u) - 1, names);
	return map;
}

/* Where somebody took out our containers by hand, and left INJECT_DONE, it tells nothing. */
static int replace_done(struct inject_run *r, const yaml_node_t *annotations,
			const struct object *done, struct err *e)
{
	size_t i = 0;

	while (i < yaml_edit_size(annotations) &&
	       !span_eq(yaml_edit_key(&r->edit, annotations, i), SPAN_LIT(INJECT_DONE)))
		i++;
	r->exact = false;
	return yaml_edit_replace(&r->edit, annotations, i, done, e);
}

static int add_annotations(struct inject_run *r, const struct inject_pod *w,
			   struct object_pool *pool, const struct inject_spec *spec, struct err *e)
{
	const char *text = "";
	struct object *map = annotations_to_add(r, w, pool, spec, &text), *done;
	bool left_over = has_annotation(r, w, INJECT_DONE);

	done = object_text(pool, left_over ? NULL : map, INJECT_DONE, text);
	if (!map || !done)
		return err_set(e, -ENOMEM, "out of memory for the annotations");
	if (left_over) {
		int rc = replace_done(r, w->annotations, done, e);

		if (rc < 0 || !map->first)
			return rc;
	}
	if (w->metadata && w->metadata->type == YAML_MAPPING_NODE)
		return add_to(r, w->metadata, w->annotations, "annotations", map, false, pool, e);
	return add_to(r, w->template, w->metadata, "metadata", entry_of(pool, "annotations", map),
		      false, pool, e);
}

/* See INJECT_GRACE_DEFAULT. */
static int wait_as_long(struct inject_run *r, const struct inject_pod *w, struct inject_settings *s,
			struct object_pool *pool, struct err *e)
{
	struct span text = TEXT_AT(r, w->spec, "terminationGracePeriodSeconds");
	uint32_t seconds;

	if (inject_settings_get(s, "drain-timeout") ||
	    parse_u32(text, INJECT_GRACE_DEFAULT + 1, INJECT_GRACE_MAX, &seconds, NULL) < 0)
		return 0;
	return inject_settings_add(s, "drain-timeout", object_format(pool, "%us", seconds), e);
}

static int put_in(struct inject_run *r, const struct inject_pod *w, struct err *e)
{
	struct object_pool pool = OBJECT_POOL_INIT;
	struct inject_options o = *r->options;
	const char *label = NULL;
	struct inject_spec spec;
	struct object *first;
	bool sidecar = o.form == INJECT_SIDECAR;
	int rc = settings_of(r, w, &o.settings, e);

	for (size_t i = 0; i < INJECT_SERVICE_LABELS && !label; i++) {
		if (TEXT_AT(r, w->labels, inject_service_labels[i]).len)
			label = inject_service_labels[i];
	}
	if (rc == 0 && !sidecar)
		rc = wait_as_long(r, w, &o.settings, &pool, e);
	if (rc == 0)
		rc = inject_spec_build(&spec, &pool, &o, label, e);
	if (rc == 0) {
		first = listed(&pool, spec.rules, sidecar ? spec.proxy : NULL);
		rc = add_to(r, w->spec, w->init_containers, "initContainers", first, false, &pool,
			    e);
	}
	if (rc == 0 && !sidecar)
		rc = add_to(r, w->spec, w->containers, "containers",
			    listed(&pool, spec.proxy, NULL), true, &pool, e);
	if (rc == 0)
		rc = add_annotations(r, w, &pool, &spec, e);
	if (rc == 0) {
		inject_tell(r, w, "injected " INJECT_RULES " and " INJECT_PROXY "%s",
			    sidecar ? ", a sidecar" : "");
		inject_warn(r, w, &o.settings);
	}
	object_pool_fini(&pool);
	return rc;
}

/* ---- Taking out ---- */

/* Whether @word is one of those in @text, between blanks. */
static bool has_word(struct span text, struct span word)
{
	struct span item;
	bool done = false;

	while (span_next(&text, ' ', &item, &done)) {
		if (span_eq(item, word))
			return true;
	}
	return false;
}

/* Whether @done, the value of INJECT_DONE, names the annotation @key. */
static bool was_added(struct span done, struct span key)
{
	const size_t skip = strlen(INJECT_SCRAPE);

	return span_starts(key, SPAN_LIT(INJECT_SCRAPE)) &&
	       has_word(done, SPAN(key.ptr + skip, key.len - skip));
}

/*
 * Removes our items of a list; *@all: that would be all of them, and the list was ours, too: it is
 * for the caller to remove. @added: whether it was.
 */
static int take_out_items(struct inject_run *r, yaml_node_t *list, bool added, bool *all,
			  struct err *e)
{
	size_t count = yaml_edit_size(list), ours = 0;
	_cleanup_free_ bool *doomed = calloc(count + 1, sizeof(*doomed));

	*all = false;
	if (!doomed)
		return err_set(e, -ENOMEM, "out of memory for a list");
	for (size_t i = 0; i < count; i++) {
		yaml_node_t *item = yaml_edit_item(&r->edit, list, i);

		doomed[i] = item && is_ours(TEXT_AT(r, item, "name"));
		ours += doomed[i];
	}
	*all = added && ours == count;
	return *all || !ours ? 0 : yaml_edit_remove(&r->edit, list, doomed, e);
}

/* The same for keys of a map: the annotations that @done names, and @key if it is to go. */
static int take_out_keys(struct inject_run *r, yaml_node_t *map, struct span done, const char *key,
			 bool added, bool *all, struct err *e)
{
	size_t count = map && map->type == YAML_MAPPING_NODE ? yaml_edit_size(map) : 0, gone = 0;
	_cleanup_free_ bool *doomed = calloc(count + 1, sizeof(*doomed));

	*all = false;
	if (!doomed)
		return err_set(e, -ENOMEM, "out of memory for a map");
	for (size_t i = 0; i < count; i++) {
		struct span at = yaml_edit_key(&r->edit, map, i);

		doomed[i] = span_eq(at, span_str(key)) || was_added(done, at);
		gone += doomed[i];
	}
	*all = added && gone == count;
	return *all || !gone ? 0 : yaml_edit_remove(&r->edit, map, doomed, e);
}

static int take_out(struct inject_run *r, const struct inject_pod *w, struct err *e)
{
	struct span done = annotation(r, w, INJECT_DONE);
	bool all, ignored;
	int rc;

	rc = take_out_items(r, w->init_containers, has_word(done, SPAN_LIT("initContainers")), &all,
			    e);
	if (rc == 0 && all)
		rc = take_out_keys(r, w->spec, SPAN("", 0), "initContainers", false, &ignored, e);
	if (rc == 0)
		rc = take_out_items(r, w->containers, false, &ignored, e);
	if (rc == 0)
		rc = take_out_keys(r, w->annotations, done, INJECT_DONE,
				   has_word(done, SPAN_LIT("annotations")), &all, e);
	if (rc == 0 && all)
		rc = take_out_keys(r, w->metadata, SPAN("", 0), "annotations",
				   has_word(done, SPAN_LIT("metadata")), &all, e);
	if (rc == 0 && all)
		rc = take_out_keys(r, w->template, SPAN("", 0), "metadata", false, &ignored, e);
	if (rc == 0)
		inject_tell(r, w, "taken out");
	return rc;
}

static int do_workload(struct inject_run *r, struct inject_pod *w, yaml_node_t *object,
		       struct err *e)
{
	const char *skip = NULL;
	int rc = workload_read(r, w, object, e);

	if (rc == 0)
		rc = reason_to_skip(r, w, &skip, e);
	if (rc == 0)
		rc = check_read(r, e);
	if (rc < 0)
		return rc;
	if (skip) {
		inject_tell(r, w, "left alone: %s", skip);
		r->exact &= reason_not_to_remove(r, w) != NULL;
	} else {
		rc = r->options->remove ? take_out(r, w, e) : put_in(r, w, e);
	}
	return rc < 0 ? rc : check_read(r, e);
}

int inject_workload(struct inject_run *r, yaml_node_t *object, struct err *e)
{
	struct inject_pod w = { .object = object };
	struct span kind, name;
	int rc;

	r->unread = (struct err)ERR_INIT;
	kind = TEXT_AT(r, object, "kind");
	w.kind = kind_of(TEXT_AT(r, object, "apiVersion"), kind);
	if (!r->options->remove)
		inject_warn_namespace(r, object);
	if (!w.kind)
		return check_read(r, e);
	name = TEXT_AT(r, object, "metadata", "name");
	if (!name.len)
		name = TEXT_AT(r, object, "metadata", "generateName");
	snprintf(w.title, sizeof(w.title), "%s/%.*s", w.kind->name, (int)MIN(name.len, 253u),
		 name.ptr);
	rc = do_workload(r, &w, object, e);
	return rc < 0 ? err_wrap(e, "%s", w.title) : 1;
}
