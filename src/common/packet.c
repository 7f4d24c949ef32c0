// SPDX-License-Identifier: GPL-2.0-or-later
/* Reading and completing the description of a packet: see packet.h. */
#include "packet.h"

#include "parse.h"

#include <errno.h>

/* Where the address ends and, behind it, the port's text; SPAN(NULL, 0) without one. */
static struct span split(struct span s, struct span *host)
{
	const char *end;

	*host = s;
	if (s.len && s.ptr[0] == '[') {
		end = memchr(s.ptr, ']', s.len);
		if (!end)
			return SPAN(NULL, 0);
		*host = SPAN(s.ptr + 1, (size_t)(end - s.ptr - 1));
		if (end + 1 == s.ptr + s.len)
			return SPAN(NULL, 0);
		return SPAN(end + 2, s.len - host->len - 3); /* another than ':' shows in parsing */
	}
	end = s.len ? memchr(s.ptr, ':', s.len) : NULL;
	if (!end || memchr(end + 1, ':', s.len - (size_t)(end + 1 - s.ptr)))
		return SPAN(NULL, 0);
	*host = SPAN(s.ptr, (size_t)(end - s.ptr));
	return SPAN(end + 1, s.len - host->len - 1);
}

int endpoint_parse(struct span s, struct endpoint *out, struct err *e)
{
	struct endpoint made = { .given = true };
	struct span host, port = split(s, &host);
	size_t behind = (size_t)(host.ptr - s.ptr) + host.len;
	bool bracket = s.len && s.ptr[0] == '[';

	if (addr_parse(host, &made.addr, NULL) < 0 ||
	    (bracket && behind + 1 < s.len && s.ptr[behind + 1] != ':') ||
	    (port.ptr && parse_port(port, &made.port, NULL) < 0))
		return err_usage(e,
				 "'%.*s' is not an address with a port: write 10.0.0.1:80 or "
				 "[fd00::1]:80",
				 (int)MIN(s.len, 80u), s.ptr);
	addr_unmap(&made.addr);
	*out = made;
	return 0;
}

static bool is_lo(const struct packet *p)
{
	return strcmp(p->iface, "lo") == 0;
}

/*
 * connect() to the address of nothing reaches this host: IPv4 where the socket is bound
 * (ip_route_output_key_hash_rcu()), and else, as IPv6 (tcp_v6_connect()), loopback.
 */
static void direct_to_self(struct packet *p)
{
	static const struct addr loopback[] = {
		[ADDR_V4] = { ADDR_V4, { 127, 0, 0, 1 } },
		[ADDR_V6] = { ADDR_V6, { [15] = 1 } },
	};
	struct addr *to = &p->to.addr;
	bool bound = to->family == ADDR_V4 && p->from.given && !addr_is_any(&p->from.addr);

	*to = bound ? p->from.addr : loopback[to->family];
	if (p->local == PACKET_UNSAID)
		p->local = PACKET_YES;
}

int packet_complete(struct packet *p, struct err *e)
{
	bool outbound = p->direction == PACKET_OUTBOUND;

	if (!p->to.given)
		return err_usage(e, "--to: say where the connection goes: --to=ADDRESS:PORT");
	if (!p->to.port)
		return err_usage(e, "--to: the port is missing: write 10.0.0.1:80 or [fd00::1]:80");
	if (p->from.given && p->from.addr.family != p->to.addr.family)
		return err_usage(e, "--from: its address family is not that of --to");
	if (outbound && addr_is_any(&p->to.addr))
		direct_to_self(p);
	if (addr_is_loopback(&p->to.addr) && p->local == PACKET_UNSAID)
		p->local = PACKET_YES;
	/* What goes to an address of this namespace itself leaves through lo, whatever has it. */
	if (outbound && p->local == PACKET_YES && !p->iface[0])
		memcpy(p->iface, "lo", sizeof("lo"));
	if (outbound && p->local == PACKET_YES && !is_lo(p))
		return err_usage(e, "--iface: '%s': what goes to a local address leaves through lo",
				 p->iface);
	if (p->local == PACKET_UNSAID)
		p->local = outbound ? PACKET_NO : PACKET_YES;
	if (p->listening == PACKET_UNSAID)
		p->listening = PACKET_YES;
	if (p->alive == PACKET_UNSAID)
		p->alive = PACKET_YES;
	return 0;
}
