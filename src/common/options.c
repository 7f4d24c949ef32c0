// SPDX-License-Identifier: GPL-2.0-or-later
/* Options from one table: see options.h. */
#include "options.h"

#include <ctype.h>
#include <errno.h>
#include <string.h>

const char *const option_source_names[] = { "default", "flag", "environment", "file" };
_Static_assert(ARRAY_SIZE(option_source_names) == OPTION_SOURCE_COUNT, "a name for each source");

/* Options being read. */
struct reading {
	const struct option_table *table;
	unsigned command;
	void *config;
	bool *given;	  /* owned; of each option: by an earlier source, or by this one already */
	const char *file; /* the configuration file; NULL: none */
	char file_from[80];	   /* what named it */
	bool alone;		   /* an option that stands alone was given */
	bool script_names;	   /* variables of the script count, too */
	enum option_source source; /* being read */
	struct option_told *told;  /* of each option; NULL: nobody asks */
};

void options_env_name(const struct option *o, char *out, size_t size)
{
	size_t len = (size_t)snprintf(out, size, "SLUICE_%s", o->name);

	for (size_t i = 0; i < len && i + 1 < size; i++)
		out[i] = out[i] == '-' ? '_' : (char)toupper((unsigned char)out[i]);
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

/* A file that is read line by line. */
struct lines {
	const char *path;
	FILE *file;
	char *text; /* owned: getline()'s */
	size_t capacity;
	unsigned number; /* of the line that was read last */
};

static int lines_init(struct lines *l, const char *path, struct err *e)
{
	*l = (struct lines){ .path = path, .file = fopen(path, "re") };
	return l->file ? 0 : err_usage(e, "cannot read '%s': %s", path, strerror(errno));
}

static void lines_fini(struct lines *l)
{
	if (l->file)
		fclose(l->file);
	free(l->text);
}

/* The next line that is more than blanks and a comment. 1, 0 at the end, or a usage error. */
static int lines_next(struct lines *l, struct span *line, struct err *e)
{
	ssize_t len;

	while ((len = getline(&l->text, &l->capacity, l->file)) >= 0) {
		l->number++;
		/* What is behind it would be left out, and nobody told. */
		if (memchr(l->text, '\0', (size_t)len))
			return err_usage(e, "file '%s', line %u: a NUL byte: this is no text",
					 l->path, l->number);
		*line = span_trim(SPAN(l->text, strcspn(l->text, "#\r\n")));
		if (line->len)
			return 1;
	}
	return ferror(l->file) ? err_usage(e, "cannot read '%s': %s", l->path, strerror(errno)) : 0;
}

/* "@FILE": items on any number of lines; '#' begins a comment. */
static int parse_file(const struct option *o, void *config, const char *path, struct err *e)
{
	struct lines l;
	struct span line;
	bool any = false;
	int rc = lines_init(&l, path, e);

	while (rc == 0 && (rc = lines_next(&l, &line, e)) > 0) {
		any = true;
		rc = parse_items(o, config, line, e);
		if (rc < 0)
			err_wrap(e, "file '%s', line %u", path, l.number);
	}
	/* No item is what a list has that was not given: with includes, everything. */
	if (rc == 0 && !any)
		rc = err_usage(e, "file '%s' holds no values", path);
	lines_fini(&l);
	return rc;
}

/* Notes what was given for @o. */
static int tell(const struct reading *r, const struct option *o, const char *value, struct err *e)
{
	struct option_told *t = r->told ? &r->told[o - r->table->options] : NULL;
	char *text = NULL;

	if (!t)
		return 0;
	if (asprintf(&text, "%s%s%s", t->text ? t->text : "", t->text ? "," : "", value) < 0)
		return err_set(e, -ENOMEM, "out of memory for the options");
	free(t->text);
	*t = (struct option_told){ .source = r->source, .text = text };
	return 0;
}

/* @from: "--proxy-uid" or "SLUICE_PROXY_UID", for the error line. */
static int parse_value(struct reading *r, const struct option *o, const char *value,
		       const char *from, struct err *e)
{
	int rc = 0;

	if (!*value)
		return err_usage(e, "%s: an empty value: give %s, or leave the option out", from,
				 o->arg);
	r->alone |= o->stands_alone;
	r->script_names |= o->reads_script_names;
	if (o->kind == OPTION_FILE) {
		r->file = value;
		snprintf(r->file_from, sizeof(r->file_from), "%s", from);
	} else if (o->kind != OPTION_LIST) {
		rc = o->parse(field_of(o, r->config), span_str(value), e);
	} else if (value[0] == '@') {
		rc = parse_file(o, r->config, value + 1, e);
	} else {
		rc = parse_items(o, r->config, span_str(value), e);
	}
	return rc < 0 ? err_wrap(e, "%s", from) : tell(r, o, value, e);
}

/* The option of that name and, if there can be more of the same name, of the command. */
static const struct option *find(const struct option_table *table, unsigned command,
				 struct span name)
{
	const struct option *elsewhere = NULL;

	for (size_t i = 0; i < table->count; i++) {
		const struct option *o = &table->options[i];

		if (!span_eq(span_str(o->name), name))
			continue;
		if (o->commands & command)
			return o;
		elsewhere = o;
	}
	return elsewhere;
}

/* Marks @o as given; an error when it was before and is no list. */
static int mark_given(struct reading *r, const struct option *o, const char *from, struct err *e)
{
	bool *given = &r->given[o - r->table->options];

	if (*given && o->kind != OPTION_LIST && o->kind != OPTION_EACH)
		return err_usage(e, "%s: given twice", from);
	*given = true;
	return 0;
}

/* One argument that begins with "--"; moves *@i on when the value is the next argument. */
static int parse_flag(struct reading *r, int argc, char **argv, int *i, struct err *e)
{
	const char *arg = argv[*i], *equals = strchr(arg, '=');
	struct span name = SPAN(arg + 2, equals ? (size_t)(equals - arg - 2) : strlen(arg + 2));
	const struct option *o = find(r->table, r->command, name);
	const char *value = equals ? equals + 1 : NULL;
	char from[80];
	int rc;

	if (!o || !(o->commands & r->command))
		return err_usage(e, "--%.*s: %s: see --help", (int)MIN(name.len, 64u), name.ptr,
				 o ? "not an option of this command" : "unknown option");
	snprintf(from, sizeof(from), "--%s", o->name);
	rc = mark_given(r, o, from, e);
	if (rc < 0)
		return rc;
	if (o->kind == OPTION_FLAG && !value)
		value = "on";
	if (!value && *i + 1 == argc)
		return err_usage(e, "%s: the value is missing: give %s", from, o->arg);
	if (!value)
		value = argv[++*i];
	return parse_value(r, o, value, from, e);
}

/*
 * Kubernetes tells every container of each Service of its namespace by variables that are made of
 * the Service's name, as docker's links were: for one called sluice-admin there is
 * SLUICE_ADMIN_PORT=tcp://10.96.0.7:9901. Nobody meant it for us.
 */
static bool is_service_link(const char *name, const char *value)
{
	static const char *const schemes[] = { "tcp://", "udp://", "sctp://" };
	static const char end[] = "_PORT";
	size_t len = strlen(name);

	if (len < strlen(end) || strcmp(name + len - strlen(end), end) != 0)
		return false;
	for (size_t i = 0; i < ARRAY_SIZE(schemes); i++) {
		if (strncmp(value, schemes[i], strlen(schemes[i])) == 0)
			return true;
	}
	return false;
}

/* NULL: unset, which an empty one is as well. */
static const char *env_value(char **environ_list, const char *name)
{
	size_t len = strlen(name);

	for (char **v = environ_list; v && *v; v++) {
		if (strncmp(*v, name, len) == 0 && (*v)[len] == '=') {
			const char *value = *v + len + 1;

			return *value && !is_service_link(name, value) ? value : NULL;
		}
	}
	return NULL;
}

/* A script's variable, whose lists may have blanks between their items. */
static int parse_script_variable(struct reading *r, const struct option *o, const char *value,
				 struct err *e)
{
	_cleanup_free_ char *text = strdup(value);
	int rc = 0;

	if (!text)
		return err_set(e, -ENOMEM, "out of memory for the options");
	if (o->kind != OPTION_LIST)
		return parse_value(r, o, text, o->script_name, e);
	for (char *rest = text, *item; rc == 0 && (item = strsep(&rest, " \t"));) {
		if (*item)
			rc = parse_value(r, o, item, o->script_name, e);
	}
	return rc;
}

static int parse_environment(struct reading *r, char **environ_list, struct err *e)
{
	for (size_t i = 0; i < r->table->count; i++) {
		const struct option *o = &r->table->options[i];
		const char *value;
		char from[80];
		int rc;

		if (r->given[i] || o->command_line_only || !(o->commands & r->command))
			continue;
		options_env_name(o, from, sizeof(from));
		value = env_value(environ_list, from);
		if (value) {
			rc = parse_value(r, o, value, from, e);
		} else if (r->script_names && o->script_name) {
			value = env_value(environ_list, o->script_name);
			if (!value)
				continue;
			rc = parse_script_variable(r, o, value, e);
		} else {
			continue;
		}
		r->given[i] = true;
		if (rc < 0)
			return rc;
	}
	return 0;
}

/* "name = value" of a file. @before: what the command line and the environment gave. */
static int parse_setting(struct reading *r, const bool *before, struct span line, struct err *e)
{
	const char *equals = memchr(line.ptr, '=', line.len);
	const struct option *o;
	char name[80], *value;
	struct span text;
	int rc;

	if (!equals)
		return err_usage(e, "'%.*s' is no setting: write NAME = VALUE",
				 (int)MIN(line.len, 64u), line.ptr);
	text = span_trim(SPAN(line.ptr, (size_t)(equals - line.ptr)));
	snprintf(name, sizeof(name), "%.*s", (int)MIN(text.len, 64u), text.ptr);
	o = find(r->table, r->command, text);
	if (!o)
		return err_usage(e, "%s: unknown option", name);
	if (o->command_line_only || o->kind == OPTION_FILE)
		return err_usage(e, "%s: not an option for a file", name);
	if (!(o->commands & r->command) || before[o - r->table->options])
		return 0;
	rc = mark_given(r, o, name, e);
	if (rc < 0)
		return rc;
	text = span_trim(SPAN(equals + 1, line.len - (size_t)(equals + 1 - line.ptr)));
	value = strndup(text.ptr, text.len);
	if (!value)
		return err_set(e, -ENOMEM, "out of memory for the options");
	rc = parse_value(r, o, value, name, e);
	free(value);
	return rc;
}

static int parse_settings(struct reading *r, const bool *before, struct err *e)
{
	struct lines l;
	struct span line;
	int rc = lines_init(&l, r->file, e);

	while (rc == 0 && (rc = lines_next(&l, &line, e)) > 0) {
		rc = parse_setting(r, before, line, e);
		if (rc < 0)
			err_wrap(e, "file '%s', line %u", r->file, l.number);
	}
	lines_fini(&l);
	return rc;
}

/* The configuration file, for what is unset still. */
static int parse_config_file(struct reading *r, struct err *e)
{
	size_t size = r->table->count * sizeof(*r->given);
	_cleanup_free_ bool *before = malloc(size);

	if (!before)
		return err_set(e, -ENOMEM, "out of memory for the options");
	memcpy(before, r->given, size);
	return parse_settings(r, before, e) < 0 ? err_wrap(e, "%s", r->file_from) : 0;
}

int options_parse(const struct option_table *table, unsigned command, int argc, char **argv,
		  char **environ_list, void *config, const char **operands, size_t max_operands,
		  size_t *operand_count, struct err *e)
{
	return options_parse_told(table, command, argc, argv, environ_list, config, operands,
				  max_operands, operand_count, NULL, e);
}

void options_told_fini(const struct option_table *table, struct option_told *told)
{
	for (size_t i = 0; told && i < table->count; i++)
		free(told[i].text);
}

int options_parse_told(const struct option_table *table, unsigned command, int argc, char **argv,
		       char **environ_list, void *config, const char **operands,
		       size_t max_operands, size_t *operand_count, struct option_told *told,
		       struct err *e)
{
	_cleanup_free_ bool *given = calloc(table->count, sizeof(*given));
	struct reading r = { .table = table,
			     .command = command,
			     .config = config,
			     .given = given,
			     .source = OPTION_FROM_FLAG,
			     .told = told };
	bool only_operands = false;
	size_t n = 0;
	int rc = 0;

	if (!given)
		return err_set(e, -ENOMEM, "out of memory for the options");
	for (int i = 1; i < argc; i++) {
		if (!only_operands && strcmp(argv[i], "--") == 0) {
			only_operands = true;
		} else if (!only_operands && strncmp(argv[i], "--", 2) == 0) {
			rc = parse_flag(&r, argc, argv, &i, e);
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
	r.source = OPTION_FROM_ENVIRONMENT;
	if (!r.alone)
		rc = parse_environment(&r, environ_list, e);
	r.source = OPTION_FROM_FILE;
	if (rc == 0 && r.file && !r.alone)
		rc = parse_config_file(&r, e);
	return rc;
}

/* Where the help's texts begin, and how wide a line gets. */
#define HELP_COLUMN 31
#define HELP_WIDTH  79
/* Of a line of mdoc, with room for the escapes in it. */
#define MAN_WIDTH 68

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

/* Text for mdoc, in lines of its width: backslashes are escaped, and a line's first dot or quote.
 */
static void man_text(const char *text, FILE *to)
{
	size_t column = 0;

	while (*text) {
		size_t len = strcspn(text, " ");
		bool wrap = column && column + 1 + len > MAN_WIDTH;

		if (column)
			fputc(wrap ? '\n' : ' ', to);
		column = wrap || !column ? len : column + 1 + len;
		if (column == len && (*text == '.' || *text == '\''))
			fputs("\\&", to);
		for (; len; len--, text++) {
			if (*text == '\\')
				fputs("\\e", to);
			else if (*text == '-')
				fputs("\\-", to);
			else
				fputc(*text, to);
		}
		text += *text == ' ';
	}
}

void options_man(const struct option_table *table, FILE *to)
{
	char env[80];

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
		fprintf(to, "Environment: %s", env);
		if (o->script_name)
			fprintf(to, ", or the script's %s", o->script_name);
		fputs(".\n", to);
	}
	fputs(".El\n", to);
}
