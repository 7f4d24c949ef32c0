// SPDX-License-Identifier: GPL-2.0-or-later
/* What a pod is given: see inject_spec.h. */
#include "inject_spec.h"

#include "config.h"
#include "proxy_config.h"

#include <errno.h>

const char *const inject_off_words[INJECT_OFF_WORDS] = { "false", "disabled" };
const char *const inject_service_labels[INJECT_SERVICE_LABELS] = { "app.kubernetes.io/name",
								   "app" };

struct build {
	struct object_pool *pool;
	const struct inject_options *options;
	bool for_policy;
};

/* Options that objects depend on, and the variables of the policy that tell. */
struct number {
	const char *option, *fallback, *variable;
	unsigned max, digits; /* from 1 to that, and how many digits it has */
};

struct choice {
	const char *option, *value, *variable;
};

static const struct number user = { "proxy-uid", "1337", "proxyUid", INJECT_USER_MAX, 10 };
static const struct number admin_port = { "admin-port", "9901", "adminPort", 65535, 5 };
static const struct choice tproxy = { "inbound-mode", "tproxy", "keepsAddresses" };
static const struct choice legacy = { "backend", "iptables", "legacyTables" };
static const struct choice fails_closed = { "fail", "closed", "failsClosed" };

/* As the option says, if it is set; without zeros before it, as in octal. */
static const char *number(struct build *b, const struct number *n)
{
	const char *set = inject_settings_get(&b->options->settings, n->option);

	return set ? object_format(b->pool, "%lu", strtoul(set, NULL, 10)) : n->fallback;
}

static void add_number(struct build *b, struct object *in, const char *key, const struct number *n)
{
	struct object *o = object_plain(b->pool, in, key, number(b, n));

	if (o && b->for_policy)
		o->cel = object_format(b->pool, "variables.%s", n->variable);
}

static bool is_chosen(const struct build *b, const struct choice *c)
{
	const char *set = inject_settings_get(&b->options->settings, c->option);

	return set && strcmp(set, c->value) == 0;
}

/* True where the choice was made; @or_not: where it was not. */
static void add_choice(struct build *b, struct object *in, const char *key, const struct choice *c,
		       bool or_not)
{
	struct object *o =
		object_plain(b->pool, in, key, is_chosen(b, c) != or_not ? "true" : "false");

	if (o && b->for_policy)
		o->cel = object_format(b->pool, "%svariables.%s", or_not ? "!" : "", c->variable);
}

static void add_text_if(struct build *b, struct object *list, const char *text,
			const struct choice *c)
{
	struct object *o;

	if (!b->for_policy && !is_chosen(b, c))
		return;
	o = object_text(b->pool, list, NULL, text);
	if (o && b->for_policy)
		o->cel_if = object_format(b->pool, "variables.%s", c->variable);
}

static void add_value(struct build *b, struct object *env, const char *name, const char *value)
{
	struct object *item = object_map(b->pool, env, NULL);

	object_text(b->pool, item, "name", name);
	object_text(b->pool, item, "value", value);
}

/* A variable that the kubelet fills from a field of the pod, empty where that is not there: its
 * path. */
static struct object *add_field(struct build *b, struct object *env, const char *name,
				const char *path)
{
	struct object *item = object_map(b->pool, env, NULL), *from;

	/* Of a component there are dozens. */
	if (item)
		item->on_one_line = b->options->component;
	object_text(b->pool, item, "name", name);
	from = object_map(b->pool, item, "valueFrom");
	from = object_map(b->pool, from, "fieldRef");
	return object_text(b->pool, from, "fieldPath", path);
}

static void add_annotation(struct build *b, struct object *env, const char *name,
			   const char *option)
{
	add_field(b, env, name,
		  object_format(b->pool, "metadata.annotations['" INJECT_PREFIX "%s']", option));
}

/* Options on which more depends than variables, and those that add_service(), build_rules() add. */
static bool is_variable_alone(const char *name)
{
	static const char *const others[] = { "proxy-uid",   "admin-port",   "inbound-mode",
					      "backend",     "service-name", "service-namespace",
					      "node-address" };

	for (size_t i = 0; i < ARRAY_SIZE(others); i++) {
		if (strcmp(name, others[i]) == 0)
			return false;
	}
	return true;
}

