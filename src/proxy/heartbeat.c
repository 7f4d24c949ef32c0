// SPDX-License-Identifier: GPL-2.0-or-later
/* The dead-man switch, our half: see heartbeat.h. */
#include "heartbeat.h"

#include "contract.h"

#include <errno.h>
#include <netinet/in.h>
#include <sys/socket.h>

bool heartbeat_send(const struct pod *pod)
{
	const struct sockaddr_in v4 = {
		.sin_family = AF_INET,
		.sin_port = htons(pod->inbound_port),
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK),
	};
	const struct sockaddr_in6 v6 = {
		.sin6_family = AF_INET6,
		.sin6_port = htons(pod->inbound_port),
		.sin6_addr = IN6ADDR_LOOPBACK_INIT,
	};
	const struct {
		const void *address;
		socklen_t len;
	} to[ADDR_FAMILY_COUNT] = { { &v4, sizeof(v4) }, { &v6, sizeof(v6) } };
	bool armed = false;

	for (unsigned f = 0; f < ADDR_FAMILY_COUNT; f++) {
		if (pod->heart[f] >= 0 &&
		    sendto(pod->heart[f], "", 1, MSG_NOSIGNAL, to[f].address, to[f].len) < 0)
			armed |= errno == EPERM;
	}
	return armed;
}

uint32_t heartbeat_life_ms(uint32_t timeout_ms)
{
	/* #syscalls access faccessat */
	bool legacy = access("/proc/self/net/xt_recent/" CONTRACT_RECENT_LIST, F_OK) == 0;

	return legacy ? (timeout_ms + 999) / 1000 * 1000 : timeout_ms;
}
