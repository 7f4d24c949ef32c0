// SPDX-License-Identifier: GPL-2.0-or-later
/* Defaults, completion and cross-checks of the configuration: see config.h. */
#include "config.h"

#include "version.h"

#include <errno.h>

void config_init(struct config *c)
{
	*c = (struct config){
		.inbound_port = CONTRACT_INBOUND_PORT,
		.outbound_port = CONTRACT_OUTBOUND_PORT,
		.admin_port = CONTRACT_ADMIN_PORT,
		.inbound = true,
		.outbound = true,
		.heartbeat_timeout_ms = CONTRACT_BEAT_TIMEOUT_MS,
		.lock_timeout_ms = 5000,
		.inject = { .image = "sluice:" VERSION,
			    .cpu_request = "10m",
			    .memory_request = "16Mi",
			    .memory_limit = "128Mi" },
	};
}

void config_fini(struct config *c)
{
	u32_ranges_fini(&c->proxy_uids);
	u32_ranges_fini(&c->proxy_gids);
	u32_ranges_fini(&c->inbound_include_ports);
	u32_ranges_fini(&c->inbound_exclude_ports);
	cidr_list_fini(&c->inbound_exclude_cidrs);
	u32_ranges_fini(&c->outbound_include_ports);
	u32_ranges_fini(&c->outbound_exclude_ports);
	cidr_list_fini(&c->outbound_include_cidrs);
	cidr_list_fini(&c->outbound_exclude_cidrs);
	free(c->exclude_interfaces.items);
	free(c->virtual_interfaces.items);
	u32_ranges_fini(&c->exclude_uids);
	u32_ranges_fini(&c->exclude_gids);
	u32_ranges_fini(&c->include_uids);
	u32_ranges_fini(&c->include_gids);
	free(c->operands);
	*c = (struct config){ 0 };
}

/* Includes that nobody gave mean everything, as "*" does. */
static void normalize_includes(struct u32_ranges *ports)
{
	ports->all |= ports->count == 0;
	u32_ranges_normalize(ports);
}

/* Where a proxy's port range begins, and what it takes up. */
struct port_range {
	const char *option;
	unsigned first, last;
};

static int check_room(const struct port_range *r, struct err *e)
{
	unsigned more = r->last - r->first;

	if (r->last <= UINT16_MAX)
		return 0;
	return err_usage(e, "%s: '%u' leaves no room for the %u ports after it: give 1 to %u",
			 r->option, r->first, more, UINT16_MAX - more);
}

/* Whether @port lies in @r. */
static bool in_port_range(const struct port_range *r, unsigned port)
{
	return port >= r->first && port <= r->last;
}

static int check_target(const struct config *c, const struct port_range *own, size_t count,
			struct err *e)
{
	const struct target *t = &c->inbound_target;

	for (size_t i = 0; t->given && i < count; i++) {
		if (in_port_range(&own[i], t->port))
			return err_usage(e,
					 "--inbound-target: port %u is one that the proxy itself "
					 "listens on (%s)",
					 t->port, own[i].option);
	}
	return 0;
}

static int check_ports(const struct config *c, struct err *e)
{
	unsigned outbound_more = c->virtual_interfaces.count ? CONTRACT_OUTBOUND_PORTS - 1 : 0;
	const struct port_range inbound = { "--inbound-port", c->inbound_port,
					    c->inbound_port + CONTRACT_INBOUND_PORTS - 1u };
	const struct port_range outbound = { "--outbound-port", c->outbound_port,
					     c->outbound_port + outbound_more };
	const struct port_range admin = { "--admin-port", c->admin_port, c->admin_port };
	const struct port_range own[] = { inbound, outbound, admin };
	const struct {
		const struct port_range *range, *other;
		const char *what;
	} pairs[] = {
		{ &outbound, &inbound, "inbound" },
		{ &admin, &inbound, "inbound" },
		{ &admin, &outbound, "outbound" },
	};

	if (check_room(&inbound, e) < 0 || check_room(&outbound, e) < 0)
		return e->code;
	for (size_t i = 0; i < ARRAY_SIZE(pairs); i++) {
		const struct port_range *r = pairs[i].range, *o = pairs[i].other;

		if (r->first > o->last || r->last < o->first)
			continue;
		if (o->first == o->last)
			return err_usage(e, "%s: '%u' is the %s port (%s)", r->option, r->first,
					 pairs[i].what, o->option);
		return err_usage(e, "%s: '%u' is one of the %s ports %u-%u (%s)", r->option,
				 r->first, pairs[i].what, o->first, o->last, o->option);
	}
	return check_target(c, own, ARRAY_SIZE(own), e);
}

