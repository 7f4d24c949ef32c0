// SPDX-License-Identifier: GPL-2.0-or-later
/* sluice inject: manifests in, manifests out; nothing is printed unless all of it could be. */
#include "commands.h"

#include "inject.h"
#include "inject_component.h"
#include "inject_policy.h"
#include "log.h"
#include "privs.h"

#include <errno.h>

/* Etcd takes no object above 1.5 MiB; streams of many are read whole, since they are written whole.
 */
#define MANIFESTS_MAX (256u << 20)

static int read_all(FILE *from, const char *name, struct span *text, struct err *e)
{
	_cleanup_free_ char *buffer = NULL;
	size_t len = 0, capacity = 0, n;

	do {
		if (len == capacity) {
			size_t more = MAX(2 * capacity, 65536u);
			char *grown = len < MANIFESTS_MAX ? realloc(buffer, more) : NULL;

			if (!grown && len >= MANIFESTS_MAX)
				return err_usage(e, "%s: larger than %u MiB: give it in parts",
						 name, MANIFESTS_MAX >> 20);
			if (!grown)
				return err_set(e, -ENOMEM, "%s: out of memory", name);
			buffer = grown;
			capacity = more;
		}
		n = fread(buffer + len, 1, capacity - len, from);
		len += n;
	} while (n);
	if (ferror(from))
		return err_usage(e, "cannot read '%s': %s", name, strerror(errno));
	*text = SPAN(take_ptr(&buffer), len);
	return 0;
}

/* What is said of the workloads waits until it is sure that they are printed. */
static void report(const char *what, void *data)
{
	fprintf(data, "%s\n", what);
}

static void log_lines(char *lines)
{
	for (char *line; (line = strsep(&lines, "\n")) && *line;)
		log_info("%s", line);
}

/* @more: another file follows. */
static int inject_file(const struct inject_options *o, const char *path, bool more, FILE *out,
		       FILE *notes, struct err *e)
{
	bool input = strcmp(path, "-") == 0;
	const char *name = input ? "standard input" : path;
	_cleanup_fclose_ FILE *file = input ? NULL : fopen(path, "re");
	struct span text = SPAN("", 0);
	int rc;

	if (!input && !file)
		return err_usage(e, "cannot read '%s': %s", path, strerror(errno));
	rc = read_all(input ? stdin : file, name, &text, e);
	if (rc < 0)
		return rc;
	rc = inject_stream(text, o, report, notes, out, e);
	if (rc == 0 && more)
		fputs(text.len && text.ptr[text.len - 1] != '\n' ? "\n---\n" : "---\n", out);
	free((char *)text.ptr);
	return rc < 0 ? err_wrap(e, "%s", name) : 0;
}

/* @names: owned by the caller; cut off the settings' values. */
static int read_settings(const struct config *c, struct inject_settings *s, char **names,
			 struct err *e)
{
	for (size_t i = 0; i < c->set_count; i++) {
		size_t len = strcspn(c->sets[i], "=");

		names[i] = strndup(c->sets[i], len);
		if (!names[i])
			return err_set(e, -ENOMEM, "out of memory for the settings");
		if (inject_settings_add(s, names[i], c->sets[i] + len + 1, e) < 0)
			return err_wrap(e, "--set");
	}
	return inject_settings_check(s, e) < 0 ? err_wrap(e, "--set") : 0;
}

static int inject_files(const struct config *c, const struct inject_options *o, FILE *out,
			FILE *notes, struct err *e)
{
	static const char *const input = "-";
	const char *const *files = c->operand_count ? c->operands : &input;
	size_t count = MAX(c->operand_count, 1u);
	int rc = 0;

	if (o->component && (o->remove || c->operand_count))
		return err_usage(e, "--component: takes neither manifests nor --remove");
	if (o->component)
		return inject_component_print(o, out, e);
	for (size_t i = 0; rc == 0 && i < count; i++)
		rc = inject_file(o, files[i], i + 1 < count, out, notes, e);
	return rc;
}

static int print_policy(const struct config *c, const struct inject_options *o, FILE *out,
			struct err *e)
{
	if (o->component)
		return err_usage(e, "--policy and --component: one at a time");
	if (o->remove)
		return err_usage(e, "--policy and --remove: kubectl delete takes a policy out");
	if (c->operand_count)
		return err_usage(e, "--policy reads no manifests: leave out '%.64s'",
				 c->operands[0]);
	return inject_policy_print(o, out, e);
}

/* 0, or what went wrong before or while closing. */
static int close_text(FILE *text, int rc, struct err *e)
{
	if (text && fclose(text) == EOF && rc == 0)
		return err_set(e, -ENOMEM, "out of memory for the manifests");
	return rc;
}

int command_inject(const struct config *c, struct err *e)
{
	struct inject_options o = c->inject;
	char *names[INJECT_SETTINGS] = { NULL };
	_cleanup_free_ char *text = NULL, *lines = NULL;
	size_t len = 0, lines_len = 0;
	FILE *out = open_memstream(&text, &len), *notes = open_memstream(&lines, &lines_len);
	int rc = out && notes ? 0 : err_set(e, -ENOMEM, "out of memory for the manifests");

	if (rc == 0)
		rc = read_settings(c, &o.settings, names, e);
	if (rc == 0)
		rc = o.policy ? print_policy(c, &o, out, e) : inject_files(c, &o, out, notes, e);
	rc = close_text(notes, close_text(out, rc, e), e);
	for (size_t i = 0; i < c->set_count; i++)
		free(names[i]);
	if (rc == 0)
		rc = privs_end(e);
	if (rc < 0)
		return rc;
	fwrite(text, 1, len, stdout);
	log_lines(lines);
	return EXIT_DONE;
}
