// SPDX-License-Identifier: GPL-2.0-or-later
/* The options of sluice, one row each: flag, environment variable, help and man page. */
#include "config.h"

#include "parse.h"
#include "version.h"

#include <errno.h>
#include <grp.h>
#include <pwd.h>

/* The largest uid and gid: (uid_t)-1 means "no such" to the kernel. */
#define OWNER_MAX 4294967294u

static int option_port(void *field, struct span value, struct err *e)
{
	return parse_port(value, field, e);
}

static int option_switch(void *field, struct span value, struct err *e)
{
	return parse_bool(value, field, e);
}

static int option_ports(void *field, struct span value, struct err *e)
{
	return u32_ranges_parse_item(field, value, 1, 65535, false, e);
}

static int option_ports_star(void *field, struct span value, struct err *e)
{
	return u32_ranges_parse_item(field, value, 1, 65535, true, e);
}

static int option_cidrs(void *field, struct span value, struct err *e)
{
	return cidr_list_parse_item(field, value, false, e);
}

static int option_cidrs_star(void *field, struct span value, struct err *e)
{
	return cidr_list_parse_item(field, value, true, e);
}

static int option_interfaces(void *field, struct span value, struct err *e)
{
	return iface_list_parse_item(field, value, e);
}

/* A name begins with anything but a digit; only then is the name service asked. */
static bool owner_is_name(struct span value, char *name, size_t size)
{
	if (!value.len || (value.ptr[0] >= '0' && value.ptr[0] <= '9') || value.len >= size ||
	    memchr(value.ptr, '\0', value.len))
		return false;
	memcpy(name, value.ptr, value.len);
	name[value.len] = '\0';
	return true;
}

static int owner_unknown(const char *what, const char *name, int error, struct err *e)
{
	/* getpwnam(3) leaves errno at 0, or one of these, when there just is no such name. */
	if (error && error != ENOENT && error != ESRCH && error != EBADF && error != EPERM)
		return err_usage(e, "cannot look up %s '%s': %s", what, name, strerror(error));
	return err_usage(e, "unknown %s '%s'", what, name);
}

static int option_uids(void *field, struct span value, struct err *e)
{
	const struct passwd *user;
	char name[256];

	if (!owner_is_name(value, name, sizeof(name)))
		return u32_ranges_parse_item(field, value, 0, OWNER_MAX, false, e);
	errno = 0;
	user = getpwnam(name);
	if (!user)
		return owner_unknown("user", name, errno, e);
	return u32_ranges_add(field, user->pw_uid, user->pw_uid, e);
}

static int option_gids(void *field, struct span value, struct err *e)
{
	const struct group *group;
	char name[256];

	if (!owner_is_name(value, name, sizeof(name)))
		return u32_ranges_parse_item(field, value, 0, OWNER_MAX, false, e);
	errno = 0;
	group = getgrnam(name);
	if (!group)
		return owner_unknown("group", name, errno, e);
	return u32_ranges_add(field, group->gr_gid, group->gr_gid, e);
}

static int option_closed(void *field, struct span value, struct err *e)
{
	static const char *const words[] = { "refuse", "redirect" };

	_Static_assert(ARRAY_SIZE(words) == CLOSED_MODE_COUNT, "a word for each");
	return parse_word(value, words, ARRAY_SIZE(words), field, e);
}

static int option_inbound_mode(void *field, struct span value, struct err *e)
{
	static const char *const words[] = { "redirect", "tproxy" };

	_Static_assert(ARRAY_SIZE(words) == INBOUND_MODE_COUNT, "a word for each");
	return parse_word(value, words, ARRAY_SIZE(words), field, e);
}

static int option_target(void *field, struct span value, struct err *e)
{
	return target_parse(value, field, e);
}

/* "30", as users write seconds, or "30s", as everything else here. */
static int option_drain(void *field, struct span value, struct err *e)
{
	uint32_t seconds;

	if (parse_u32(value, 0, 24 * 3600, &seconds, NULL) < 0)
		return parse_duration_ms(value, 0, 24 * 3600000, field, e);
	*(uint32_t *)field = 1000 * seconds;
	return 0;
}

