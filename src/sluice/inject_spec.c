// SPDX-License-Identifier: GPL-2.0-or-later
/* What a pod is given: see inject_spec.h. */
#include "inject_spec.h"

#include "config.h"
#include "proxy_config.h"

#include <errno.h>

/* Which of our containers takes an option. */
enum taker {
	TAKER_RULES = 1,
	TAKER_PROXY = 2,
};

static bool for_pods(const struct option *o, unsigned commands)
{
	return (o->commands & commands) && !o->command_line_only && o->kind != OPTION_FILE &&
	       !o->stands_alone;
}

static const struct option *find(const struct option_table *table, unsigned commands,
				 const char *name)
{
	for (size_t i = 0; i < table->count; i++) {
		if (for_pods(&table->options[i], commands) &&
		    strcmp(table->options[i].name, name) == 0)
			return &table->options[i];
	}
	return NULL;
}

static unsigned takers_of(const char *name)
{
	return (find(&config_options, COMMAND_APPLY, name) ? TAKER_RULES : 0) |
	       (find(&proxy_options, 1, name) ? TAKER_PROXY : 0);
}

const char *inject_settings_get(const struct inject_settings *s, const char *name)
{
	for (size_t i = 0; i < s->count; i++) {
		if (strcmp(s->items[i].name, name) == 0)
			return s->items[i].value;
	}
	return NULL;
}

static int check_value(const char *name, const char *value, struct err *e)
{
	if (!takers_of(name))
		return err_usage(e,
				 "neither sluice apply nor sluice-proxy has an option '%.64s' "
				 "that a pod can set: see their --help",
				 name);
	if (!*value)
		return err_usage(e, "%s: an empty value: leave it out", name);
	if (*value == '@')
		return err_usage(e, "%s: '%.64s': there are no files of yours in the container",
				 name, value);
	for (const char *p = value; *p; p++) {
		if (*p < ' ' || *p > '~')
			return err_usage(e, "%s: a value of printable ASCII, please", name);
	}
	/* One user runs the container; rules could take several. */
	if (strcmp(name, "proxy-uid") == 0 &&
	    (value[strspn(value, "0123456789")] || !strtoul(value, NULL, 10)))
		return err_usage(e,
				 "proxy-uid: '%.64s': one number above 0: the container runs as it",
				 value);
	return 0;
}

int inject_settings_add(struct inject_settings *s, const char *name, const char *value,
			struct err *e)
{
	int rc = check_value(name, value, e);

	if (rc < 0)
		return rc;
	for (size_t i = 0; i < s->count; i++) {
		if (strcmp(s->items[i].name, name) == 0) {
			s->items[i].value = value;
			return 0;
		}
	}
	if (s->count == INJECT_SETTINGS)
		return err_usage(e, "more than %d settings", INJECT_SETTINGS);
	s->items[s->count++] = (struct inject_setting){ name, value };
	return 0;
}

/* "--name=value" of all that @taker takes, behind the program's name. */
static size_t arguments(const struct inject_settings *s, enum taker taker, struct object_pool *pool,
			const char **argv)
{
	size_t argc = 0;

	argv[argc++] = "";
	for (size_t i = 0; i < s->count; i++) {
		const struct inject_setting *item = &s->items[i];

		if (takers_of(item->name) & taker)
			argv[argc++] = object_format(pool, "--%s=%s", item->name, item->value);
	}
	return argc;
}

int inject_settings_check(const struct inject_settings *s, struct err *e)
{
	const char *argv[INJECT_SETTINGS + 1];
	struct object_pool pool = OBJECT_POOL_INIT;
	struct proxy_config proxy;
	struct config rules;
	int argc, rc;

	argc = (int)arguments(s, TAKER_RULES, &pool, argv);
	config_init(&rules);
	rc = options_parse(&config_options, COMMAND_APPLY, argc, (char **)argv, NULL, &rules, NULL,
			   0, NULL, e);
	if (rc == 0)
		rc = config_freeze(&rules, e);
	config_fini(&rules);
	argc = (int)arguments(s, TAKER_PROXY, &pool, argv);
	proxy_config_init(&proxy);
	if (rc == 0)
		rc = options_parse(&proxy_options, 1, argc, (char **)argv, NULL, &proxy, NULL, 0,
				   NULL, e);
	if (rc == 0)
		rc = proxy_config_check(&proxy, e);
	object_pool_fini(&pool);
	return rc;
}

