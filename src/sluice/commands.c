// SPDX-License-Identifier: GPL-2.0-or-later
/* The commands, each from a configuration to the kernel and one line about it. */
#include "commands.h"

#include "backend_iptc.h"
#include "backend_nft.h"
#include "decode_xt.h"
#include "log.h"
#include "netns.h"
#include "plan_print.h"
#include "privs.h"
#include "rtnl.h"
#include "status.h"
#include "tproxy_route.h"
#include "watch.h"

#include <errno.h>

int commands_enter(const struct config *c, struct err *e)
{
	int rc = c->netns ? netns_enter(c->netns, e) : 0;

	return rc < 0 || c->joined ? rc : privs_joined(PRIVS_KERNEL, e);
}

/* "inbound to 9211-9226, outbound to 9001". */
static void print_redirects(const struct config *c)
{
	if (c->inbound && c->inbound_mode == INBOUND_TPROXY)
		printf("inbound by TPROXY to %u", c->inbound_port);
	else if (c->inbound)
		printf("inbound to %u-%u", c->inbound_port, config_inbound_last(c));
	printf("%s", c->inbound && c->outbound ? ", " : "");
	if (c->outbound)
		printf("outbound to %u", c->outbound_port);
	if (c->outbound && config_outbound_last(c) != c->outbound_port)
		printf("-%u", config_outbound_last(c));
	putchar('\n');
}

static struct backend_options options_of(const struct config *c)
{
	return (struct backend_options){ .lock_timeout_ms = c->lock_timeout_ms,
					 .drain_ms = c->drain_ms };
}

static void print_applied(const struct config *c, const struct backend_applied *done)
{
	const char *what = !done->changed		      ? "nothing to change"
			   : done->existed && !done->replaced ? "changed"
							      : "applied";

	printf("sluice: %s: %zu rule%s", what, done->rules, plural(done->rules));
	if (done->changed && done->sets)
		printf(", %zu set%s of %zu range%s", done->sets, plural(done->sets), done->elements,
		       plural(done->elements));
	if (done->by != &backend_nft)
		printf(" in %s", done->by->name);
	if (done->replaced)
		printf(" in place of those in %s",
		       (done->by == &backend_nft ? &backend_iptc : &backend_nft)->name);
	printf(", ");
	print_redirects(c);
}

/*
 * To open a table in order to see what is in it would make it. After `apply` it is no warning: in
 * the namespace of a new pod nobody has put a plan there before.
 */
static void tell_unseen(enum log_level level)
{
	log_line(level, "whether the legacy tables here hold another plan cannot be seen: that "
			"takes root and CAP_NET_RAW");
}

static void warn_counters(void)
{
	log_warn("the kernel refused to set the counters of others' rules: they start at 0");
}

/*
 * Whether the kernel drops what a proxy told so sends to its target: it keeps the client's address,
 * and 127.0.0.0/8 is for this host's own. 1, 0, or -errno with @e set.
 */
static int lacks_localnet(const struct config *c, struct err *e)
{
	int on;

	if (!c->inbound || c->inbound_mode != INBOUND_TPROXY ||
	    !target_is_v4_loopback(&c->inbound_target))
		return 0;
	on = tproxy_route_localnet(e);
	return on < 0 ? on : !on;
}

static int require_localnet(const struct config *c, struct err *e)
{
	int lacking = lacks_localnet(c, e);

	if (lacking <= 0)
		return lacking;
	return err_set(e, -EPERM,
		       "--inbound-target: with --inbound-mode=tproxy the kernel lets nobody reach "
		       "127.0.0.0/8: set net.ipv4.conf.all.route_localnet=1, or give a port alone");
}

/* A pod with hostNetwork is in the node's network namespace: that is not the pod's to redirect. */
static int refuse_node(const struct config *c, struct err *e)
{
	char text[ADDR_TEXT_MAX];
	struct nl_socket *nl;
	int local;

	if (addr_is_any(&c->node_address))
		return 0;
	nl = rtnl_socket_new(e);
	if (!nl)
		return e->code;
	local = tproxy_route_is_local(nl, &c->node_address, e);
	nl_socket_free(nl);
	if (local <= 0)
		return local;
	return err_set(e, -EPERM,
		       "--node-address: %s is an address of this network namespace: it is the "
		       "node's, and all of the node would be redirected: leave pods with "
		       "hostNetwork out",
		       addr_text(&c->node_address, text));
}

