// SPDX-License-Identifier: GPL-2.0-or-later
/* Options from one table: see options.h. */
#include "options.h"

#include <ctype.h>
#include <errno.h>
#include <string.h>

/* Where a value came from, for the error line. */
struct source {
	char name[80];	  /* "--proxy-uid" or "SLUICE_PROXY_UID" */
	bool environment; /* an empty value means unset */
};

void options_env_name(const struct option *o, char *out, size_t size)
{
	size_t len = (size_t)snprintf(out, size, "SLUICE_%s", o->name);

	for (size_t i = 0; i < len && i + 1 < size; i++)
		out[i] = out[i] == '-' ? '_' : (char)toupper((unsigned char)out[i]);
}

void options_cni_key(const struct option *o, char *out, size_t size)
{
	bool upper = false;
	size_t n = 0;

	for (const char *p = o->name; *p && n + 1 < size; p++) {
		if (*p == '-') {
			upper = true;
			continue;
		}
		out[n++] = upper ? (char)toupper((unsigned char)*p) : *p;
		upper = false;
	}
	if (size)
		out[n] = '\0';
}

static void *field_of(const struct option *o, void *config)
{
	return (char *)config + o->offset;
}

/* The items of one line or value, between commas. */
static int parse_items(const struct option *o, void *config, struct span value, struct err *e)
{
	struct span item;
	bool done = false;

	while (span_next(&value, ',', &item, &done)) {
		int rc;

		item = span_trim(item);
		if (!item.len)
			return err_usage(e, "an empty item: leave out the comma or the option");
		rc = o->parse(field_of(o, config), item, e);
		if (rc < 0)
			return rc;
	}
	return 0;
}

/* "@FILE": items on any number of lines; '#' begins a comment. */
static int parse_file(const struct option *o, void *config, const char *path, struct err *e)
{
	_cleanup_fclose_ FILE *f = fopen(path, "re");
	_cleanup_free_ char *line = NULL;
	unsigned number = 0;
	size_t capacity = 0;

	if (!f)
		return err_usage(e, "cannot read '%s': %s", path, strerror(errno));
	errno = 0;
	while (getline(&line, &capacity, f) >= 0) {
		struct span text = SPAN(line, strcspn(line, "#\r\n"));

		number++;
		text = span_trim(text);
		if (text.len && parse_items(o, config, text, e) < 0)
			return err_wrap(e, "file '%s', line %u", path, number);
	}
	if (ferror(f))
		return err_usage(e, "cannot read '%s': %s", path, strerror(errno));
	return 0;
}

static int parse_value(const struct option *o, void *config, const char *value,
		       const struct source *from, struct err *e)
{
	int rc;

	if (!*value && !from->environment)
		return err_usage(e, "%s: an empty value: give %s, or leave the option out",
				 from->name, o->arg);
	if (o->kind != OPTION_LIST)
		rc = o->parse(field_of(o, config), span_str(value), e);
	else if (value[0] == '@')
		rc = parse_file(o, config, value + 1, e);
	else
		rc = parse_items(o, config, span_str(value), e);
	return rc < 0 ? err_wrap(e, "%s", from->name) : 0;
}

static const struct option *find(const struct option_table *table, unsigned command,
				 struct span name, bool *elsewhere)
{
	for (size_t i = 0; i < table->count; i++) {
		const struct option *o = &table->options[i];

		if (!span_eq(span_str(o->name), name))
			continue;
		if (o->commands & command)
			return o;
		*elsewhere = true;
	}
	return NULL;
}

/* One argument that begins with "--"; moves *@i on when the value is the next argument. */
static int parse_flag(const struct option_table *table, unsigned command, int argc, char **argv,
		      int *i, bool *given, void *config, struct err *e)
{
	const char *arg = argv[*i], *equals = strchr(arg, '=');
	struct span name = SPAN(arg + 2, equals ? (size_t)(equals - arg - 2) : strlen(arg + 2));
	const char *value = equals ? equals + 1 : NULL;
	struct source from = { .environment = false };
	bool elsewhere = false;
	const struct option *o = find(table, command, name, &elsewhere);
	size_t index;

	if (!o)
		return err_usage(e, "--%.*s: %s: see --help", (int)MIN(name.len, 64u), name.ptr,
				 elsewhere ? "not an option of this command" : "unknown option");
	snprintf(from.name, sizeof(from.name), "--%s", o->name);
	index = (size_t)(o - table->options);
	if (given[index] && o->kind != OPTION_LIST)
		return err_usage(e, "%s: given twice", from.name);
	given[index] = true;
	if (o->kind == OPTION_FLAG && !value)
		value = "on";
	if (!value && *i + 1 == argc)
		return err_usage(e, "%s: the value is missing: give %s", from.name, o->arg);
	if (!value)
		value = argv[++*i];
	return parse_value(o, config, value, &from, e);
}

