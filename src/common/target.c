// SPDX-License-Identifier: GPL-2.0-or-later
/* Reading --inbound-target: see target.h. */
#include "target.h"

#include "packet.h"
#include "parse.h"

/* Why nobody can connect to @a; NULL: somebody may. */
static const char *unusable(const struct addr *a)
{
	if (addr_is_any(a))
		return "no address of anything: write 127.0.0.1 or [::1] for this host";
	if (a->family == ADDR_V6 && a->bytes[0] == 0xfe && (a->bytes[1] & 0xc0) == 0x80)
		return "link-local, and says nothing of the interface";
	if (a->family == ADDR_V6 ? a->bytes[0] == 0xff : a->bytes[0] >= 224)
		return "no address of one host";
	return NULL;
}

int target_parse(struct span s, struct target *out, struct err *e)
{
	struct target made = { .given = true };
	struct endpoint at;
	const char *why;

	if (s.len && s.ptr[0] == ':' &&
	    parse_port(SPAN(s.ptr + 1, s.len - 1), &made.port, NULL) == 0) {
		made.any_address = true;
		*out = made;
		return 0;
	}
	if (endpoint_parse(s, &at, NULL) < 0 || !at.port)
		return err_usage(e,
				 "'%.*s' is not an address with a port: write 127.0.0.1:8080, "
				 "[::1]:8080, or :8080 for a port alone",
				 (int)MIN(s.len, 80u), s.ptr);
	why = unusable(&at.addr);
	if (why)
		return err_usage(e, "'%.*s' is %s", (int)MIN(s.len, 80u), s.ptr, why);
	made.addr = at.addr;
	made.port = at.port;
	*out = made;
	return 0;
}

bool target_is_v4_loopback(const struct target *t)
{
	return t->given && !t->any_address && t->addr.family == ADDR_V4 && t->addr.bytes[0] == 127;
}
