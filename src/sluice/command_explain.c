// SPDX-License-Identifier: GPL-2.0-or-later
/* sluice explain: one question, or one per line of standard input. */
#include "commands.h"

#include "explain.h"
#include "json.h"
#include "privs.h"
#include "readback.h"

#include <errno.h>

/* What answers: the plan or, with --live, what the kernel holds. */
struct oracle {
	bool live;
	struct plan plan;
	struct readback kernel;
};

static int oracle_init(struct oracle *o, const struct config *c, struct err *e)
{
	int rc;

	*o = (struct oracle){ .live = c->live };
	if (c->netns && !c->live)
		return err_usage(e, "--netns: only with --live: the plan is the same in every "
				    "namespace");
	if (!c->live) {
		rc = privs_end(e);
		return rc < 0 ? rc : plan_build(&o->plan, c, e);
	}
	rc = commands_enter(c, e);
	if (rc < 0)
		return rc;
	readback_rules(&o->kernel);
	readback_armed(&o->kernel);
	if (readback_has_nft(&o->kernel) || readback_has_xt(&o->kernel))
		return privs_end(e);
	if (o->kernel.nft_seen)
		return err_set(e, -ENOENT,
			       "--live: there are no rules of ours: apply a plan first");
	*e = o->kernel.nft_why;
	return err_wrap(e, "--live");
}

static void oracle_fini(struct oracle *o)
{
	plan_fini(&o->plan);
	readback_fini(&o->kernel);
}

static int answer_xt(const struct readback *kernel, const struct packet *p, struct explanation *out,
		     struct err *e)
{
	const struct xtable *tables[LOWER_TABLE_COUNT];

	for (unsigned i = 0; i < LOWER_TABLE_COUNT; i++)
		tables[i] = &kernel->xt[i][p->to.addr.family];
	return explain_xt(tables, p, out, e);
}

static int answer(const struct oracle *o, const struct packet *asked, struct explanation *out,
		  struct err *e)
{
	enum readback_armed armed = o->kernel.armed[asked->to.addr.family];
	struct packet p = *asked;
	int rc;

	if (o->live && p.alive == PACKET_UNSAID && armed != READBACK_UNSEEN)
		p.alive = armed == READBACK_ARMED ? PACKET_YES : PACKET_NO;
	rc = packet_complete(&p, e);
	if (rc < 0)
		return rc;
	if (!o->live)
		return explain_plan(&o->plan, &p, out, e);
	if (readback_has_nft(&o->kernel))
		return explain_nft(&o->kernel.nft, &p, out, e);
	return answer_xt(&o->kernel, &p, out, e);
}

static void print(const struct explanation *x, unsigned output)
{
	char verdict[EXPLAIN_VERDICT_MAX];

	if (output == OUTPUT_JSON) {
		explain_print_json(x, stdout);
		return;
	}
	printf("%s", explain_verdict_text(x, verdict));
	if (x->row[0])
		printf(": %s (%s): %s", x->row, explain_row_meaning(x->row), x->rule);
	else
		printf(": %s", x->rule[0] ? x->rule : "no rule is about it");
	putchar('\n');
}

#define WORDS_MAX 32

/* A line of options; what it leaves out is as on the command line. */
static int read_question(char *line, const struct config *c, struct packet *out, struct err *e)
{
	struct config scratch = { .packet = c->packet };
	char *argv[WORDS_MAX + 1] = { NULL }, *state = NULL;
	int argc = 1, rc;

	for (char *word = strtok_r(line, " \t\r\n", &state); word;
	     word = strtok_r(NULL, " \t\r\n", &state)) {
		if (argc == WORDS_MAX)
			return err_usage(e, "more than %d words on a line", WORDS_MAX - 1);
		argv[argc++] = word;
	}
	rc = options_parse(&config_options, COMMAND_QUESTION, argc, argv, NULL, &scratch, NULL, 0,
			   NULL, e);
	*out = scratch.packet;
	return rc;
}

static void print_failure(const struct err *e, unsigned output)
{
	if (output != OUTPUT_JSON) {
		printf("error: %s\n", e->text);
		return;
	}
	printf("{\"error\": ");
	json_string(span_str(e->text), stdout);
	puts("}");
}

/* Each line has its answer on one line, at once: another program may wait for it. */
static int answer_lines(const struct oracle *o, const struct config *c, struct err *e)
{
	_cleanup_free_ char *line = NULL;
	int status = EXIT_DONE;
	size_t capacity = 0;

	while (getline(&line, &capacity, stdin) >= 0) {
		struct err failure = ERR_INIT;
		struct explanation x;
		struct packet p;

		if (read_question(line, c, &p, &failure) < 0 || answer(o, &p, &x, &failure) < 0) {
			print_failure(&failure, c->output);
			status = EXIT_USAGE;
		} else {
			print(&x, c->output);
		}
		if (fflush(stdout) == EOF)
			return err_sys(e, -errno, "cannot write the answers");
	}
	return ferror(stdin) ? err_sys(e, -EIO, "cannot read the questions") : status;
}

int command_explain(const struct config *c, struct err *e)
{
	struct explanation x;
	struct oracle o;
	int rc = oracle_init(&o, c, e);

	if (rc == 0 && c->batch) {
		rc = answer_lines(&o, c, e);
	} else if (rc == 0) {
		rc = answer(&o, &c->packet, &x, e);
		if (rc == 0)
			print(&x, c->output);
	}
	oracle_fini(&o);
	return rc;
}
