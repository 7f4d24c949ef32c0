// SPDX-License-Identifier: GPL-2.0-or-later
/* Changes YAML without writing it anew: see yaml_edit.h. */
#include "yaml_edit.h"

#include <errno.h>

void yaml_edit_init(struct yaml_edit *edit, struct span source)
{
	*edit = (struct yaml_edit){ .source = source };
}

void yaml_edit_fini(struct yaml_edit *edit)
{
	for (size_t i = 0; i < edit->count; i++)
		free(edit->changes[i].insert);
	free(edit->changes);
	free(edit->uses);
}

static size_t index_of(const struct yaml_edit *edit, const yaml_node_t *node)
{
	return (size_t)(node - edit->doc->nodes.start);
}

static void used(struct yaml_edit *edit, int id)
{
	uint8_t *uses = &edit->uses[id - 1];

	*uses = (uint8_t)MIN(*uses + 1, 2);
}

int yaml_edit_document(struct yaml_edit *edit, yaml_document_t *doc, struct err *e)
{
	size_t count = (size_t)(doc->nodes.top - doc->nodes.start);

	free(edit->uses);
	edit->doc = doc;
	edit->uses = calloc(count + 1, 1);
	if (!edit->uses)
		return err_set(e, -ENOMEM, "out of memory for a document");
	for (yaml_node_t *n = doc->nodes.start; n < doc->nodes.top; n++) {
		if (n->type == YAML_SEQUENCE_NODE) {
			for (int *i = n->data.sequence.items.start; i < n->data.sequence.items.top;
			     i++)
				used(edit, *i);
		} else if (n->type == YAML_MAPPING_NODE) {
			for (yaml_node_pair_t *p = n->data.mapping.pairs.start;
			     p < n->data.mapping.pairs.top; p++)
				used(edit, p->value);
		}
	}
	return 0;
}

struct span yaml_edit_text(const yaml_node_t *node)
{
	if (!node || node->type != YAML_SCALAR_NODE)
		return SPAN("", 0);
	return SPAN((const char *)node->data.scalar.value, node->data.scalar.length);
}

bool yaml_edit_is_null(const yaml_node_t *node)
{
	struct span text = yaml_edit_text(node);

	if (!node)
		return true;
	return node->type == YAML_SCALAR_NODE &&
	       node->data.scalar.style == YAML_PLAIN_SCALAR_STYLE &&
	       (!text.len || span_eq(text, SPAN_LIT("~")) || span_eq(text, SPAN_LIT("null")) ||
		span_eq(text, SPAN_LIT("Null")) || span_eq(text, SPAN_LIT("NULL")));
}

size_t yaml_edit_size(const yaml_node_t *node)
{
	if (!node || node->type == YAML_SCALAR_NODE)
		return 0;
	if (node->type == YAML_SEQUENCE_NODE)
		return (size_t)(node->data.sequence.items.top - node->data.sequence.items.start);
	return (size_t)(node->data.mapping.pairs.top - node->data.mapping.pairs.start);
}

yaml_node_t *yaml_edit_item(struct yaml_edit *edit, const yaml_node_t *list, size_t index)
{
	if (list->type != YAML_SEQUENCE_NODE)
		return NULL;
	return yaml_document_get_node(edit->doc, list->data.sequence.items.start[index]);
}

static const yaml_node_t *key_node(struct yaml_edit *edit, const yaml_node_t *map, size_t index)
{
	return yaml_document_get_node(edit->doc, map->data.mapping.pairs.start[index].key);
}

static yaml_node_t *value_node(struct yaml_edit *edit, const yaml_node_t *map, size_t index)
{
	return yaml_document_get_node(edit->doc, map->data.mapping.pairs.start[index].value);
}

struct span yaml_edit_key(struct yaml_edit *edit, const yaml_node_t *map, size_t index)
{
	return yaml_edit_text(key_node(edit, map, index));
}

unsigned yaml_edit_line(const yaml_node_t *node)
{
	return (unsigned)node->start_mark.line + 1;
}

