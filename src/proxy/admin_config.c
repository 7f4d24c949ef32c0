// SPDX-License-Identifier: GPL-2.0-or-later
/* /config: every option, its value and where that came from, as JSON. */
#include "admin_http.h"

#include "json.h"
#include "version.h"

#include <errno.h>

/* As the command line takes it; an option that was not given by what the help says of it. */
static const char *value_of(const struct option *o, const struct option_told *t)
{
	return t->text ? t->text : o->fallback;
}

static void write_option(const struct option *o, const struct option_told *t, bool first, FILE *to)
{
	fprintf(to, "%s\n\"%s\":{\"value\":", first ? "" : ",", o->name);
	if (value_of(o, t))
		json_string(span_str(value_of(o, t)), to);
	else
		fputs("null", to);
	fprintf(to, ",\"source\":\"%s\"}", option_source_names[t->source]);
}

static void write_config(const struct admin_config *c, FILE *to)
{
	struct metrics_process process = { .limit_connections = 0 };
	bool first = true;

	c->process(c->ctx, &process);
	fputs("{\"version\":\"" VERSION "\",\"options\":{", to);
	for (size_t i = 0; i < c->options->count; i++) {
		const struct option *o = &c->options->options[i];

		/* --help and its like are for another use of the program. */
		if (o->stands_alone)
			continue;
		write_option(o, &c->told[i], first, to);
		first = false;
	}
	fprintf(to, "\n},\"limits\":{\"connections\":%llu,\"memory_bytes\":%llu}}\n",
		(unsigned long long)process.limit_connections,
		(unsigned long long)process.limit_memory);
}

int admin_answer_config(const struct admin_config *config, const struct admin_request *q,
			struct admin_reply *r)
{
	_cleanup_free_ char *text = NULL;
	size_t len = 0;
	FILE *to;

	(void)q;
	if (!config->options)
		return admin_reply_line(r, 503, "no configuration");
	to = open_memstream(&text, &len);
	if (!to)
		return -ENOMEM;
	write_config(config, to);
	if (fclose(to) != 0)
		return -ENOMEM;
	r->type = admin_json_type;
	r->fields = admin_json_fields;
	return admin_reply_append(r, SPAN(text, len));
}