static int apply(const struct config *c, const struct plan *p, struct err *e)
{
	struct backend_options o = options_of(c);
	struct backend_applied done;
	int rc = commands_enter(c, e);

	if (rc == 0)
		rc = refuse_node(c, e);
	if (rc == 0)
		rc = require_localnet(c, e);
	if (rc == 0)
		rc = backend_apply(c->backend, p, &o, &done, e);
	if (rc == 0)
		rc = privs_end(e);
	if (rc < 0)
		return rc;
	if (done.overtaken)
		log_warn("the rules were changed again by somebody else right after");
	if (done.counters_lost)
		warn_counters();
	if (done.other_unseen)
		tell_unseen(LOG_INFO);
	print_applied(c, &done);
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
	struct backend_options o = options_of(c);
	int rc = commands_enter(c, e);

	if (rc == 0)
		rc = backend_remove(c->backend, &o, &done, e);
	if (rc == 0)
		rc = privs_end(e);
	if (rc < 0)
		return rc;
	if (done.counters_lost)
		warn_counters();
	if (done.unseen)
		tell_unseen(LOG_WARN);
	if (done.cannot_destroy)
		log_warn(
			"this kernel cannot reset connections (INET_DIAG_DESTROY): those that went "
			"through the proxy hang until they time out");
	if (!done.existed)
		puts(done.routed ? "sluice: removed: the routing" : "sluice: nothing to remove");
	else if (!done.destroyed)
		puts("sluice: removed: the rules");
	else
		printf("sluice: removed: the rules, and %zu proxied connection%s\n", done.destroyed,
		       plural(done.destroyed));
	return EXIT_DONE;
}

static int print_plan(const struct plan *p, enum plan_format format, struct err *e)
{
	switch (format) {
	case PLAN_FORMAT_TEXT:
		plan_print_text(p, stdout);
		return 0;
	case PLAN_FORMAT_NFT:
		plan_print_nft(p, stdout);
		return 0;
	case PLAN_FORMAT_IPTABLES:
		return decode_xt_print(p, ADDR_V4, stdout, e);
	case PLAN_FORMAT_IP6TABLES:
		return decode_xt_print(p, ADDR_V6, stdout, e);
	case PLAN_FORMAT_JSON:
		plan_print_json(p, stdout);
		return 0;
	case PLAN_FORMAT_COUNT:
		break;
	}
	return 0;
}

int command_plan(const struct config *c, struct err *e)
{
	struct plan p;
	int rc = privs_end(e);

	if (rc < 0)
		return rc;
	rc = plan_build(&p, c, e);
	if (rc == 0)
		rc = print_plan(&p, c->format, e);
	plan_fini(&p);
	return rc;
}

static bool begins(const char *line, const char *with)
{
	return strncmp(line, with, strlen(with)) == 0;
}

/* Whether a plan for other options can be all that makes this difference. */
static bool may_be_options(const char *line)
{
	if (begins(line, "changed table") || begins(line, "changed chain"))
		return false;
	/* Rules of ours name their row. */
	return !begins(line, "extra rule:") || strstr(line, "comment ");
}

static void print_difference(const char *line, void *data)
{
	bool *options = data;

	*options &= may_be_options(line);
	puts(line);
}

static int check(const struct config *c, const struct plan *p, struct err *e)
{
	struct backend_checked done = { .rules = 0 };
	long differences = commands_enter(c, e);
	bool options = true;
	int lacking;

	if (differences == 0 && c->watch) {
		lacking = require_localnet(c, e);
		return lacking < 0 ? lacking : watch_run(c, p, e);
	}
	if (differences == 0)
		differences = backend_check(c->backend, p, print_difference, &options, &done, e);
	lacking = differences < 0 ? 0 : lacks_localnet(c, e);
	if (differences < 0 || lacking < 0)
		return e->code;
	if (lacking) {
		options = false;
		puts("missing sysctl: net.ipv4.conf.all.route_localnet=1: for --inbound-target "
		     "with --inbound-mode=tproxy");
	}
	differences += lacking;
	if (privs_end(e) < 0)
		return e->code;
	if (done.unseen)
		tell_unseen(LOG_WARN);
	if (differences > 0 && options && done.held)
		log_info("if these come from options: give check the same ones, or the same "
			 "--config, as apply");
	if (differences > 0)
		return EXIT_DRIFT;
	printf("sluice: the kernel holds the plan: %zu rule%s", done.rules, plural(done.rules));
	if (done.by != &backend_nft)
		printf(" in %s", done.by->name);
	putchar('\n');
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

int command_status(const struct config *c, struct err *e)
{
	struct status s;
	int rc = commands_enter(c, e);

	if (rc < 0)
		return rc;
	status_gather(&s);
	rc = privs_end(e);
	if (rc == 0 && c->output == OUTPUT_JSON)
		status_print_json(&s, stdout);
	else if (rc == 0)
		status_print_text(&s, stdout);
	status_fini(&s);
	return rc;
}