int yaml_edit_get(struct yaml_edit *edit, const yaml_node_t *map, const char *key,
		  yaml_node_t **value, struct err *e)
{
	*value = NULL;
	if (!map || map->type != YAML_MAPPING_NODE)
		return 0;
	for (size_t i = 0; i < yaml_edit_size(map); i++) {
		struct span at = yaml_edit_key(edit, map, i);

		if (span_eq(at, SPAN_LIT("<<")))
			return err_usage(e, "line %u: a merge key (<<) may hold '%s': write it out",
					 yaml_edit_line(key_node(edit, map, i)), key);
		if (!span_eq(at, span_str(key)))
			continue;
		if (*value)
			return err_usage(e, "line %u: '%s' is given twice",
					 yaml_edit_line(key_node(edit, map, i)), key);
		*value = value_node(edit, map, i);
	}
	return 0;
}

int yaml_edit_own(const struct yaml_edit *edit, const yaml_node_t *node, const char *key,
		  struct err *e)
{
	if (node && edit->uses[index_of(edit, node)] > 1)
		return err_usage(e, "line %u: '%s' is shared by an alias: write it out",
				 yaml_edit_line(node), key);
	return 0;
}

/* ---- Where things stand in the text ---- */

static bool continues(const struct yaml_edit *edit, size_t at)
{
	return ((unsigned char)edit->source.ptr[at] & 0xc0) == 0x80;
}

/*
 * The byte at which a character begins: libyaml counts characters, but for a byte order mark. It
 * is looked for from the last one on, so that a stream is gone through once, not once a node.
 */
static size_t offset_of(struct yaml_edit *edit, yaml_mark_t mark)
{
	size_t len = edit->source.len, index = edit->last_index, at = edit->last_offset;

	for (; index < mark.index && at < len; index++) {
		do
			at++;
		while (at < len && continues(edit, at));
	}
	for (; index > mark.index; index--) {
		do
			at--;
		while (continues(edit, at));
	}
	edit->last_index = index;
	edit->last_offset = at;
	return at;
}

static bool is_flow(const yaml_node_t *node)
{
	return node->type == YAML_SEQUENCE_NODE
		       ? node->data.sequence.style == YAML_FLOW_SEQUENCE_STYLE
		       : node->data.mapping.style == YAML_FLOW_MAPPING_STYLE;
}

/* The last scalar, flow collection or empty one in what may be a block of many lines. */
static const yaml_node_t *last_leaf(struct yaml_edit *edit, const yaml_node_t *node)
{
	while (yaml_edit_size(node) && !is_flow(node)) {
		size_t last = yaml_edit_size(node) - 1;

		node = node->type == YAML_SEQUENCE_NODE ? yaml_edit_item(edit, node, last)
							: value_node(edit, node, last);
	}
	return node;
}

static bool is_block_scalar(const yaml_node_t *node)
{
	return node->type == YAML_SCALAR_NODE &&
	       (node->data.scalar.style == YAML_LITERAL_SCALAR_STYLE ||
		node->data.scalar.style == YAML_FOLDED_SCALAR_STYLE);
}

static size_t line_end(const struct yaml_edit *edit, size_t at)
{
	const char *end = memchr(edit->source.ptr + at, '\n', edit->source.len - at);

	if (!end)
		return edit->source.len;
	at = (size_t)(end - edit->source.ptr);
	return at && end[-1] == '\r' ? at - 1 : at;
}

static size_t line_start(const struct yaml_edit *edit, size_t at)
{
	while (at && edit->source.ptr[at - 1] != '\n')
		at--;
	return at;
}

static unsigned column_of(const struct yaml_edit *edit, size_t at)
{
	return (unsigned)(at - line_start(edit, at));
}

/* One item, or a key with its value: from its dash or key to the end of its last line. */
struct piece {
	size_t start, end;
};

static int bad_layout(const yaml_node_t *node, const char *what, struct err *e)
{
	return err_usage(e, "line %u: %s: write it in plain block or flow style",
			 yaml_edit_line(node), what);
}

/*
 * Whether an alias stands where an item or value should be: the node is where its anchor is, which
 * comes before.
 */
