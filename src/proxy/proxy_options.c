// SPDX-License-Identifier: GPL-2.0-or-later
/* The options of sluice-proxy, one row each: see options.h. */
#include "proxy_config.h"

#include "log.h"
#include "packet.h"
#include "parse.h"
#include "protocol.h"

static int read_port(void *field, struct span value, struct err *e)
{
	return parse_port(value, field, e);
}

static int read_bool(void *field, struct span value, struct err *e)
{
	return parse_bool(value, field, e);
}

static int read_threads(void *field, struct span value, struct err *e)
{
	return parse_u32(value, 1, 64, field, e);
}

/* Shorter beats cost CPU for nothing, longer ones leave a dead proxy's window open. */
static int read_beat(void *field, struct span value, struct err *e)
{
	return parse_duration_ms(value, 10, 10000, field, e);
}

static int read_beat_timeout(void *field, struct span value, struct err *e)
{
	return parse_duration_ms(value, 30, 60000, field, e);
}

static int read_drain(void *field, struct span value, struct err *e)
{
	return parse_duration_ms(value, 0, 24 * 3600000, field, e);
}

static int read_connections(void *field, struct span value, struct err *e)
{
	return parse_u32(value, 1, 10000000, field, e);
}

static int read_descriptors(void *field, struct span value, struct err *e)
{
	return parse_u32(value, 256, 10000000, field, e);
}

static int read_memory(void *field, struct span value, struct err *e)
{
	return parse_size(value, 8ull << 20, 1ull << 40, field, e);
}

static int read_samples(void *field, struct span value, struct err *e)
{
	return parse_u32(value, 1000, 10000000, field, e);
}

/* The kernel counts keepalive in whole seconds, up to MAX_TCP_KEEPIDLE of include/net/tcp.h. */
static int read_keepalive(void *field, struct span value, struct err *e)
{
	return parse_duration_ms(value, 1000, 32767000, field, e);
}

/* MAX_TCP_KEEPCNT of include/net/tcp.h. */
static int read_keepalive_count(void *field, struct span value, struct err *e)
{
	return parse_u32(value, 1, 127, field, e);
}

/* The first of several, between commas, that is not empty: of labels, say, that a pod may lack. */
static int read_name(void *field, struct span value, struct err *e)
{
	struct span name;
	bool done = false;

	while (span_next(&value, ',', &name, &done) && !name.len)
		;
	if (name.len > PROXY_NAME_MAX)
		return err_usage(e, "longer than %d characters", PROXY_NAME_MAX);
	memcpy(field, name.ptr, name.len);
	((char *)field)[name.len] = '\0';
	return 0;
}

static int read_path(void *field, struct span value, struct err *e)
{
	if (value.len > PROXY_PATH_MAX)
		return err_usage(e, "longer than %d characters", PROXY_PATH_MAX);
	memcpy(field, value.ptr, value.len);
	((char *)field)[value.len] = '\0';
	return 0;
}

static int read_log_buffer(void *field, struct span value, struct err *e)
{
	return parse_u32(value, 64, 1048576, field, e);
}

static int read_cidrs(void *field, struct span value, struct err *e)
{
	return cidr_list_parse_item(field, value, false, e);
}

static int read_inbound_mode(void *field, struct span value, struct err *e)
{
	static const char *const words[] = { "redirect", "tproxy" };
	_Static_assert(ARRAY_SIZE(words) == INBOUND_MODE_COUNT, "a word for each mode");

	return parse_word(value, words, ARRAY_SIZE(words), field, e);
}

static int read_outbound_mode(void *field, struct span value, struct err *e)
{
	static const char *const words[] = { "original", "host" };
	_Static_assert(ARRAY_SIZE(words) == OUTBOUND_MODE_COUNT, "a word for each mode");

	return parse_word(value, words, ARRAY_SIZE(words), field, e);
}

static int read_target(void *field, struct span value, struct err *e)
{
	return target_parse(value, field, e);
}

static int read_route(void *field, struct span value, struct err *e)
{
	return routes_add(field, value, e);
}

static int read_log_target(void *field, struct span value, struct err *e)
{
	return parse_word(value, access_target_names, ACCESS_TARGET_COUNT, field, e);
}

static int read_semconv(void *field, struct span value, struct err *e)
{
	return parse_word(value, semconv_names, SEMCONV_COUNT, field, e);
}

/* One address of the list, more. */
static int read_admin_listen(void *field, struct span value, struct err *e)
{
	struct proxy_admin *more = field;
	struct endpoint at;

	if (endpoint_parse(value, &at, NULL) < 0 || !at.port)
		return err_usage(e,
				 "'%.*s' is not an address with a port: write 0.0.0.0:8001 or "
				 "[::]:8001",
				 (int)MIN(value.len, 80u), value.ptr);
	if (more->count == PROXY_ADMIN_MAX)
		return err_usage(e, "more than %u addresses", PROXY_ADMIN_MAX);
	more->at[more->count++] = (struct proxy_admin_at){ at.addr, at.port };
	return 0;
}

