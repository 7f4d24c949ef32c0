// SPDX-License-Identifier: GPL-2.0-or-later
/* The end of proxied connections: see drain.h. */
#include "drain.h"

#include "sock_destroy.h"

#include <errno.h>

int drain_connections(const struct plan_ports *ports, struct backend_removed *done, struct err *e)
{
	const struct {
		uint16_t first, last;
	} ranges[] = {
		{ ports->inbound_first, ports->inbound_last },
		{ ports->outbound, ports->outbound },
	};

	for (size_t i = 0; i < ARRAY_SIZE(ranges); i++) {
		long n = ranges[i].first ? sock_destroy(ranges[i].first, ranges[i].last, e) : 0;

		if (n == -EOPNOTSUPP)
			done->cannot_destroy = true;
		else if (n < 0)
			return (int)n;
		else
			done->destroyed += (size_t)n;
	}
	return 0;
}