static int check_directions(const struct config *c, struct err *e)
{
	if (!c->inbound && !c->outbound)
		return err_usage(e, "--inbound=off with --outbound=off leaves nothing to redirect: "
				    "use 'sluice remove'");
	if (!c->outbound && c->virtual_interfaces.count)
		return err_usage(e, "--virtual-interfaces: nothing outbound is redirected with "
				    "--outbound=off");
	if (!c->outbound && c->reject_quic)
		return err_usage(e, "--reject-quic: nothing outbound is redirected with "
				    "--outbound=off");
	return 0;
}

int config_freeze(struct config *c, struct err *e)
{
	int rc = check_ports(c, e);

	if (rc == 0)
		rc = check_directions(c, e);
	if (rc < 0)
		return rc;
	if (c->repair && !c->watch)
		return err_usage(e, "--repair: only with --watch: 'sluice apply' repairs once");
	if (!c->proxy_uids.count) {
		rc = u32_ranges_add(&c->proxy_uids, CONTRACT_PROXY_UID, CONTRACT_PROXY_UID, e);
		if (rc < 0)
			return rc;
	}
	u32_ranges_normalize(&c->proxy_uids);
	u32_ranges_normalize(&c->proxy_gids);
	normalize_includes(&c->inbound_include_ports);
	u32_ranges_normalize(&c->inbound_exclude_ports);
	cidr_list_normalize(&c->inbound_exclude_cidrs);
	normalize_includes(&c->outbound_include_ports);
	u32_ranges_normalize(&c->outbound_exclude_ports);
	c->outbound_include_cidrs.all |= !c->outbound_include_cidrs.family[ADDR_V4].count &&
					 !c->outbound_include_cidrs.family[ADDR_V6].count;
	cidr_list_normalize(&c->outbound_include_cidrs);
	cidr_list_normalize(&c->outbound_exclude_cidrs);
	u32_ranges_normalize(&c->exclude_uids);
	u32_ranges_normalize(&c->exclude_gids);
	u32_ranges_normalize(&c->include_uids);
	u32_ranges_normalize(&c->include_gids);
	return 0;
}

static bool iface_name_ok(struct span name)
{
	if (!name.len || name.len > IFACE_NAME_MAX || span_eq(name, SPAN_LIT(".")) ||
	    span_eq(name, SPAN_LIT("..")))
		return false;
	for (size_t i = 0; i < name.len; i++) {
		unsigned char c = (unsigned char)name.ptr[i];

		if (c <= ' ' || c >= 0x7f || strchr("/:*\"\\", c))
			return false;
	}
	return true;
}

int iface_list_parse_item(struct iface_list *l, struct span item, struct err *e)
{
	bool prefix = item.len > 1 && item.ptr[item.len - 1] == '+';
	struct span name = SPAN(item.ptr, item.len - prefix);
	struct iface *i;

	if (span_eq(item, SPAN_LIT("+")))
		return err_usage(
			e, "'+' would be every interface: a wildcard needs a beginning, as in "
			   "'veth+'");
	if (!iface_name_ok(name))
		return err_usage(e,
				 "'%.*s' is not the name of an interface: 1 to %u characters, "
				 "a '+' at the end for all that begin so",
				 (int)MIN(item.len, 64u), item.ptr, IFACE_NAME_MAX);
	if (l->count == l->capacity) {
		size_t capacity = l->capacity ? 2 * l->capacity : 8;

		i = realloc(l->items, capacity * sizeof(*i));
		if (!i)
			return err_set(e, -ENOMEM, "out of memory for %zu interfaces", capacity);
		l->items = i;
		l->capacity = capacity;
	}
	i = &l->items[l->count++];
	*i = (struct iface){ .prefix = prefix };
	memcpy(i->name, name.ptr, name.len);
	return 0;
}