/* The kubelet puts other variables in the place of $(NAME), and a dollar in the place of two. */
static const char *literal(struct build *b, const char *value)
{
	const char *text = "", *dollar;

	while ((dollar = strchr(value, '$'))) {
		text = object_format(b->pool, "%s%.*s$$", text, (int)(dollar - value), value);
		value = dollar + 1;
	}
	return object_format(b->pool, "%s%s", text, value);
}

/* What the option is set to, or what a pod's annotation will say, for those who do not know yet. */
static void add_variable(struct build *b, struct object *env, const struct option *o)
{
	const char *value = inject_settings_get(&b->options->settings, o->name), *name;
	char text[80];

	options_env_name(o, text, sizeof(text));
	name = object_format(b->pool, "%s", text);
	if (value)
		add_value(b, env, name, literal(b, value));
	else if (b->options->component && is_variable_alone(o->name))
		add_annotation(b, env, name, o->name);
}

/* The same in CEL, of all options in the policy's variable @names. */
static void add_variables_of(struct build *b, struct object *env, const char *names)
{
	struct object *item = object_map(b->pool, env, NULL);
	struct object *name = object_text(b->pool, item, "name", "");
	struct object *value = object_text(b->pool, item, "value", "");

	if (!item || !name || !value)
		return;
	item->cel_each =
		object_format(b->pool, "variables.%s.filter(o, o in variables.settings)", names);
	name->cel = "'SLUICE_' + each.upperAscii().replace('-', '_')";
	value->cel = "variables.settings[each].replace('$', '$$')"; /* as literal() */
}

static void add_variables(struct build *b, struct object *env, const struct option_table *table,
			  unsigned commands, const char *names)
{
	if (b->for_policy) {
		add_variables_of(b, env, names);
		return;
	}
	for (size_t i = 0; i < table->count; i++) {
		if (inject_settings_may(&table->options[i], commands))
			add_variable(b, env, &table->options[i]);
	}
}

/* The same of a pod that is not known yet: the first of these that is not empty. */
static void add_any_service(struct build *b, struct object *env)
{
	const struct inject_settings *s = &b->options->settings;

	if (!inject_settings_get(s, "service-namespace")) {
		add_annotation(b, env, "POD_SERVICE_NAMESPACE", "service-namespace");
		add_field(b, env, "POD_NAMESPACE", "metadata.namespace");
		add_value(b, env, "SLUICE_SERVICE_NAMESPACE",
			  "$(POD_SERVICE_NAMESPACE),$(POD_NAMESPACE)");
	}
	if (!inject_settings_get(s, "service-name")) {
		add_annotation(b, env, "POD_SERVICE_NAME", "service-name");
		add_field(b, env, "POD_LABEL_NAME", "metadata.labels['app.kubernetes.io/name']");
		add_field(b, env, "POD_LABEL_APP", "metadata.labels['app']");
		add_value(b, env, "SLUICE_SERVICE_NAME",
			  "$(POD_SERVICE_NAME),$(POD_LABEL_NAME),$(POD_LABEL_APP)");
	}
}