static bool is_alias(struct yaml_edit *edit, const yaml_node_t *node, size_t index,
		     const yaml_node_t *value)
{
	size_t at = value->start_mark.index;

	if (node->type == YAML_MAPPING_NODE)
		return at < key_node(edit, node, index)->end_mark.index;
	return at < node->start_mark.index ||
	       (index && at <= yaml_edit_item(edit, node, index - 1)->start_mark.index);
}

/* Whether a line has nothing but blanks and perhaps a comment from @at on. */
static bool rest_is_empty(const struct yaml_edit *edit, size_t at)
{
	while (at < edit->source.len && strchr(" \t\r", edit->source.ptr[at]))
		at++;
	return at >= edit->source.len || strchr("#\n", edit->source.ptr[at]);
}

/* Moves *@at, where an item of a block list begins, back to its dash, perhaps some lines above. */
static bool dash_before(const struct yaml_edit *edit, size_t *at)
{
	const char *s = edit->source.ptr;
	size_t p = *at;

	while (p && s[p - 1] == ' ')
		p--;
	while (p && s[p - 1] == '\n') {
		size_t begin = line_start(edit, p - 1);

		p = begin + strspn(s + begin, " ");
		if (s[p] == '-' && rest_is_empty(edit, p + 1)) {
			*at = p;
			return true;
		}
		if (!rest_is_empty(edit, p))
			return false;
		p = begin;
	}
	if (!p || s[p - 1] != '-')
		return false;
	*at = p - 1;
	return true;
}

static int piece_of(struct yaml_edit *edit, const yaml_node_t *node, size_t index,
		    struct piece *piece, struct err *e)
{
	bool list = node->type == YAML_SEQUENCE_NODE;
	const yaml_node_t *value =
		list ? yaml_edit_item(edit, node, index) : value_node(edit, node, index);
	const yaml_node_t *first = list ? value : key_node(edit, node, index), *last;
	const char *s = edit->source.ptr;

	if (is_alias(edit, node, index, value))
		return bad_layout(first, "an alias stands here", e);
	piece->start = offset_of(edit, first->start_mark);
	last = last_leaf(edit, value);
	piece->end = offset_of(edit, last->end_mark);
	if (is_flow(node))
		return 0;
	if (list && !dash_before(edit, &piece->start))
		return bad_layout(first, "an item with a tag or an anchor", e);
	/* The end mark of a block scalar is at the beginning of a line behind it. */
	if (is_block_scalar(last) && piece->end > piece->start && s[piece->end - 1] == '\n')
		piece->end--;
	piece->end = line_end(edit, piece->end);
	return 0;
}

/* ---- Changes ---- */

static int note(struct yaml_edit *edit, size_t at, size_t remove, char *insert, struct err *e)
{
	if (edit->count == edit->capacity) {
		size_t capacity = MAX(2 * edit->capacity, 16u);
		struct yaml_change *grown =
			realloc(edit->changes, capacity * sizeof(*edit->changes));

		if (!grown) {
			free(insert);
			return err_set(e, -ENOMEM, "out of memory for a change");
		}
		edit->changes = grown;
		edit->capacity = capacity;
	}
	edit->changes[edit->count] = (struct yaml_change){
		.at = at, .remove = remove, .insert = insert, .order = edit->count
	};
	edit->count++;
	return 0;
}

/* Text being put together; its end notes the insertion. */
struct insertion {
	FILE *to;
	char *text;
	size_t len;
};

static int insertion_begin(struct insertion *i, struct err *e)
{
	i->to = open_memstream(&i->text, &i->len);
	return i->to ? 0 : err_sys(e, -errno, "cannot write a change");
}

static int insertion_end(struct yaml_edit *edit, struct insertion *i, size_t at, size_t remove,
			 struct err *e)
{
	if (fclose(i->to) == EOF) {
		free(i->text);
		return err_set(e, -ENOMEM, "out of memory for a change");
	}
	return note(edit, at, remove, i->text, e);
}

