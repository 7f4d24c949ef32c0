// SPDX-License-Identifier: GPL-2.0-or-later
/* The commands, each from a configuration to the kernel and one line about it. */
#include "commands.h"

#include "backend_nft.h"
#include "log.h"
#include "netns.h"
#include "plan_print.h"
#include "privs.h"

/* Where the rules are, or shall be. */
static int enter(const struct config *c, struct err *e)
{
	int rc = c->netns ? netns_enter(c->netns, e) : 0;

	return rc < 0 ? rc : privs_joined(e);
}

/* "inbound to 9211-9226, outbound to 9001". */
static void print_redirects(const struct config *c)
{
	if (c->inbound)
		printf("inbound to %u-%u", c->inbound_port, config_inbound_last(c));
	printf("%s", c->inbound && c->outbound ? ", " : "");
	if (c->outbound)
		printf("outbound to %u", c->outbound_port);
	putchar('\n');
}

static int apply(const struct config *c, const struct plan *p, struct err *e)
{
	struct backend_applied done = { .changed = false };
	int rc = enter(c, e);

	if (rc == 0)
		rc = backend_nft_apply(p, &done, e);
	if (rc == 0)
		rc = privs_end(e);
	if (rc < 0)
		return rc;
	if (done.overtaken)
		log_warn("the rules were changed again by somebody else right after");
	if (done.changed)
		printf("sluice: applied: %zu rules, %zu sets of %zu ranges, ", plan_rule_count(p),
		       p->set_count, done.elements);
	else
		printf("sluice: nothing to change: %zu rules, ", plan_rule_count(p));
	print_redirects(c);
	return EXIT_DONE;
}

int command_apply(const struct config *c, struct err *e)
{
	struct plan p;
	int rc = plan_build(&p, c, e);

	if (rc == 0)
		rc = apply(c, &p, e);
	plan_fini(&p);
	return rc;
}

int command_remove(const struct config *c, struct err *e)
{
	struct backend_removed done = { .existed = false };
	int rc = enter(c, e);

	if (rc == 0)
		rc = backend_nft_remove(&done, e);
	if (rc == 0)
		rc = privs_end(e);
	if (rc < 0)
		return rc;
	if (done.cannot_destroy)
		log_warn(
			"this kernel cannot reset connections (INET_DIAG_DESTROY): those that went "
			"through the proxy hang until they time out");
	if (!done.existed)
		puts("sluice: nothing to remove");
	else
		printf("sluice: removed: the rules, and %zu proxied connections\n", done.destroyed);
	return EXIT_DONE;
}

int command_plan(const struct config *c, struct err *e)
{
	static void (*const print[])(const struct plan *, FILE *) = {
		[PLAN_FORMAT_TEXT] = plan_print_text,
		[PLAN_FORMAT_NFT] = plan_print_nft,
		[PLAN_FORMAT_JSON] = plan_print_json,
	};
	struct plan p;
	int rc = plan_build(&p, c, e);

	_Static_assert(ARRAY_SIZE(print) == PLAN_FORMAT_COUNT, "a printer for each format");
	if (rc == 0)
		print[c->format](&p, stdout);
	plan_fini(&p);
	return rc;
}

static void print_difference(const char *line, void *data)
{
	(void)data;
	puts(line);
}

static int check(const struct config *c, const struct plan *p, struct err *e)
{
	long differences = enter(c, e);

	if (differences == 0)
		differences = backend_nft_check(p, print_difference, NULL, e);
	if (differences < 0)
		return (int)differences;
	if (privs_end(e) < 0)
		return e->code;
	if (differences > 0)
		return EXIT_DRIFT;
	printf("sluice: the kernel holds the plan: %zu rules\n", plan_rule_count(p));
	return EXIT_DONE;
}

int command_check(const struct config *c, struct err *e)
{
	struct plan p;
	int rc = plan_build(&p, c, e);

	if (rc == 0)
		rc = check(c, &p, e);
	plan_fini(&p);
	return rc;
}
