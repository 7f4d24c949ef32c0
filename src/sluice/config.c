// SPDX-License-Identifier: GPL-2.0-or-later
/* Defaults, completion and cross-checks of the configuration: see config.h. */
#include "config.h"

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
	u32_ranges_fini(&c->exclude_uids);
	u32_ranges_fini(&c->exclude_gids);
	u32_ranges_fini(&c->include_uids);
	u32_ranges_fini(&c->include_gids);
	*c = (struct config){ 0 };
}

/* Includes that nobody gave mean everything, as "*" does. */
static void normalize_includes(struct u32_ranges *ports)
{
	ports->all |= ports->count == 0;
	u32_ranges_normalize(ports);
}

static int check_ports(const struct config *c, struct err *e)
{
	const struct {
		const char *option;
		uint16_t port;
	} others[] = {
		{ "--outbound-port", c->outbound_port },
		{ "--admin-port", c->admin_port },
	};
	unsigned last = c->inbound_port + CONTRACT_INBOUND_PORTS - 1u;

	if (last > UINT16_MAX)
		return err_usage(e,
				 "--inbound-port: '%u' leaves no room for the %u ports after it: "
				 "give 1 to %u",
				 c->inbound_port, CONTRACT_INBOUND_PORTS - 1,
				 UINT16_MAX - CONTRACT_INBOUND_PORTS + 1);
	for (size_t i = 0; i < ARRAY_SIZE(others); i++) {
		if (others[i].port >= c->inbound_port && others[i].port <= last)
			return err_usage(e,
					 "%s: '%u' is one of the inbound ports %u-%u "
					 "(--inbound-port)",
					 others[i].option, others[i].port, c->inbound_port, last);
	}
	if (c->outbound_port == c->admin_port)
		return err_usage(e, "--admin-port: '%u' is the outbound port (--outbound-port)",
				 c->admin_port);
	return 0;
}

int config_freeze(struct config *c, struct err *e)
{
	int rc = check_ports(c, e);

	if (rc < 0)
		return rc;
	if (!c->inbound && !c->outbound)
		return err_usage(e, "--inbound=off with --outbound=off leaves nothing to redirect: "
				    "use 'sluice remove'");
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
		return err_usage(e, "'+' would exclude every interface: turn a direction off with "
				    "--inbound=off or --outbound=off");
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