static int option_fail(void *field, struct span value, struct err *e)
{
	static const char *const words[] = { "open", "closed" };

	_Static_assert(ARRAY_SIZE(words) == FAIL_MODE_COUNT, "a word for each");
	return parse_word(value, words, ARRAY_SIZE(words), field, e);
}

static int option_format(void *field, struct span value, struct err *e)
{
	static const char *const words[] = { "text", "nft", "iptables", "ip6tables", "json" };

	_Static_assert(ARRAY_SIZE(words) == PLAN_FORMAT_COUNT, "a word for each");
	return parse_word(value, words, ARRAY_SIZE(words), field, e);
}

static int option_backend(void *field, struct span value, struct err *e)
{
	static const char *const words[] = { "auto", "nft", "iptables" };

	_Static_assert(ARRAY_SIZE(words) == BACKEND_CHOICE_COUNT, "a word for each");
	return parse_word(value, words, ARRAY_SIZE(words), field, e);
}

static int option_lock_timeout(void *field, struct span value, struct err *e)
{
	return parse_duration_ms(value, 1, 600000, field, e);
}

static int option_beat_timeout(void *field, struct span value, struct err *e)
{
	return parse_duration_ms(value, 20, 60000, field, e);
}

static int option_netns(void *field, struct span value, struct err *e)
{
	(void)e;
	*(const char **)field = value.ptr; /* always an argument: NUL-terminated, outlives us */
	return 0;
}

static int option_output(void *field, struct span value, struct err *e)
{
	static const char *const words[] = { "text", "json" };

	_Static_assert(ARRAY_SIZE(words) == OUTPUT_FORMAT_COUNT, "a word for each");
	return parse_word(value, words, ARRAY_SIZE(words), field, e);
}

static int option_direction(void *field, struct span value, struct err *e)
{
	static const char *const words[] = { "outbound", "inbound" };

	_Static_assert(ARRAY_SIZE(words) == PACKET_DIRECTION_COUNT, "a word for each");
	return parse_word(value, words, ARRAY_SIZE(words), field, e);
}

static int option_protocol(void *field, struct span value, struct err *e)
{
	static const char *const words[] = { "tcp", "udp" };

	_Static_assert(ARRAY_SIZE(words) == PACKET_PROTOCOL_COUNT, "a word for each");
	return parse_word(value, words, ARRAY_SIZE(words), field, e);
}

static int option_endpoint(void *field, struct span value, struct err *e)
{
	return endpoint_parse(value, field, e);
}

static int option_address(void *field, struct span value, struct err *e)
{
	return addr_parse(value, field, e);
}

static int option_owner(void *field, struct span value, struct err *e)
{
	return parse_u32(value, 0, OWNER_MAX, field, e);
}

static int option_iface(void *field, struct span value, struct err *e)
{
	char *name = field;

	if (!value.len || value.len >= PACKET_IFACE_MAX)
		return err_usage(e, "'%.*s' is not the name of an interface: 1 to %u characters",
				 (int)MIN(value.len, 64u), value.ptr, PACKET_IFACE_MAX - 1);
	memset(name, 0, PACKET_IFACE_MAX);
	memcpy(name, value.ptr, value.len);
	return 0;
}

/* On or off, where not saying it is a third. */
static int option_answer(void *field, struct span value, struct err *e)
{
	unsigned *said = field;
	bool yes = false;
	int rc = parse_bool(value, &yes, e);

	if (rc == 0)
		*said = yes ? PACKET_YES : PACKET_NO;
	return rc;
}

static int option_argument(void *field, struct span value, struct err *e)
{
	(void)e;
	*(const char **)field = value.ptr; /* as of --netns */
	return 0;
}

static int option_set(void *field, struct span value, struct err *e)
{
	struct config *c = field;

	if (!memchr(value.ptr, '=', value.len))
		return err_usage(e, "'%.*s': write NAME=VALUE", (int)MIN(value.len, 64u),
				 value.ptr);
	if (c->set_count == ARRAY_SIZE(c->sets))
		return err_usage(e, "given more than %zu times", ARRAY_SIZE(c->sets));
	c->sets[c->set_count++] = value.ptr;
	return 0;
}