/* Which they are is for the rules; here it matters that there are any. */
static int read_interfaces(void *field, struct span value, struct err *e)
{
	(void)value, (void)e;
	*(bool *)field = true;
	return 0;
}

static int read_log_level(void *field, struct span value, struct err *e)
{
	static const char *const words[] = { "error", "warn", "info", "debug" };
	_Static_assert(ARRAY_SIZE(words) == LOG_LEVEL_COUNT, "a word for each level");

	return parse_word(value, words, ARRAY_SIZE(words), field, e);
}

#define FIELD(f) .offset = offsetof(struct proxy_config, f), .commands = 1

static const struct option rows[] = {
	{ "inbound-port", "PORT", "9211",
	  "where inbound connections are redirected to; its 15 successors are listened on too",
	  OPTION_VALUE, .parse = read_port, FIELD(inbound_port) },
	{ "outbound-port", "PORT", "9001",
	  "where outbound connections are redirected to; listened on at loopback alone",
	  OPTION_VALUE, .parse = read_port, FIELD(outbound_port) },
	{ "admin-port", "PORT", "9901",
	  "where metrics, probes, the live page and its like are served", OPTION_VALUE,
	  .parse = read_port, FIELD(admin_port) },
	{ "admin-listen", "ADDR:PORT,...", NULL,
	  "serve the same there too: 0.0.0.0:8001 or [::]:8001, say. Connections to such a port "
	  "are "
	  "redirected like others, unless sluice apply is given it as --inbound-exclude-ports",
	  OPTION_LIST, .parse = read_admin_listen, FIELD(admin_listen) },
	{ "admin-open", "on|off", "off",
	  "let every peer ask the admin port for what is for loopback alone: everybody who can "
	  "reach it can then stop the proxy, and read where connections go",
	  OPTION_FLAG, .parse = read_bool, FIELD(admin_open) },
	{ "inbound-mode", "redirect|tproxy", "redirect",
	  "as given to sluice apply; with tproxy, which needs CAP_NET_RAW or CAP_NET_ADMIN, the "
	  "application sees the client's address",
	  OPTION_VALUE, .parse = read_inbound_mode, FIELD(inbound_mode) },
	{ "inbound-target", "[ADDRESS]:PORT", "the original destination",
	  "where inbound connections are sent: to this address and port, or to this port of the "
	  "address that the client chose",
	  OPTION_VALUE, .parse = read_target, FIELD(inbound_target) },
	{ "outbound-mode", "original|host", "original",
	  "where outbound connections go: where they were going, or (HTTP) to the host that their "
	  "requests name; clients that use the outbound port as their HTTP proxy are served in "
	  "both",
	  OPTION_VALUE, .parse = read_outbound_mode, FIELD(outbound_mode) },
	{ "virtual-interfaces", "NAMES", NULL,
	  "as given to sluice apply: then the outbound port and its 15 successors are listened on "
	  "at any address",
	  OPTION_LIST, .parse = read_interfaces, FIELD(virtual_interfaces) },
	{ "transparent", "on|off", "off",
	  "set IP_TRANSPARENT on the inbound listeners, as --inbound-mode=tproxy does", OPTION_FLAG,
	  .parse = read_bool, FIELD(transparent) },
	{ "threads", "N", "1", "event loops that share the connections", OPTION_VALUE,
	  .parse = read_threads, FIELD(threads) },
	{ "heartbeat-interval", "TIME", "100ms",
	  "how often the kernel is told that the proxy is alive", OPTION_VALUE, .parse = read_beat,
	  FIELD(beat_ms) },
	{ "heartbeat-timeout", "TIME", "300ms",
	  "how long the kernel believes it: as given to sluice apply", OPTION_VALUE,
	  .parse = read_beat_timeout, FIELD(beat_timeout_ms) },
	{ "drain-timeout", "TIME", "25s",
	  "how long a stop waits for connections to end before it resets them", OPTION_VALUE,
	  .parse = read_drain, FIELD(drain_ms) },
	{ "max-connections", "N", "from the descriptor limit",
	  "connections at once; from 90 % on new ones go past the proxy", OPTION_VALUE,
	  .parse = read_connections, FIELD(max_connections) },
	{ "max-descriptors", "N", "the hard limit",
	  "descriptors of the worker; from 90 % on new connections go past the proxy", OPTION_VALUE,
	  .parse = read_descriptors, FIELD(max_descriptors) },
	{ "max-memory", "SIZE", "512MiB, or half of the container's",
	  "resident memory of the worker; from 90 % on new connections go past the proxy",
	  OPTION_VALUE, .parse = read_memory, FIELD(max_memory) },
	{ "max-samples", "N", "20000", "lines of /metrics at most; what is beyond is summed up",
	  OPTION_VALUE, .parse = read_samples, FIELD(max_samples) },
	{ "keepalive-idle", "TIME", "25s", "silence after which TCP keepalive probes begin",
	  OPTION_VALUE, .parse = read_keepalive, FIELD(keepalive_idle_ms) },
	{ "keepalive-interval", "TIME", "25s", "time between two keepalive probes", OPTION_VALUE,
	  .parse = read_keepalive, FIELD(keepalive_interval_ms) },
	{ "keepalive-count", "N", "127", "unanswered probes after which a peer is dead",
	  OPTION_VALUE, .parse = read_keepalive_count, FIELD(keepalive_count) },
	{ "access-log", "PATH|-", NULL,
	  "write a line of JSON for each request, gRPC call, and TCP or TLS connection that ended "
	  "to "
	  "this file, - being standard output; lines that find no room are dropped, and counted",
	  OPTION_VALUE, .parse = read_path, FIELD(access_log) },
	{ "access-log-buffer", "N", "4096",
	  "lines that each thread may hold back for a slow reader of the access log", OPTION_VALUE,
	  .parse = read_log_buffer, FIELD(access_log_buffer) },
	{ "access-log-target", "none|path|query", "none",
	  "what of each request's target the access log has: nothing, its path, or its query as "
	  "well; they may hold names, tokens and keys",
	  OPTION_VALUE, .parse = read_log_target, FIELD(access_log_target) },
	{ "service-name", "NAME,...", NULL,
	  "service_name on every series: the first of these that is not empty", OPTION_VALUE,
	  .parse = read_name, FIELD(service_name) },
	{ "service-namespace", "NAME,...", NULL, "service_namespace on every series, likewise",
	  OPTION_VALUE, .parse = read_name, FIELD(service_namespace) },
	{ "sandbox", "on|off", "on",
	  "forbid the system calls that serving does not take (seccomp), and reading the worker's "
	  "memory; off, to trace it or to have core files",
	  OPTION_VALUE, .parse = read_bool, FIELD(sandbox) },
	{ "route", "TEMPLATES", NULL,
	  "paths that http_route tells apart: segments, {name} for any one of them, at the end "
	  "{name...} for all the rest; without them no path is a label",
	  OPTION_LIST, .parse = read_route, FIELD(routes) },
	{ "no-ptr", NULL, NULL,
	  "do not ask DNS what private addresses are called: server_address is then what the "
	  "client "
	  "says (Host, SNI), or the address",
	  OPTION_FLAG, .parse = read_bool, FIELD(no_ptr) },
	{ "cluster-cidrs", "CIDRS", NULL,
	  "addresses that are asked for as private ones are (10.0.0.0/8, 100.64.0.0/10, "
	  "172.16.0.0/12, 192.168.0.0/16, fc00::/7)",
	  OPTION_LIST, .parse = read_cidrs, FIELD(cluster_cidrs) },
	{ "resolv-conf", "FILE", "/etc/resolv.conf",
	  "names DNS servers and search domains for the proxy's own questions", OPTION_VALUE,
	  .parse = read_path, FIELD(resolv_conf) },
	{ "semconv", "otel|beyla|dup", "otel",
	  "names of gRPC metrics: OpenTelemetry's stable ones, the older ones that dashboards made "
	  "for Beyla and OBI ask for, or both",
	  OPTION_VALUE, .parse = read_semconv, FIELD(semconv) },
	{ "log-level", "LEVEL", "info", "least urgent lines to print: error, warn, info, debug",
	  OPTION_VALUE, .parse = read_log_level, FIELD(log_level) },
	{ "config", "FILE", NULL,
	  "read options that are given neither here nor in the environment from this file: lines "
	  "of "
	  "NAME = VALUE",
	  OPTION_FILE, .commands = 1 },
	{ "help", NULL, NULL, "print this and exit", OPTION_FLAG, .parse = read_bool,
	  .command_line_only = true, .stands_alone = true, FIELD(help) },
	{ "man", NULL, NULL, "print the manual page in mdoc and exit", OPTION_FLAG,
	  .parse = read_bool, .command_line_only = true, .stands_alone = true, FIELD(man) },
	{ "version", NULL, NULL, "print the version and exit", OPTION_FLAG, .parse = read_bool,
	  .command_line_only = true, .stands_alone = true, FIELD(version) },
};