static void new_line(unsigned indent, FILE *to)
{
	fprintf(to, "\n%*s", (int)indent, "");
}

/* The items, or the entries, without what encloses them. */
static void print_flow(const struct object *collection, FILE *to)
{
	for (const struct object *o = collection->first; o; o = o->next) {
		if (o != collection->first)
			fputs(", ", to);
		if (o->key)
			fprintf(to, "\"%s\": ", o->key);
		object_print_json(o, to);
	}
}

/* Before the first one, or just behind the bracket or brace. */
static int add_flow(struct yaml_edit *edit, const yaml_node_t *node, const struct object *more,
		    struct err *e)
{
	size_t at = offset_of(edit, node->start_mark);
	struct piece first;
	struct insertion i;
	int rc = 0;

	/* An anchor or a tag stands before it. */
	while (at < edit->source.len && !strchr("[{", edit->source.ptr[at]))
		at++;
	at++;
	if (yaml_edit_size(node)) {
		rc = piece_of(edit, node, 0, &first, e);
		at = first.start;
	}
	if (rc == 0)
		rc = insertion_begin(&i, e);
	if (rc < 0)
		return rc;
	print_flow(more, i.to);
	if (yaml_edit_size(node))
		fputs(", ", i.to);
	return insertion_end(edit, &i, at, 0, e);
}

static int add_first(struct yaml_edit *edit, const yaml_node_t *node, const struct object *more,
		     struct err *e)
{
	struct insertion i;
	struct piece first;
	unsigned indent;
	int rc = piece_of(edit, node, 0, &first, e);

	if (rc == 0)
		rc = insertion_begin(&i, e);
	if (rc < 0)
		return rc;
	indent = column_of(edit, first.start);
	object_print_yaml(more, indent, i.to);
	new_line(indent, i.to);
	return insertion_end(edit, &i, first.start, 0, e);
}

/* Behind the last line of the last item; behind its blank lines where they may belong to it. */
static int add_last(struct yaml_edit *edit, const yaml_node_t *list, const struct object *items,
		    struct err *e)
{
	size_t count = yaml_edit_size(list), at;
	const yaml_node_t *leaf = last_leaf(edit, list);
	struct piece last;
	struct insertion i;
	unsigned indent;
	int rc = piece_of(edit, list, count - 1, &last, e);

	if (rc == 0)
		rc = insertion_begin(&i, e);
	if (rc < 0)
		return rc;
	if (is_flow(list)) {
		fputs(", ", i.to);
		print_flow(items, i.to);
		return insertion_end(edit, &i, last.end, 0, e);
	}
	indent = column_of(edit, last.start);
	at = last.end;
	if (is_block_scalar(leaf)) {
		at = line_start(edit, offset_of(edit, list->end_mark));
		fprintf(i.to, "%*s", (int)indent, "");
	} else {
		new_line(indent, i.to);
	}
	object_print_yaml(items, indent, i.to);
	if (is_block_scalar(leaf))
		fputc('\n', i.to);
	return insertion_end(edit, &i, at, 0, e);
}

int yaml_edit_add_items(struct yaml_edit *edit, const yaml_node_t *list, const struct object *items,
			bool behind, struct err *e)
{
	if (yaml_edit_size(list) && behind)
		return add_last(edit, list, items, e);
	return is_flow(list) ? add_flow(edit, list, items, e) : add_first(edit, list, items, e);
}

int yaml_edit_add_keys(struct yaml_edit *edit, const yaml_node_t *map, const struct object *entries,
		       struct err *e)
{
	return is_flow(map) ? add_flow(edit, map, entries, e) : add_first(edit, map, entries, e);
}

int yaml_edit_fill(struct yaml_edit *edit, const yaml_node_t *null, const struct object *value,
		   struct err *e)
{
	size_t at = offset_of(edit, null->start_mark);
	struct insertion i;
	int rc = insertion_begin(&i, e);

	if (rc < 0)
		return rc;
	/* A null that is not written stands right behind the colon. */
	if (!yaml_edit_text(null).len)
		fputc(' ', i.to);
	object_print_json(value, i.to);
	return insertion_end(edit, &i, at, offset_of(edit, null->end_mark) - at, e);
}

