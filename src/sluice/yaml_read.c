// SPDX-License-Identifier: GPL-2.0-or-later
/* Values as kubectl reads them: see yaml_read.h. */
#include "yaml_read.h"

/* Maps that one reading goes through: aliases of aliases could make it go on for ever. */
#define MAPS_MAX 256

/* Not in quotes: there it is a key as any other. */
static bool is_merge(const yaml_node_t *key)
{
	return span_eq(yaml_edit_text(key), SPAN_LIT("<<")) &&
	       key->data.scalar.style == YAML_PLAIN_SCALAR_STYLE;
}

static int find(struct yaml_edit *edit, const yaml_node_t *map, const char *key,
		yaml_node_t **value, unsigned *maps, struct err *e);

/* The first map of a list that has it counts. */
static int find_merged(struct yaml_edit *edit, const yaml_node_t *from, const char *key,
		       yaml_node_t **value, unsigned *maps, struct err *e)
{
	bool list = from->type == YAML_SEQUENCE_NODE;

	*value = NULL;
	for (size_t i = 0; !*value && i < (list ? yaml_edit_size(from) : 1); i++) {
		const yaml_node_t *map = list ? yaml_edit_item(edit, from, i) : from;
		int rc;

		if (map->type != YAML_MAPPING_NODE)
			return err_usage(e, "line %u: a merge key (<<) takes maps",
					 yaml_edit_line(map));
		rc = find(edit, map, key, value, maps, e);
		if (rc < 0)
			return rc;
	}
	return 0;
}

static int find(struct yaml_edit *edit, const yaml_node_t *map, const char *key,
		yaml_node_t **value, unsigned *maps, struct err *e)
{
	bool merged = false;

	*value = NULL;
	if ((*maps)++ == MAPS_MAX)
		return err_usage(e, "line %u: merge keys (<<) of more than %d maps",
				 yaml_edit_line(map), MAPS_MAX);
	for (size_t i = 0; i < yaml_edit_size(map); i++) {
		const yaml_node_pair_t *pair = &map->data.mapping.pairs.start[i];
		const yaml_node_t *at = yaml_document_get_node(edit->doc, pair->key);
		yaml_node_t *found = yaml_document_get_node(edit->doc, pair->value);
		bool merge = is_merge(at);
		int rc = 0;

		if (merge)
			rc = find_merged(edit, found, key, &found, maps, e);
		else if (!span_eq(yaml_edit_text(at), span_str(key)))
			continue;
		if (rc < 0)
			return rc;
		if (found && *value && (merge || !merged))
			return err_usage(e, "line %u: '%s' is given twice", yaml_edit_line(at),
					 key);
		merged = found ? merge : merged;
		*value = found ? found : *value;
	}
	return 0;
}

int yaml_read_get(struct yaml_edit *edit, const yaml_node_t *map, const char *key,
		  yaml_node_t **value, struct err *e)
{
	unsigned maps = 0;

	*value = NULL;
	return map && map->type == YAML_MAPPING_NODE ? find(edit, map, key, value, &maps, e) : 0;
}

static bool is_one_of(struct span text, const char *const *words, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		if (span_eq(text, span_str(words[i])))
			return true;
	}
	return false;
}

int yaml_read_bool(const yaml_node_t *node, const char *key, bool *truth, struct err *e)
{
	static const char *const yes[] = { "true", "True", "TRUE", "yes", "Yes", "YES",
					   "on",   "On",   "ON",   "y",	  "Y" };
	static const char *const no[] = { "false", "False", "FALSE", "no", "No", "NO",
					  "off",   "Off",   "OFF",   "n",  "N" };
	struct span text = yaml_edit_text(node);
	bool may;

	*truth = false;
	if (yaml_edit_is_null(node))
		return 0;
	/* In quotes it is text, unless a tag says otherwise. */
	may = node->type == YAML_SCALAR_NODE &&
	      (node->data.scalar.style == YAML_PLAIN_SCALAR_STYLE ||
	       strcmp((const char *)node->tag, YAML_BOOL_TAG) == 0);
	*truth = may && is_one_of(text, yes, ARRAY_SIZE(yes));
	if (*truth || (may && is_one_of(text, no, ARRAY_SIZE(no))))
		return 0;
	return err_usage(e, "line %u: '%s' is neither true nor false: write one of them, unquoted",
			 yaml_edit_line(node), key);
}