/* ---- The objects ---- */

struct build {
	struct object_pool *pool;
	const struct inject_options *options;
};

/* "1337", which is another if the option @name says so; without zeros before it, as in octal. */
static const char *number(struct build *b, const char *name, const char *fallback)
{
	const char *set = inject_settings_get(&b->options->settings, name);

	return set ? object_format(b->pool, "%lu", strtoul(set, NULL, 10)) : fallback;
}

static void add_number(struct build *b, struct object *in, const char *key, const char *name,
		       const char *fallback)
{
	object_plain(b->pool, in, key, number(b, name, fallback));
}

static bool is_set(const struct build *b, const char *name, const char *value)
{
	const char *set = inject_settings_get(&b->options->settings, name);

	return set && strcmp(set, value) == 0;
}

/* What the option is set to, if it is set at all. */
static void add_variable(struct build *b, struct object *env, const struct option *o)
{
	const char *value = inject_settings_get(&b->options->settings, o->name);
	struct object *item;
	char name[80];

	if (!value)
		return;
	options_env_name(o, name, sizeof(name));
	item = object_map(b->pool, env, NULL);
	object_text(b->pool, item, "name", object_format(b->pool, "%s", name));
	object_text(b->pool, item, "value", value);
}

static void add_variables(struct build *b, struct object *env, const struct option_table *table,
			  unsigned commands)
{
	for (size_t i = 0; i < table->count; i++) {
		if (for_pods(&table->options[i], commands))
			add_variable(b, env, &table->options[i]);
	}
}

/* A variable that the kubelet fills from a field of the pod. */
static void add_field(struct build *b, struct object *env, const char *name, const char *path)
{
	struct object *item = object_map(b->pool, env, NULL), *from;

	object_text(b->pool, item, "name", name);
	from = object_map(b->pool, item, "valueFrom");
	from = object_map(b->pool, from, "fieldRef");
	object_text(b->pool, from, "fieldPath", path);
}

static void add_service(struct build *b, struct object *env, const char *label)
{
	const struct inject_settings *s = &b->options->settings;

	if (!inject_settings_get(s, "service-namespace"))
		add_field(b, env, "SLUICE_SERVICE_NAMESPACE", "metadata.namespace");
	if (label && !inject_settings_get(s, "service-name"))
		add_field(b, env, "SLUICE_SERVICE_NAME",
			  object_format(b->pool, "metadata.labels['%s']", label));
}

static struct object *add_container(struct build *b, const char *name)
{
	const struct inject_options *o = b->options;
	struct object *c = object_map(b->pool, NULL, NULL);

	object_text(b->pool, c, "name", name);
	object_text(b->pool, c, "image", o->image);
	if (o->pull_policy)
		object_text(b->pool, c, "imagePullPolicy", o->pull_policy);
	return c;
}

/*
 * Neither runs as root. The first has its capability from its file, which takes that gaining
 * privileges is allowed; the proxy has and gains none, but to keep addresses.
 */
static void add_security(struct build *b, struct object *c, bool rules)
{
	struct object *s = object_map(b->pool, c, "securityContext"), *caps, *list;
	bool tproxy = is_set(b, "inbound-mode", "tproxy");
	bool legacy = is_set(b, "backend", "iptables");

	add_number(b, s, "runAsUser", "proxy-uid", "1337");
	add_number(b, s, "runAsGroup", "proxy-uid", "1337");
	object_plain(b->pool, s, "runAsNonRoot", "true");
	/* The lock of the legacy tables is a file, below /run. */
	object_plain(b->pool, s, "readOnlyRootFilesystem", rules && legacy ? "false" : "true");
	object_plain(b->pool, s, "allowPrivilegeEscalation", rules || tproxy ? "true" : "false");
	caps = object_map(b->pool, s, "capabilities");
	list = object_list(b->pool, caps, "drop");
	object_text(b->pool, list, NULL, "ALL");
	list = object_list(b->pool, caps, "add");
	if (rules)
		object_text(b->pool, list, NULL, "NET_ADMIN");
	if (rules ? legacy : tproxy)
		object_text(b->pool, list, NULL, "NET_RAW");
	s = object_map(b->pool, s, "seccompProfile");
	object_text(b->pool, s, "type", "RuntimeDefault");
}