static const char *env_value(char **environ_list, const char *name)
{
	size_t len = strlen(name);

	for (char **v = environ_list; v && *v; v++) {
		if (strncmp(*v, name, len) == 0 && (*v)[len] == '=')
			return *v + len + 1;
	}
	return NULL;
}

static int parse_environment(const struct option_table *table, unsigned command,
			     char **environ_list, const bool *given, void *config, struct err *e)
{
	for (size_t i = 0; i < table->count; i++) {
		const struct option *o = &table->options[i];
		struct source from = { .environment = true };
		const char *value;
		int rc;

		if (given[i] || o->command_line_only || !(o->commands & command))
			continue;
		options_env_name(o, from.name, sizeof(from.name));
		value = env_value(environ_list, from.name);
		if (!value || !*value)
			continue;
		rc = parse_value(o, config, value, &from, e);
		if (rc < 0)
			return rc;
	}
	return 0;
}

int options_parse(const struct option_table *table, unsigned command, int argc, char **argv,
		  char **environ_list, void *config, const char **operands, size_t max_operands,
		  size_t *operand_count, struct err *e)
{
	_cleanup_free_ bool *given = calloc(table->count, sizeof(*given));
	bool only_operands = false;
	size_t n = 0;

	if (!given)
		return err_set(e, -ENOMEM, "out of memory for the options");
	for (int i = 1; i < argc; i++) {
		if (!only_operands && strcmp(argv[i], "--") == 0) {
			only_operands = true;
		} else if (!only_operands && strncmp(argv[i], "--", 2) == 0) {
			int rc = parse_flag(table, command, argc, argv, &i, given, config, e);

			if (rc < 0)
				return rc;
		} else if (!only_operands && argv[i][0] == '-' && argv[i][1]) {
			return err_usage(e, "%s: unknown option: options are long, see --help",
					 argv[i]);
		} else if (n == max_operands) {
			return err_usage(e, "'%s': unexpected argument: see --help", argv[i]);
		} else {
			operands[n++] = argv[i];
		}
	}
	if (operand_count)
		*operand_count = n;
	return parse_environment(table, command, environ_list, given, config, e);
}

/* Where the help's texts begin, and how wide a line gets. */
#define HELP_COLUMN 31
#define HELP_WIDTH  79

/* Prints the words of @text from @column on, wrapped; returns the column after the last. */
static int help_words(const char *text, int column, FILE *to)
{
	while (*text) {
		int len = (int)strcspn(text, " ");

		if (column + 1 + len > HELP_WIDTH) {
			fprintf(to, "\n%*s", HELP_COLUMN - 1, "");
			column = HELP_COLUMN - 1;
		}
		column += fprintf(to, " %.*s", len, text);
		text += len + (text[len] == ' ');
	}
	return column;
}

void options_help(const struct option_table *table, unsigned command, FILE *to)
{
	for (size_t i = 0; i < table->count; i++) {
		const struct option *o = &table->options[i];
		int column;

		if (!(o->commands & command))
			continue;
		column =
			fprintf(to, "  --%s%s%s", o->name, o->arg ? "=" : "", o->arg ? o->arg : "");
		if (column >= HELP_COLUMN)
			column = HELP_WIDTH;
		else
			column += fprintf(to, "%*s", HELP_COLUMN - 1 - column, "");
		column = help_words(o->help, column, to);
		if (o->fallback) {
			char text[160];

			snprintf(text, sizeof(text), "[%s]", o->fallback);
			help_words(text, column, to);
		}
		fputc('\n', to);
	}
}

/* Text for mdoc: a line must not begin with a dot or a quote, and backslashes are escaped. */
static void man_text(const char *text, FILE *to)
{
	if (*text == '.' || *text == '\'')
		fputs("\\&", to);
	for (; *text; text++) {
		if (*text == '\\')
			fputs("\\e", to);
		else if (*text == '-')
			fputs("\\-", to);
		else
			fputc(*text, to);
	}
}

void options_man(const struct option_table *table, FILE *to)
{
	char env[80], key[80];

	fputs(".Bl -tag -width Ds\n", to);
	for (size_t i = 0; i < table->count; i++) {
		const struct option *o = &table->options[i];

		fputs(".It Fl Fl ", to);
		man_text(o->name, to);
		if (o->arg)
			fprintf(to, " Ns = Ns Ar %s", o->arg);
		fputc('\n', to);
		man_text(o->help, to);
		fputs(".\n", to);
		if (o->fallback) {
			fputs("Default: ", to);
			man_text(o->fallback, to);
			fputs(".\n", to);
		}
		if (o->command_line_only)
			continue;
		options_env_name(o, env, sizeof(env));
		options_cni_key(o, key, sizeof(key));
		fprintf(to, "Environment: %s; CNI key: %s.\n", env, key);
	}
	fputs(".El\n", to);
}