const struct option_table proxy_options = { rows, ARRAY_SIZE(rows) };

void proxy_config_init(struct proxy_config *c)
{
	*c = (struct proxy_config){
		.inbound_port = CONTRACT_INBOUND_PORT,
		.outbound_port = CONTRACT_OUTBOUND_PORT,
		.admin_port = CONTRACT_ADMIN_PORT,
		.threads = 1,
		.beat_ms = 100,
		.beat_timeout_ms = CONTRACT_BEAT_TIMEOUT_MS,
		.drain_ms = 25000,
		.max_samples = 20000,
		.access_log_buffer = 4096,
		.sandbox = true,
		.keepalive_idle_ms = 25000,
		.keepalive_interval_ms = 25000,
		.keepalive_count = 127,
		.log_level = LOG_INFO,
		.resolv_conf = "/etc/resolv.conf",
	};
}

void proxy_config_fini(struct proxy_config *c)
{
	routes_free(take_ptr(&c->routes));
	options_told_fini(&proxy_options, c->told);
	free(take_ptr(&c->told));
	cidr_list_fini(&c->cluster_cidrs);
}

/* Whether @port is one of @count from @first on. */
static bool in_range(unsigned port, unsigned first, unsigned count)
{
	return port >= first && port < first + count;
}

/* Also at other addresses: which of them are this host's may change. */
static int check_target(const struct proxy_config *c, struct err *e)
{
	const struct target *t = &c->inbound_target;
	bool own = in_range(t->port, c->inbound_port, CONTRACT_INBOUND_PORTS) ||
		   in_range(t->port, c->outbound_port, proxy_config_outbound_ports(c)) ||
		   t->port == c->admin_port;

	for (unsigned i = 0; i < c->admin_listen.count; i++)
		own |= t->port == c->admin_listen.at[i].port;
	if (!t->given || !own)
		return 0;
	return err_usage(e,
			 "--inbound-target: port %u is one that this proxy itself listens on: "
			 "connections would come back for ever, or reach its admin port",
			 t->port);
}

