// SPDX-License-Identifier: GPL-2.0-or-later
/* Parts of Kubernetes objects: see objects.h. */
#include "objects.h"

#include "json.h"

#include <stdarg.h>
#include <strings.h>

struct object_text {
	struct object_text *made_before;
	char *text; /* owned */
};

void object_pool_fini(struct object_pool *pool)
{
	while (pool->newest) {
		struct object *o = pool->newest;

		pool->newest = o->made_before;
		free(o);
	}
	while (pool->texts) {
		struct object_text *t = pool->texts;

		pool->texts = t->made_before;
		free(t->text);
		free(t);
	}
}

const char *object_format(struct object_pool *pool, const char *fmt, ...)
{
	struct object_text *t = calloc(1, sizeof(*t));
	va_list args;
	int len;

	if (!t) {
		pool->failed = true;
		return "";
	}
	t->made_before = pool->texts;
	pool->texts = t;
	va_start(args, fmt);
	len = vasprintf(&t->text, fmt, args);
	va_end(args);
	if (len >= 0)
		return t->text;
	t->text = NULL;
	pool->failed = true;
	return "";
}

static struct object *make(struct object_pool *pool, struct object *in, enum object_kind kind,
			   const char *key, const char *text)
{
	struct object *o = calloc(1, sizeof(*o));

	if (!o) {
		pool->failed = true;
		return NULL;
	}
	o->kind = kind;
	o->key = key;
	o->text = text;
	o->made_before = pool->newest;
	pool->newest = o;
	if (in && in->last)
		in->last->next = o;
	else if (in)
		in->first = o;
	if (in)
		in->last = o;
	return o;
}

struct object *object_map(struct object_pool *pool, struct object *in, const char *key)
{
	return make(pool, in, OBJECT_MAP, key, NULL);
}

struct object *object_list(struct object_pool *pool, struct object *in, const char *key)
{
	return make(pool, in, OBJECT_LIST, key, NULL);
}

struct object *object_text(struct object_pool *pool, struct object *in, const char *key,
			   const char *text)
{
	return make(pool, in, OBJECT_TEXT, key, text);
}

struct object *object_plain(struct object_pool *pool, struct object *in, const char *key,
			    const char *text)
{
	return make(pool, in, OBJECT_PLAIN, key, text);
}

/* What YAML 1.1 reads as something else than a string, in any case of its letters. */
static bool is_word_of_yaml(const char *text)
{
	static const char *const words[] = { "y",   "n",     "yes",  "no",  "on",
					     "off", "false", "true", "null" };

	for (size_t i = 0; i < ARRAY_SIZE(words); i++) {
		if (strcasecmp(text, words[i]) == 0)
			return true;
	}
	return false;
}

/* Names, paths and images; what could be anything but a string is quoted. */
static bool needs_no_quotes(const char *text)
{
	static const char first[] = "/abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ",
			  others[] = "/abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
				     "0123456789-_.:";
	size_t len = strlen(text);

	return len && strchr(first, text[0]) && strspn(text, others) == len &&
	       text[len - 1] != ':' && !is_word_of_yaml(text);
}

static void new_line(unsigned indent, FILE *to)
{
	fprintf(to, "\n%*s", (int)indent, "");
}

/* Of the values of a map. What an empty list says, its absence says, too. */
static bool is_empty_list(const struct object *o)
{
	return o->kind == OBJECT_LIST && !o->first;
}

/* Lines of printable ASCII that neither begin nor end in what YAML would take for its own. */
static bool is_block(const char *text)
{
	size_t len = strlen(text);

	if (!strchr(text, '\n') || text[0] == ' ' || text[0] == '\n' || text[len - 1] == '\n')
		return false;
	for (const char *p = text; *p; p++) {
		if (*p != '\n' && (*p < ' ' || *p > '~'))
			return false;
		if (*p == ' ' && (p[1] == '\n' || !p[1]))
			return false;
	}
	return true;
}

static void print_block(const char *text, unsigned indent, FILE *to)
{
	fputs("|-", to);
	for (const char *line = text; line; line = strchr(line, '\n')) {
		size_t len;

		line += *line == '\n';
		len = strcspn(line, "\n");
		if (len)
			new_line(indent, to);
		else
			fputc('\n', to);
		fwrite(line, 1, len, to);
	}
}

