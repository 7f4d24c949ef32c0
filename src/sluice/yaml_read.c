// SPDX-License-Identifier: GPL-2.0-or-later
/* Values as kubectl reads them: see yaml_read.h. */
#include "yaml_read.h"

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