/* Ports that are taken by ourselves. */
static int check_admin_listen(const struct proxy_config *c, struct err *e)
{
	for (unsigned i = 0; i < c->admin_listen.count; i++) {
		const struct proxy_admin_at *at = &c->admin_listen.at[i];

		if (in_range(at->port, c->inbound_port, CONTRACT_INBOUND_PORTS) ||
		    in_range(at->port, c->outbound_port, proxy_config_outbound_ports(c)))
			return err_usage(e,
					 "--admin-listen: %u is an outbound port or lies in the "
					 "inbound range %u-%u",
					 at->port, c->inbound_port,
					 c->inbound_port + CONTRACT_INBOUND_PORTS - 1u);
		if (at->port == c->admin_port)
			return err_usage(
				e,
				"--admin-listen: %u is --admin-port, which is listened on at "
				"every address",
				at->port);
	}
	return 0;
}

int proxy_config_check(const struct proxy_config *c, struct err *e)
{
	unsigned last = c->inbound_port + CONTRACT_INBOUND_PORTS - 1u;
	unsigned outbound_ports = proxy_config_outbound_ports(c);
	unsigned outbound_last = c->outbound_port + outbound_ports - 1;
	int rc;

	if (last > 65535)
		return err_usage(e,
				 "--inbound-port: %u leaves no room for its 15 successors: "
				 "use 65520 or less",
				 c->inbound_port);
	if (outbound_last > 65535)
		return err_usage(e,
				 "--outbound-port: %u leaves no room for its 15 successors, which "
				 "--virtual-interfaces needs: use 65520 or less",
				 c->outbound_port);
	if (in_range(c->outbound_port, c->inbound_port, CONTRACT_INBOUND_PORTS) ||
	    in_range(c->inbound_port, c->outbound_port, outbound_ports))
		return err_usage(e, "--outbound-port: %u-%u overlaps the inbound range %u-%u",
				 c->outbound_port, outbound_last, c->inbound_port, last);
	if (in_range(c->admin_port, c->inbound_port, CONTRACT_INBOUND_PORTS) ||
	    in_range(c->admin_port, c->outbound_port, outbound_ports))
		return err_usage(e,
				 "--admin-port: %u is an outbound port or lies in the inbound "
				 "range %u-%u",
				 c->admin_port, c->inbound_port, last);
	if (c->beat_timeout_ms < 2 * c->beat_ms)
		return err_usage(e,
				 "--heartbeat-timeout: %ums is less than two heartbeats of %ums: "
				 "one late beat would disarm the redirect",
				 c->beat_timeout_ms, c->beat_ms);
	rc = check_admin_listen(c, e);
	return rc < 0 ? rc : check_target(c, e);
}