static int option_form(void *field, struct span value, struct err *e)
{
	static const char *const words[] = { "sidecar", "classic" };

	_Static_assert(ARRAY_SIZE(words) == INJECT_FORM_COUNT, "a word for each");
	return parse_word(value, words, ARRAY_SIZE(words), field, e);
}

static int option_policy_api(void *field, struct span value, struct err *e)
{
	static const char *const words[] = { "v1beta1", "v1" };

	_Static_assert(ARRAY_SIZE(words) == INJECT_POLICY_API_COUNT, "a word for each");
	return parse_word(value, words, ARRAY_SIZE(words), field, e);
}

static int option_pull_policy(void *field, struct span value, struct err *e)
{
	static const char *const words[] = { "Always", "IfNotPresent", "Never" };
	unsigned which;
	int rc = parse_word(value, words, ARRAY_SIZE(words), &which, e);

	if (rc == 0)
		*(const char **)field = words[which];
	return rc;
}

/* A quantity of Kubernetes: digits, perhaps a point and more, perhaps a unit. */
static int option_quantity(void *field, struct span value, struct err *e)
{
	static const char *const units[] = { "", "m", "k", "M", "G", "T", "Ki", "Mi", "Gi", "Ti" };
	size_t digits = strspn(value.ptr, "0123456789");
	bool known = false;

	if (digits && value.ptr[digits] == '.')
		digits += 1 + strspn(value.ptr + digits + 1, "0123456789");
	for (size_t i = 0; i < ARRAY_SIZE(units); i++)
		known |= strcmp(value.ptr + digits, units[i]) == 0;
	if (!digits || !known)
		return err_usage(e, "'%.64s' is no quantity: 10m, 0.5, 16Mi", value.ptr);
	*(const char **)field = value.ptr;
	return 0;
}

#define RULES (COMMAND_APPLY | COMMAND_PLAN | COMMAND_CHECK | COMMAND_EXPLAIN | COMMAND_VERIFY)
#define ALL                                                                                \
	(COMMAND_APPLY | COMMAND_REMOVE | COMMAND_PLAN | COMMAND_CHECK | COMMAND_VERSION | \
	 COMMAND_HELP | COMMAND_EXPLAIN | COMMAND_STATUS | COMMAND_VERIFY | COMMAND_INJECT)

/* name, value, default, help, kind, commands, command line only, parser, field */
#define ROW(...)                    \
	{                           \
		FIELDS(__VA_ARGS__) \
	}
#define FIELDS(name_, arg_, fallback_, help_, kind_, commands_, cli_, parse_, field_)              \
	.name = (name_), .arg = (arg_), .fallback = (fallback_), .help = (help_), .kind = (kind_), \
	.commands = (commands_), .command_line_only = (cli_), .parse = (parse_),                   \
	.offset = offsetof(struct config, field_)
/* The same, of rules, with what the script that this takes the place of called it. */
#define SCRIPT_ROW(script_, name, arg, fallback, help, kind, parse, field)           \
	{                                                                            \
		FIELDS(name, arg, fallback, help, kind, RULES, false, parse, field), \
			.script_name = (script_)                                     \
	}
#define VALUE(name, arg, fallback, help, parse, field) \
	ROW(name, arg, fallback, help, OPTION_VALUE, RULES, false, parse, field)
#define LIST(name, arg, fallback, help, parse, field) \
	ROW(name, arg, fallback, help, OPTION_LIST, RULES, false, parse, field)
#define SWITCH(name, help, field) \
	ROW(name, NULL, NULL, help, OPTION_FLAG, RULES, false, option_switch, field)
#define ALONE(name_, help_, commands_, field_)                                                  \
	{                                                                                       \
		.name = (name_), .help = (help_), .kind = OPTION_FLAG, .commands = (commands_), \
		.command_line_only = true, .parse = option_switch,                              \
		.offset = offsetof(struct config, field_), .stands_alone = true                 \
	}

#define INJECT(name, arg, fallback, help, kind, parse, field) \
	ROW(name, arg, fallback, help, kind, COMMAND_INJECT, true, parse, field)