void object_print_yaml(const struct object *o, unsigned indent, FILE *to)
{
	const struct object *child;
	bool begun = false;

	if (!o)
		return;
	if (o->kind == OBJECT_PLAIN || (o->kind == OBJECT_TEXT && needs_no_quotes(o->text))) {
		fputs(o->text, to);
		return;
	}
	if (o->kind == OBJECT_TEXT && is_block(o->text)) {
		print_block(o->text, indent + 2, to);
		return;
	}
	if (o->kind == OBJECT_TEXT || !o->first || o->on_one_line) {
		object_print_json(o, to);
		return;
	}
	for (child = o->first; child; child = child->next) {
		bool nested = child->first != NULL;

		if (is_empty_list(child))
			continue;
		if (begun)
			new_line(indent, to);
		begun = true;
		fputs(o->kind == OBJECT_LIST ? "- " : child->key, to);
		if (o->kind == OBJECT_LIST) {
			object_print_yaml(child, indent + 2, to);
			continue;
		}
		fputc(':', to);
		/* The items of a list stand as far left as its key, as kubectl prints them. */
		if (nested && child->kind == OBJECT_LIST) {
			new_line(indent, to);
			object_print_yaml(child, indent, to);
		} else if (nested) {
			new_line(indent + 2, to);
			object_print_yaml(child, indent + 2, to);
		} else {
			fputc(' ', to);
			object_print_yaml(child, indent, to);
		}
	}
}

void object_print_json(const struct object *o, FILE *to)
{
	bool begun = false;

	if (!o)
		return;
	if (o->kind == OBJECT_PLAIN) {
		fputs(o->text, to);
		return;
	}
	if (o->kind == OBJECT_TEXT) {
		json_string(span_str(o->text), to);
		return;
	}
	fputc(o->kind == OBJECT_MAP ? '{' : '[', to);
	for (const struct object *child = o->first; child; child = child->next) {
		if (is_empty_list(child))
			continue;
		if (begun)
			fputs(", ", to);
		begun = true;
		if (child->key) {
			json_string(span_str(child->key), to);
			fputs(": ", to);
		}
		object_print_json(child, to);
	}
	fputc(o->kind == OBJECT_MAP ? '}' : ']', to);
}

/* Whether it stands on one line. */
static bool is_short(const struct object *o)
{
	for (const struct object *child = o->first; child; child = child->next) {
		if (child->first || child->cel || child->cel_if || child->cel_each)
			return false;
	}
	return true;
}

static void print_cel_map(const struct object *o, const char *type, unsigned indent, FILE *to)
{
	bool one_line = is_short(o);

	fprintf(to, "%s{", o->free_keys ? "" : type);
	for (const struct object *child = o->first; child; child = child->next) {
		char nested[256];

		if (child != o->first)
			fputc(',', to);
		if (!one_line)
			new_line(indent + 2, to);
		else if (child != o->first)
			fputc(' ', to);
		if (o->free_keys)
			json_string(span_str(child->key), to);
		else
			fprintf(to, "%s%s", child->cel_if ? "?" : "", child->key);
		fputs(": ", to);
		if (child->cel_if)
			fprintf(to, "!%s ? optional.none() : optional.of(", child->cel_if);
		snprintf(nested, sizeof(nested), "%s.%s", type, child->key);
		object_print_cel(child, nested, indent + 2, to);
		if (child->cel_if)
			fputc(')', to);
	}
	fputc('}', to);
}

/* An item that may be absent, or is many, as a list. */
static void print_cel_some(const struct object *o, const char *type, unsigned indent, FILE *to)
{
	if (o->cel_if)
		fprintf(to, "(%s ? [", o->cel_if);
	else
		fprintf(to, "%s.map(each, ", o->cel_each);
	object_print_cel(o, type, indent + 2, to);
	fputs(o->cel_if ? "] : [])" : ")", to);
}

/* Such items are lists of their own, added to the rest. */
static void print_cel_list(const struct object *o, const char *type, unsigned indent, FILE *to)
{
	const struct object *child = o->first;

	if (!child)
		fputs("[]", to);
	while (child) {
		if (child != o->first) {
			fputs(" +", to);
			new_line(indent + 2, to);
		}
		if (child->cel_if || child->cel_each) {
			print_cel_some(child, type, indent, to);
			child = child->next;
			continue;
		}
		for (char before = '['; child && !child->cel_if && !child->cel_each;
		     child = child->next) {
			fputs(before == '[' ? "[" : ", ", to);
			before = ',';
			object_print_cel(child, type, indent, to);
		}
		fputc(']', to);
	}
}

void object_print_cel(const struct object *o, const char *type, unsigned indent, FILE *to)
{
	if (!o)
		return;
	if (o->cel)
		fputs(o->cel, to);
	else if (o->kind == OBJECT_MAP)
		print_cel_map(o, type, indent, to);
	else if (o->kind == OBJECT_LIST)
		print_cel_list(o, type, indent, to);
	else
		object_print_json(o, to);
}
