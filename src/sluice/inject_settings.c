// SPDX-License-Identifier: GPL-2.0-or-later
/* Options that a pod can set: see inject_spec.h. */
#include "inject_spec.h"

#include "config.h"
#include "proxy_config.h"

#include <errno.h>

/* Which of our containers takes an option. */
enum taker {
	TAKER_RULES = 1,
	TAKER_PROXY = 2,
};

bool inject_settings_may(const struct option *o, unsigned commands)
{
	return (o->commands & commands) && !o->command_line_only && o->kind != OPTION_FILE &&
	       !o->stands_alone;
}

static const struct option *find(const struct option_table *table, unsigned commands,
				 const char *name)
{
	for (size_t i = 0; i < table->count; i++) {
		if (inject_settings_may(&table->options[i], commands) &&
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

static bool is_user(const char *value)
{
	unsigned long user = strtoul(value, NULL, 10);

	return !value[strspn(value, "0123456789")] && user > 0 && user <= INJECT_USER_MAX;
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
	if (strcmp(name, "proxy-uid") == 0 && !is_user(value))
		return err_usage(e,
				 "proxy-uid: '%.64s': one number from 1 to %u: the container runs "
				 "as it",
				 value, INJECT_USER_MAX);
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
	proxy_config_fini(&proxy);
	object_pool_fini(&pool);
	return rc;
}