#define ASK(name, arg, fallback, help, parse, field)                                           \
	ROW(name, arg, fallback, help, OPTION_VALUE, COMMAND_EXPLAIN | COMMAND_QUESTION, true, \
	    parse, packet.field)

static const struct option options[] = {
	SCRIPT_ROW("UID", "proxy-uid", "UIDS", "1337",
		   "users the proxy runs as: their connections are never redirected, their "
		   "heartbeat counts",
		   OPTION_LIST, option_uids, proxy_uids),
	SCRIPT_ROW("GID", "proxy-gid", "GIDS", NULL, "groups the proxy runs as, likewise",
		   OPTION_LIST, option_gids, proxy_gids),
	SCRIPT_ROW("PROXY_INGRESS_PORT", "inbound-port", "PORT", "9211",
		   "first of the 16 ports that inbound connections are redirected to", OPTION_VALUE,
		   option_port, inbound_port),
	SCRIPT_ROW("PROXY_EGRESS_PORT", "outbound-port", "PORT", "9001",
		   "port that outbound connections are redirected to", OPTION_VALUE, option_port,
		   outbound_port),
	VALUE("admin-port", "PORT", "9901", "the proxy's admin port, never redirected", option_port,
	      admin_port),
	VALUE("inbound", "on|off", "on", "redirect inbound connections", option_switch, inbound),
	VALUE("outbound", "on|off", "on", "redirect outbound connections", option_switch, outbound),
	SCRIPT_ROW("SERVICE_PORTS", "inbound-include-ports", "PORTS", "*",
		   "redirect only connections to these ports", OPTION_LIST, option_ports_star,
		   inbound_include_ports),
	LIST("inbound-exclude-ports", "PORTS", NULL, "leave connections to these ports alone",
	     option_ports, inbound_exclude_ports),
	LIST("inbound-exclude-cidrs", "CIDRS", NULL,
	     "leave connections from these source addresses alone", option_cidrs,
	     inbound_exclude_cidrs),
	VALUE("inbound-closed", "refuse|redirect", "refuse",
	      "what to do with connections to ports on which nobody listens", option_closed,
	      inbound_closed),
	VALUE("inbound-mode", "redirect|tproxy", "redirect",
	      "how inbound connections get to the proxy; with tproxy the application sees the "
	      "client's address, if sluice-proxy is told so too",
	      option_inbound_mode, inbound_mode),
	VALUE("inbound-target", "[ADDRESS]:PORT", "the original destination",
	      "as given to sluice-proxy; no rule depends on it, but with --inbound-mode=tproxy an "
	      "address of 127.0.0.0/8 needs net.ipv4.conf.all.route_localnet=1",
	      option_target, inbound_target),
	SWITCH("drop-invalid",
	       "drop TCP packets that arrive and belong to no connection (conntrack: invalid)",
	       drop_invalid),
	LIST("outbound-include-ports", "PORTS", "*", "redirect only connections to these ports",
	     option_ports_star, outbound_include_ports),
	LIST("outbound-exclude-ports", "PORTS", NULL, "leave connections to these ports alone",
	     option_ports, outbound_exclude_ports),
	LIST("outbound-include-cidrs", "CIDRS", "*",
	     "redirect only connections to these addresses; a family without any is left alone",
	     option_cidrs_star, outbound_include_cidrs),
	LIST("outbound-exclude-cidrs", "CIDRS", NULL, "leave connections to these addresses alone",
	     option_cidrs, outbound_exclude_cidrs),
	LIST("exclude-interfaces", "NAMES", NULL,
	     "leave connections through these interfaces alone; a '+' at the end is a wildcard",
	     option_interfaces, exclude_interfaces),
	LIST("virtual-interfaces", "NAMES", NULL,
	     "redirect what arrives on these interfaces and goes on as outbound: machines and "
	     "containers behind this namespace; sluice-proxy must be told too",
	     option_interfaces, virtual_interfaces),
	SWITCH("reject-quic",
	       "refuse outbound UDP to port 443 where TCP would be redirected, so that clients "
	       "use that",
	       reject_quic),
	LIST("exclude-uids", "UIDS", NULL, "leave connections of these users alone", option_uids,
	     exclude_uids),
	LIST("exclude-gids", "GIDS", NULL, "leave connections of these groups alone", option_gids,
	     exclude_gids),
	LIST("include-uids", "UIDS", NULL,
	     "redirect only connections of these users (and of --include-gids)", option_uids,
	     include_uids),
	LIST("include-gids", "GIDS", NULL,
	     "redirect only connections of these groups (and of --include-uids)", option_gids,
	     include_gids),
	VALUE("fail", "open|closed", "open",
	      "without a live proxy, let connections go direct (open) or fail (closed)",
	      option_fail, fail),
	VALUE("heartbeat-timeout", "TIME", "300ms",
	      "how long after the proxy's last heartbeat it counts as alive: 20ms to 60s",
	      option_beat_timeout, heartbeat_timeout_ms),
	ROW("backend", "auto|nft|iptables", "auto",
	    "nftables, the legacy tables of iptables, or (auto) these only where the kernel lacks "
	    "what nftables needs",
	    OPTION_VALUE, COMMAND_APPLY | COMMAND_REMOVE | COMMAND_CHECK | COMMAND_VERIFY, false,
	    option_backend, backend),
	ROW("lock-timeout", "TIME", "5s",
	    "how long to wait for another sluice or the lock of iptables: 1ms to 10m", OPTION_VALUE,
	    COMMAND_APPLY | COMMAND_REMOVE | COMMAND_CHECK, false, option_lock_timeout,
	    lock_timeout_ms),
	ROW("node-address", "ADDRESS", NULL,
	    "refuse to work where this address is one of the namespace's own: the node's, of which "
	    "a pod with hostNetwork would redirect everything",
	    OPTION_VALUE, COMMAND_APPLY, false, option_address, node_address),
	ROW("drain", "SECONDS", "0",
	    "before the rules go, let the connections through the proxy end by themselves for so "
	    "long",
	    OPTION_VALUE, COMMAND_REMOVE, false, option_drain, drain_ms),
	ROW("format", "text|nft|iptables|ip6tables|json", "text",
	    "a table to read, a file for 'nft -f', files for 'iptables-legacy-restore -n' and its "
	    "ip6tables twin, or JSON for programs",
	    OPTION_VALUE, COMMAND_PLAN, true, option_format, format),
	ROW("format", "text|json", "text", "a text to read, or JSON for programs", OPTION_VALUE,
	    COMMAND_EXPLAIN | COMMAND_STATUS | COMMAND_VERIFY, true, option_output, output),
	ASK("direction", "outbound|inbound", "outbound",
	    "who begins the connection: a process here, or somebody else", option_direction,
	    direction),
	ASK("protocol", "tcp|udp", "tcp", "the protocol", option_protocol, protocol),
	ASK("from", "ADDRESS[:PORT]", NULL, "where the connection comes from", option_endpoint,
	    from),
	ASK("to", "ADDRESS:PORT", NULL, "where it goes", option_endpoint, to),
	ASK("uid", "ID", "0", "the user who made the socket", option_owner, uid),
	ASK("gid", "ID", "0", "that user's group", option_owner, gid),
	ASK("iface", "NAME", "one that no option names",
	    "the interface that it leaves through, or arrived on", option_iface, iface),
	ASK("local", "on|off", "on if inbound or to loopback",
	    "whether the destination is an address of this namespace", option_answer, local),
	ASK("listening", "on|off", "on", "whether somebody here listens there", option_answer,
	    listening),
	ASK("alive", "on|off", "on; with --live, as it is", "whether the proxy is alive",
	    option_answer, alive),
	ROW("watch", NULL, NULL,
	    "go on until a signal, and tell each difference when it appears and when it is over",
	    OPTION_FLAG, COMMAND_CHECK, true, option_switch, watch),
	ROW("repair", NULL, NULL,
	    "with --watch: apply the plan again whenever there is a difference", OPTION_FLAG,
	    COMMAND_CHECK, true, option_switch, repair),
	ROW("live", NULL, NULL, "ask the rules that the kernel holds, not the plan", OPTION_FLAG,
	    COMMAND_EXPLAIN, true, option_switch, live),
	ROW("batch", NULL, NULL,
	    "answer each line of standard input, which has the options of one question",
	    OPTION_FLAG, COMMAND_EXPLAIN, true, option_switch, batch),
	ROW("netns", "PID|PATH", NULL,
	    "work in the network namespace of this process, or in the one at this path",
	    OPTION_VALUE,
	    COMMAND_APPLY | COMMAND_REMOVE | COMMAND_CHECK | COMMAND_EXPLAIN | COMMAND_STATUS |
		    COMMAND_VERIFY,
	    true, option_netns, netns),
	INJECT("image", "NAME", "sluice:" VERSION, "the container image of both programs",
	       OPTION_VALUE, option_argument, inject.image),
	INJECT("image-pull-policy", "Always|IfNotPresent|Never", NULL,
	       "when it is pulled; the cluster's default if not given", OPTION_VALUE,
	       option_pull_policy, inject.pull_policy),
	INJECT("form", "sidecar|classic", "sidecar",
	       "the proxy as an initContainer that goes on (Kubernetes 1.29 and later), or as one "
	       "more "
	       "container",
	       OPTION_VALUE, option_form, inject.form),
	{ .name = "set",
	  .arg = "NAME=VALUE",
	  .help = "an option of sluice apply or sluice-proxy, for the containers; may be given "
		  "several "
		  "times; an annotation sluice.dev/NAME of the pod comes before it",
	  .kind = OPTION_EACH,
	  .commands = COMMAND_INJECT,
	  .command_line_only = true,
	  .parse = option_set },
	INJECT("cpu-request", "QUANTITY", "10m", "CPU that the proxy is sure of", OPTION_VALUE,
	       option_quantity, inject.cpu_request),
	INJECT("cpu-limit", "QUANTITY", NULL,
	       "CPU that the proxy may use; a limit delays traffic, so there is none if not given",
	       OPTION_VALUE, option_quantity, inject.cpu_limit),
	INJECT("memory-request", "QUANTITY", "16Mi", "memory that the proxy is sure of",
	       OPTION_VALUE, option_quantity, inject.memory_request),
	INJECT("memory-limit", "QUANTITY", "128Mi", "memory that the proxy may use", OPTION_VALUE,
	       option_quantity, inject.memory_limit),
	INJECT("remove", NULL, NULL, "take out what inject put in", OPTION_FLAG, option_switch,
	       inject.remove),
	INJECT("component", NULL, NULL,
	       "read no manifests: print a component of kustomize that adds the same to them",
	       OPTION_FLAG, option_switch, inject.component),
	INJECT("policy", NULL, NULL,
	       "print, instead, an admission policy that does the same to new pods of the "
	       "namespaces with the label sluice.dev/inject=enabled",
	       OPTION_FLAG, option_switch, inject.policy),
	INJECT("policy-api", "v1beta1|v1", "v1beta1",
	       "which version of the API the policy is for: v1beta1 for Kubernetes 1.34 and 1.35, "
	       "v1 "
	       "from 1.36 on",
	       OPTION_VALUE, option_policy_api, inject.policy_api),
	{ .name = "script-environment",
	  .help = "take the variables of the script that Sluice takes the place of, too: "
		  "SERVICE_PORTS, UID, GID, PROXY_INGRESS_PORT, PROXY_EGRESS_PORT",
	  .kind = OPTION_FLAG,
	  .commands = RULES,
	  .command_line_only = true,
	  .parse = option_switch,
	  .offset = offsetof(struct config, script_environment),
	  .reads_script_names = true },
	{ .name = "config",
	  .arg = "FILE",
	  .help = "read options that are given neither here nor in the environment from this file: "
		  "lines of NAME = VALUE",
	  .kind = OPTION_FILE,
	  .commands = RULES | COMMAND_REMOVE },
	ALONE("man", "print the manual page in mdoc(7)", COMMAND_HELP, man),
	ALONE("help", "print this help", ALL, help),
};

const struct option_table config_options = { options, ARRAY_SIZE(options) };