/* Unless the options say it. */
static void add_service(struct build *b, struct object *env, const char *label)
{
	const struct inject_settings *s = &b->options->settings;
	struct object *path;

	if (b->options->component) {
		add_any_service(b, env);
		return;
	}
	if (b->for_policy || !inject_settings_get(s, "service-namespace")) {
		path = add_field(b, env, "SLUICE_SERVICE_NAMESPACE", "metadata.namespace");
		if (path && b->for_policy)
			env->last->cel_if = "!('service-namespace' in variables.settings)";
	}
	if (!b->for_policy && (!label || inject_settings_get(s, "service-name")))
		return;
	path = add_field(b, env, "SLUICE_SERVICE_NAME",
			 object_format(b->pool, "metadata.labels['%s']", label ? label : ""));
	if (!path || !b->for_policy)
		return;
	path->cel = "\"metadata.labels['\" + variables.serviceLabel + \"']\"";
	env->last->cel_if =
		"!('service-name' in variables.settings) && variables.serviceLabel != ''";
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

	add_number(b, s, "runAsUser", &user);
	add_number(b, s, "runAsGroup", &user);
	object_plain(b->pool, s, "runAsNonRoot", "true");
	/* The lock of the legacy tables is a file, below /run. */
	if (rules)
		add_choice(b, s, "readOnlyRootFilesystem", &legacy, true);
	else
		object_plain(b->pool, s, "readOnlyRootFilesystem", "true");
	if (rules)
		object_plain(b->pool, s, "allowPrivilegeEscalation", "true");
	else
		add_choice(b, s, "allowPrivilegeEscalation", &tproxy, false);
	caps = object_map(b->pool, s, "capabilities");
	list = object_list(b->pool, caps, "drop");
	object_text(b->pool, list, NULL, "ALL");
	list = object_list(b->pool, caps, "add");
	if (rules)
		object_text(b->pool, list, NULL, "NET_ADMIN");
	add_text_if(b, list, "NET_RAW", rules ? &legacy : &tproxy);
	s = object_map(b->pool, s, "seccompProfile");
	object_text(b->pool, s, "type", "RuntimeDefault");
}

static struct object *add_quantities(struct build *b, struct object *in, const char *key)
{
	struct object *map = object_map(b->pool, in, key);

	if (map)
		map->free_keys = true;
	return map;
}

static void add_resources(struct build *b, struct object *c)
{
	const struct inject_options *o = b->options;
	struct object *r = object_map(b->pool, c, "resources"), *map;

	map = add_quantities(b, r, "requests");
	object_text(b->pool, map, "cpu", o->cpu_request);
	object_text(b->pool, map, "memory", o->memory_request);
	map = add_quantities(b, r, "limits");
	if (o->cpu_limit)
		object_text(b->pool, map, "cpu", o->cpu_limit);
	object_text(b->pool, map, "memory", o->memory_limit);
}

/*
 * A pod with hostNetwork is left alone by all who can see that it has it. Should one slip through,
 * `sluice apply` finds the node's address to be its own, and refuses to redirect the node.
 */
static void add_node(struct build *b, struct object *env)
{
	if (!b->for_policy && inject_settings_get(&b->options->settings, "node-address"))
		return;
	add_field(b, env, "SLUICE_NODE_ADDRESS", "status.hostIP");
	if (env && env->last && b->for_policy)
		env->last->cel_if = "!('node-address' in variables.settings)";
}

static struct object *build_rules(struct build *b)
{
	struct object *c = add_container(b, INJECT_RULES), *list;

	list = object_list(b->pool, c, "command");
	object_text(b->pool, list, NULL, "sluice");
	object_text(b->pool, list, NULL, "apply");
	list = object_list(b->pool, c, "env");
	add_node(b, list);
	add_variables(b, list, &config_options, COMMAND_APPLY, "forRules");
	add_resources(b, c);
	add_security(b, c, true);
	return c;
}

static struct object *add_probe(struct build *b, struct object *c, const char *name,
				const char *path, const char *period, const char *timeout,
				const char *failures)
{
	struct object *probe = object_map(b->pool, c, name);
	struct object *get = object_map(b->pool, probe, "httpGet");

	object_text(b->pool, get, "path", path);
	add_number(b, get, "port", &admin_port);
	object_plain(b->pool, probe, "periodSeconds", period);
	object_plain(b->pool, probe, "timeoutSeconds", timeout);
	object_plain(b->pool, probe, "failureThreshold", failures);
	return probe;
}

/* What comes after a sidecar waits for it, where connections would fail without it. */
static void add_startup_probe(struct build *b, struct object *c)
{
	struct object *probe;

	if (b->options->form != INJECT_SIDECAR)
		return;
	if (!b->for_policy && !is_chosen(b, &fails_closed))
		return;
	probe = add_probe(b, c, "startupProbe", "/ready", "1", "1", "60");
	if (probe && b->for_policy)
		probe->cel_if = object_format(b->pool, "variables.%s", fails_closed.variable);
}