int yaml_edit_replace(struct yaml_edit *edit, const yaml_node_t *map, size_t index,
		      const struct object *value, struct err *e)
{
	const yaml_node_t *key = key_node(edit, map, index), *old = value_node(edit, map, index);
	int rc = yaml_edit_own(edit, old, (const char *)key->data.scalar.value, e);

	if (rc < 0)
		return rc;
	if (old->type != YAML_SCALAR_NODE || is_block_scalar(old) ||
	    is_alias(edit, map, index, old))
		return bad_layout(key, "a value that is no text of one line", e);
	return yaml_edit_fill(edit, old, value, e);
}

/* A piece becomes the lines that it is on, with their end; with the one before at the very end. */
static void widen_to_lines(const struct yaml_edit *edit, struct piece *piece)
{
	size_t len = edit->source.len;

	piece->start = line_start(edit, piece->start);
	while (piece->end < len && edit->source.ptr[piece->end] != '\n')
		piece->end++;
	if (piece->end < len)
		piece->end++;
	else if (piece->start)
		piece->start = line_end(edit, line_start(edit, piece->start - 1));
}

/* The items or keys from @first to @last, with what separates them from others. */
static int remove_run(struct yaml_edit *edit, const yaml_node_t *node, size_t first, size_t last,
		      struct err *e)
{
	struct piece run, end, other;
	int rc = piece_of(edit, node, first, &run, e);

	if (rc == 0)
		rc = piece_of(edit, node, last, &end, e);
	if (rc < 0)
		return rc;
	run.end = end.end;
	if (last + 1 < yaml_edit_size(node)) {
		rc = piece_of(edit, node, last + 1, &other, e);
		run.end = other.start;
	} else if (first && is_flow(node)) {
		rc = piece_of(edit, node, first - 1, &other, e);
		run.start = other.end;
	} else if (first) {
		widen_to_lines(edit, &run);
	}
	return rc < 0 ? rc : note(edit, run.start, run.end - run.start, NULL, e);
}

int yaml_edit_remove(struct yaml_edit *edit, const yaml_node_t *node, const bool *doomed,
		     struct err *e)
{
	size_t count = yaml_edit_size(node);

	for (size_t i = 0; i < count; i++) {
		size_t first = i;
		int rc;

		if (!doomed[i])
			continue;
		while (i + 1 < count && doomed[i + 1])
			i++;
		rc = remove_run(edit, node, first, i, e);
		if (rc < 0)
			return rc;
	}
	return 0;
}

static int by_place(const void *a, const void *b)
{
	const struct yaml_change *x = a, *y = b;

	if (x->at != y->at)
		return x->at < y->at ? -1 : 1;
	return (x->order > y->order) - (x->order < y->order);
}

/* Whether the line there ends in CR LF; files are put together, so others may not. */
static bool is_crlf(const struct yaml_edit *edit, size_t at)
{
	const char *s = edit->source.ptr, *end = memchr(s + at, '\n', edit->source.len - at);

	if (!end)
		end = memrchr(s, '\n', at);
	return end && end > s && end[-1] == '\r';
}

int yaml_edit_print(struct yaml_edit *edit, FILE *to, struct err *e)
{
	size_t at = 0;

	if (edit->count)
		qsort(edit->changes, edit->count, sizeof(*edit->changes), by_place);
	for (size_t i = 0; i < edit->count; i++) {
		const struct yaml_change *c = &edit->changes[i];
		bool crlf = is_crlf(edit, c->at);

		if (c->at < at)
			return err_usage(e, "two changes at one place: an alias may be the reason");
		fwrite(edit->source.ptr + at, 1, c->at - at, to);
		for (const char *p = c->insert; p && *p; p++) {
			if (*p == '\n' && crlf)
				fputc('\r', to);
			fputc(*p, to);
		}
		at = c->at + c->remove;
	}
	fwrite(edit->source.ptr + at, 1, edit->source.len - at, to);
	return 0;
}