static struct object *build_rules(struct build *b)
{
	struct object *c = add_container(b, INJECT_RULES), *list;

	list = object_list(b->pool, c, "command");
	object_text(b->pool, list, NULL, "sluice");
	object_text(b->pool, list, NULL, "apply");
	list = object_list(b->pool, c, "env");
	add_variables(b, list, &config_options, COMMAND_APPLY);
	add_security(b, c, true);
	return c;
}

static void add_probe(struct build *b, struct object *c, const char *name, const char *path,
		      const char *period, const char *failures)
{
	struct object *probe = object_map(b->pool, c, name);
	struct object *get = object_map(b->pool, probe, "httpGet");

	object_text(b->pool, get, "path", path);
	add_number(b, get, "port", "admin-port", "9901");
	object_plain(b->pool, probe, "periodSeconds", period);
	object_plain(b->pool, probe, "failureThreshold", failures);
}

static void add_resources(struct build *b, struct object *c)
{
	const struct inject_options *o = b->options;
	struct object *r = object_map(b->pool, c, "resources"), *map;

	map = object_map(b->pool, r, "requests");
	object_text(b->pool, map, "cpu", o->cpu_request);
	object_text(b->pool, map, "memory", o->memory_request);
	map = object_map(b->pool, r, "limits");
	object_text(b->pool, map, "memory", o->memory_limit);
}

/*
 * No readinessProbe: while the proxy is not ready connections go straight to the application, so
 * the pod is as ready as that is. The startupProbe of a sidecar holds back what comes after it.
 */
static struct object *build_proxy(struct build *b, const char *service_label)
{
	struct object *c = add_container(b, INJECT_PROXY), *list, *port;

	if (b->options->form == INJECT_SIDECAR)
		object_text(b->pool, c, "restartPolicy", "Always");
	list = object_list(b->pool, c, "command");
	object_text(b->pool, list, NULL, "sluice-proxy");
	list = object_list(b->pool, c, "env");
	add_service(b, list, service_label);
	add_variables(b, list, &proxy_options, 1);
	list = object_list(b->pool, c, "ports");
	port = object_map(b->pool, list, NULL);
	object_text(b->pool, port, "name", "sluice-admin");
	add_number(b, port, "containerPort", "admin-port", "9901");
	object_text(b->pool, port, "protocol", "TCP");
	if (b->options->form == INJECT_SIDECAR)
		add_probe(b, c, "startupProbe", "/ready", "1", "60");
	add_probe(b, c, "livenessProbe", "/live", "10", "3");
	add_resources(b, c);
	add_security(b, c, false);
	return c;
}

static struct object *build_annotations(struct build *b)
{
	struct object *map = object_map(b->pool, NULL, NULL);

	object_text(b->pool, map, "prometheus.io/scrape", "true");
	object_text(b->pool, map, "prometheus.io/port", number(b, "admin-port", "9901"));
	object_text(b->pool, map, "prometheus.io/path", "/metrics");
	return map;
}

int inject_spec_build(struct inject_spec *spec, struct object_pool *pool,
		      const struct inject_options *o, const char *service_label, struct err *e)
{
	struct build b = { .pool = pool, .options = o };

	spec->rules = build_rules(&b);
	spec->proxy = build_proxy(&b, service_label);
	spec->annotations = build_annotations(&b);
	return pool->failed ? err_set(e, -ENOMEM, "out of memory for the containers") : 0;
}