/*
 * No readinessProbe: while the proxy is not ready connections go straight to the application, so
 * the pod is as ready as that is. Nor does anything wait for the proxy, unless without it
 * connections fail; the kubelet takes a second to start what comes after a sidecar, and the proxy a
 * hundredth of it, so even the first connections are measured. A restart resets what is open, and a
 * worker that hangs is replaced by its parent within seconds: the livenessProbe has patience with a
 * busy node.
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
	add_variables(b, list, &proxy_options, 1, "forProxy");
	list = object_list(b->pool, c, "ports");
	port = object_map(b->pool, list, NULL);
	object_text(b->pool, port, "name", "sluice-admin");
	add_number(b, port, "containerPort", &admin_port);
	object_text(b->pool, port, "protocol", "TCP");
	add_startup_probe(b, c);
	add_probe(b, c, "livenessProbe", "/live", "10", "5", "6");
	add_resources(b, c);
	add_security(b, c, false);
	return c;
}

static struct object *build_annotations(struct build *b)
{
	struct object *map = object_map(b->pool, NULL, NULL), *port;

	object_text(b->pool, map, INJECT_SCRAPE "scrape", "true");
	port = object_text(b->pool, map, INJECT_SCRAPE "port", number(b, &admin_port));
	if (port && b->for_policy)
		port->cel = object_format(b->pool, "string(variables.%s)", admin_port.variable);
	object_text(b->pool, map, INJECT_SCRAPE "path", "/metrics");
	return map;
}

static int build(struct build *b, struct inject_spec *spec, const char *service_label,
		 struct err *e)
{
	spec->rules = build_rules(b);
	spec->proxy = build_proxy(b, service_label);
	spec->annotations = build_annotations(b);
	return b->pool->failed ? err_set(e, -ENOMEM, "out of memory for the containers") : 0;
}

int inject_spec_build(struct inject_spec *spec, struct object_pool *pool,
		      const struct inject_options *o, const char *service_label, struct err *e)
{
	struct build b = { .pool = pool, .options = o };

	return build(&b, spec, service_label, e);
}

/* ---- The policy's variables ---- */

static void add_expression(struct build *b, struct object *list, const char *name,
			   const char *expression)
{
	struct object *item = object_map(b->pool, list, NULL);

	object_text(b->pool, item, "name", name);
	object_text(b->pool, item, "expression", expression);
}

/* @o as an expression of its own. */
static const char *expression_of(struct build *b, const struct object *o)
{
	_cleanup_free_ char *text = NULL;
	size_t len = 0;
	FILE *to = open_memstream(&text, &len);

	if (!to) {
		b->pool->failed = true;
		return "";
	}
	object_print_cel(o, "", 0, to);
	b->pool->failed |= fclose(to) == EOF;
	return b->pool->failed ? "" : object_format(b->pool, "%s", text);
}

/* The names of all options that a pod can set and these commands take, in the table's order. */
static const char *names_of(struct build *b, const struct option_table *table, unsigned commands)
{
	const char *line = "[", *names = "";

	for (size_t i = 0; i < table->count; i++) {
		if (!inject_settings_may(&table->options[i], commands))
			continue;
		if (strlen(line) > 90) {
			names = object_format(b->pool, "%s%s\n", names, line);
			line = "";
		}
		line = object_format(b->pool, "%s%s'%s',", line, *line && line[1] ? " " : "",
				     table->options[i].name);
	}
	/* But for the last comma. */
	return object_format(b->pool, "%s%.*s]", names, (int)strlen(line) - 1, line);
}

/* In the classic form, unless it is set: see INJECT_GRACE_DEFAULT. Empty is not set. */
static void add_grace(struct build *b, struct object *map)
{
	static const char grace[] = "object.spec.?terminationGracePeriodSeconds.orValue(0)";
	struct object *value;

	if (b->options->form != INJECT_CLASSIC ||
	    inject_settings_get(&b->options->settings, "drain-timeout"))
		return;
	value = object_text(b->pool, map, "drain-timeout", "");
	if (value)
		value->cel =
			object_format(b->pool, "(%s > %u && %s <= %u) ?\n    string(%s) + 's' : ''",
				      grace, INJECT_GRACE_DEFAULT, grace, INJECT_GRACE_MAX, grace);
}

