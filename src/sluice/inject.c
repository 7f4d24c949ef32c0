// SPDX-License-Identifier: GPL-2.0-or-later
/* Streams of manifests: see inject.h. */
#include "inject.h"

#include "inject_workload.h"
#include "yaml_read.h"

#include <errno.h>

static int do_object(struct inject_run *r, yaml_node_t *object, unsigned depth, struct err *e);

static int do_items(struct inject_run *r, yaml_node_t *object, unsigned depth, struct err *e)
{
	yaml_node_t *items;
	int rc = yaml_edit_get(&r->edit, object, "items", &items, e);

	if (rc == 0 && items && items->type != YAML_SEQUENCE_NODE)
		return 0;
	if (rc == 0)
		rc = yaml_edit_own(&r->edit, items, "items", e);
	for (size_t i = 0; rc == 0 && i < yaml_edit_size(items); i++) {
		yaml_node_t *item = yaml_edit_item(&r->edit, items, i);

		rc = yaml_edit_own(&r->edit, item, "items", e);
		if (rc == 0)
			rc = do_object(r, item, depth + 1, e);
	}
	return rc;
}

static bool is_list(struct span kind)
{
	return kind.len >= 4 && memcmp(kind.ptr + kind.len - 4, "List", 4) == 0;
}

static int do_object(struct inject_run *r, yaml_node_t *object, unsigned depth, struct err *e)
{
	yaml_node_t *kind;
	int rc = inject_workload(r, object, e);

	if (rc != 0 || depth)
		return MIN(rc, 0);
	rc = yaml_read_get(&r->edit, object, "kind", &kind, e);
	return rc == 0 && is_list(yaml_edit_text(kind)) ? do_items(r, object, depth, e) : rc;
}

static int parse_error(const yaml_parser_t *parser, struct err *e)
{
	if (parser->error == YAML_MEMORY_ERROR)
		return err_set(e, -ENOMEM, "out of memory for the manifests");
	if (parser->error == YAML_READER_ERROR)
		return err_usage(e, "byte %zu: %s", parser->problem_offset, parser->problem);
	return err_usage(e, "line %zu, column %zu: %s%s%s", parser->problem_mark.line + 1,
			 parser->problem_mark.column + 1, parser->problem,
			 parser->context ? " " : "", parser->context ? parser->context : "");
}

static int do_documents(struct inject_run *r, yaml_parser_t *parser, struct err *e)
{
	for (;;) {
		yaml_document_t doc;
		yaml_node_t *root;
		int rc;

		if (!yaml_parser_load(parser, &doc))
			return parse_error(parser, e);
		root = yaml_document_get_root_node(&doc);
		rc = root ? yaml_edit_document(&r->edit, &doc, e) : 0;
		if (root && rc == 0)
			rc = do_object(r, root, 0, e);
		yaml_document_delete(&doc);
		if (!root || rc < 0)
			return rc;
	}
}

/* Kubernetes nests no deeper than this, and libyaml's time grows with the square of the depth. */
#define DEPTH_MAX 200

static int check_depth(struct span in, struct err *e)
{
	yaml_parser_t parser;
	bool done = false;
	int depth = 0, rc = 0;

	if (!yaml_parser_initialize(&parser))
		return err_set(e, -ENOMEM, "out of memory for the manifests");
	yaml_parser_set_encoding(&parser, YAML_UTF8_ENCODING);
	yaml_parser_set_input_string(&parser, (const unsigned char *)in.ptr, in.len);
	while (!done && rc == 0) {
		yaml_event_t event;

		if (!yaml_parser_parse(&parser, &event)) {
			rc = parse_error(&parser, e);
			break;
		}
		if (event.type == YAML_SEQUENCE_START_EVENT ||
		    event.type == YAML_MAPPING_START_EVENT)
			depth++;
		else if (event.type == YAML_SEQUENCE_END_EVENT ||
			 event.type == YAML_MAPPING_END_EVENT)
			depth--;
		if (depth > DEPTH_MAX)
			rc = err_usage(e, "line %zu: nested deeper than %d",
				       event.start_mark.line + 1, DEPTH_MAX);
		done = event.type == YAML_STREAM_END_EVENT;
		yaml_event_delete(&event);
	}
	yaml_parser_delete(&parser);
	return rc;
}

/* Where we look for lines, libyaml must see the same: it takes other characters for a break, too.
 */
static int check_breaks(struct span in, struct err *e)
{
	static const struct span others[] = { { "\xc2\x85", 2 },
					      { "\xe2\x80\xa8", 3 },
					      { "\xe2\x80\xa9", 3 } };
	size_t line = 1;

	for (struct span at = in; at.len; at.ptr++, at.len--) {
		bool odd = at.ptr[0] == '\r' && (at.len == 1 || at.ptr[1] != '\n');

		line += at.ptr[0] == '\n';
		for (size_t i = 0; i < ARRAY_SIZE(others); i++)
			odd |= span_starts(at, others[i]);
		if (odd)
			return err_usage(e,
					 "line %zu: a line break that is neither LF nor CR LF (a "
					 "lone CR, NEL, U+2028, U+2029): write it as an escape",
					 line);
	}
	return 0;
}

static int change(struct inject_run *r, struct span in, FILE *out, struct err *e)
{
	yaml_parser_t parser;
	int rc;

	if (!yaml_parser_initialize(&parser))
		return err_set(e, -ENOMEM, "out of memory for the manifests");
	yaml_parser_set_encoding(&parser, YAML_UTF8_ENCODING);
	yaml_parser_set_input_string(&parser, (const unsigned char *)in.ptr, in.len);
	yaml_edit_init(&r->edit, in);
	r->exact = true;
	rc = do_documents(r, &parser, e);
	if (rc == 0 && r->edit.count)
		rc = check_breaks(in, e);
	if (rc == 0)
		rc = yaml_edit_print(&r->edit, out, e);
	yaml_edit_fini(&r->edit);
	yaml_parser_delete(&parser);
	return rc;
}

/* What was put in must come out again, and leave no trace; else it is not where it should be. */
static int verify(const struct inject_run *done, struct span before, struct span after,
		  struct err *e)
{
	struct inject_options o = *done->options;
	struct inject_run r = { .options = &o };
	_cleanup_free_ char *text = NULL;
	size_t len = 0;
	FILE *to = open_memstream(&text, &len);
	int rc;

	if (!to)
		return err_set(e, -ENOMEM, "out of memory for a check");
	o.remove = true;
	rc = change(&r, after, to, e);
	if (fclose(to) == EOF && rc == 0)
		rc = err_set(e, -ENOMEM, "out of memory for a check");
	if (rc == 0 && done->exact && !span_eq(SPAN(text, len), before))
		rc = err_usage(e,
			       "the layout is one that cannot be changed here: please report it");
	return rc;
}

int inject_stream(struct span in, const struct inject_options *o, inject_reporter *report,
		  void *data, FILE *out, struct err *e)
{
	const struct span mark = SPAN_LIT("\xef\xbb\xbf"); /* of byte order */
	struct inject_run r = { .options = o, .report = report, .data = data };
	_cleanup_free_ char *text = NULL;
	size_t len = 0;
	FILE *to = open_memstream(&text, &len);
	int rc;

	if (!to)
		return err_set(e, -ENOMEM, "out of memory for the manifests");
	/* libyaml skips it only where it may guess the encoding. */
	if (span_starts(in, mark)) {
		fwrite(mark.ptr, 1, mark.len, out);
		in = SPAN(in.ptr + mark.len, in.len - mark.len);
	}
	rc = check_depth(in, e);
	if (rc == 0)
		rc = change(&r, in, to, e);
	if (fclose(to) == EOF && rc == 0)
		rc = err_set(e, -ENOMEM, "out of memory for the manifests");
	if (rc == 0 && !o->remove)
		rc = verify(&r, in, SPAN(text, len), e);
	if (rc == 0)
		fwrite(text, 1, len, out);
	return rc;
}