static const char *chosen(struct build *b)
{
	const struct inject_settings *s = &b->options->settings;
	struct object *map = object_map(b->pool, NULL, NULL);

	if (!map)
		return "";
	map->free_keys = true;
	for (size_t i = 0; i < s->count; i++)
		object_text(b->pool, map, s->items[i].name, s->items[i].value);
	add_grace(b, map);
	return expression_of(b, map);
}

/* An empty annotation takes back what was chosen for all. */
#define SETTING                                                 \
	"variables.annotations[?'" INJECT_PREFIX "' + option]." \
	"orValue(variables.chosen[?option].orValue(''))"

static const char *service_label(struct build *b)
{
	const char *otherwise = "''";

	for (size_t i = INJECT_SERVICE_LABELS; i-- > 0;) {
		const char *label = inject_service_labels[i];

		otherwise = object_format(b->pool,
					  "variables.labels[?'%s'].orValue('') != '' ? '%s' : %s",
					  label, label, otherwise);
	}
	return otherwise;
}

/* Whether the text in @value is such a number. No more digits are read than a number has. */
static const char *is_number(struct build *b, const struct number *n, const char *value)
{
	return object_format(b->pool, "%s.matches('^0*[1-9][0-9]{0,%u}$') && int(%s) <= %u", value,
			     n->digits - 1, value, n->max);
}

/*
 * The API server would refuse the pod for a user or a port that is none, or fail. So what is no
 * number, or too large a one, the programs refuse, each with a line that says so.
 */
static void add_variable_number(struct build *b, struct object *list, const struct number *n)
{
	const char *value =
		object_format(b->pool, "variables.settings[?'%s'].orValue('')", n->option);

	add_expression(b, list, n->variable,
		       object_format(b->pool, "%s ?\n  int(%s) : %s", is_number(b, n, value), value,
				     n->fallback));
}

/*
 * `sluice apply` takes several users, of any number. One alone runs the container, and if that is
 * not whom the rules are for, the proxy's own connections go to the proxy: it is to refuse them.
 */
static void add_settings(struct build *b, struct object *list)
{
	add_expression(b, list, "given",
		       "(variables.forRules + variables.forProxy.filter(o, !(o in "
		       "variables.forRules)))\n"
		       "  .transformMapEntry(i, option,\n"
		       "    " SETTING " != '',\n"
		       "    {option: " SETTING "})");
	add_expression(b, list, "settings",
		       object_format(b->pool,
				     "variables.given.transformMap(option, value,\n"
				     "  option != '%s' || (%s) ? value :\n"
				     "    value + ' (not one user from 1 to %u)')",
				     user.option, is_number(b, &user, "value"), user.max));
}

static void add_variable_choice(struct build *b, struct object *list, const struct choice *c)
{
	add_expression(b, list, c->variable,
		       object_format(b->pool, "variables.settings[?'%s'].orValue('') == '%s'",
				     c->option, c->value));
}

static struct object *build_variables(struct build *b)
{
	struct object *list = object_list(b->pool, NULL, NULL);

	add_expression(b, list, "forRules", names_of(b, &config_options, COMMAND_APPLY));
	add_expression(b, list, "forProxy", names_of(b, &proxy_options, 1));
	add_expression(b, list, "chosen", chosen(b));
	add_settings(b, list);
	add_variable_number(b, list, &user);
	add_variable_number(b, list, &admin_port);
	add_variable_choice(b, list, &tproxy);
	add_variable_choice(b, list, &legacy);
	if (b->options->form == INJECT_SIDECAR)
		add_variable_choice(b, list, &fails_closed);
	add_expression(b, list, "serviceLabel", service_label(b));
	return list;
}

int inject_spec_build_policy(struct inject_spec *spec, struct object **variables,
			     struct object_pool *pool, const struct inject_options *o,
			     struct err *e)
{
	struct build b = { .pool = pool, .options = o, .for_policy = true };

	*variables = build_variables(&b);
	return build(&b, spec, NULL, e);
}
