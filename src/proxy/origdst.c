// SPDX-License-Identifier: GPL-2.0-or-later
/* Where a redirected connection was going: see origdst.h. */
#include "origdst.h"

#include <errno.h>
#include <linux/netfilter_ipv4.h>
#include <string.h>
#include <sys/socket.h>

/* linux/netfilter_ipv6/ip6_tables.h; that header cannot be included beside netinet/in.h. */
#ifndef IP6T_SO_ORIGINAL_DST
#define IP6T_SO_ORIGINAL_DST 80
#endif

int origdst_get(int fd, enum addr_family family, union sockaddr_any *out, bool *known)
{
	socklen_t len = sizeof(*out);
	int rc;

	*known = true;
	/* #syscalls getsockopt getsockname */
	rc = family == ADDR_V4 ? getsockopt(fd, IPPROTO_IP, SO_ORIGINAL_DST, out, &len)
			       : getsockopt(fd, IPPROTO_IPV6, IP6T_SO_ORIGINAL_DST, out, &len);
	if (rc == 0)
		return 0;
	*known = false;
	len = sizeof(*out);
	return getsockname(fd, &out->sa, &len) < 0 ? -errno : 0;
}

void sockaddr_set_port(union sockaddr_any *sa, uint16_t port)
{
	if (sa->sa.sa_family == AF_INET)
		sa->v4.sin_port = htons(port);
	else
		sa->v6.sin6_port = htons(port);
}

void sockaddr_set(union sockaddr_any *sa, const struct addr *a, uint16_t port)
{
	memset(sa, 0, sizeof(*sa));
	sa->sa.sa_family = a->family == ADDR_V4 ? AF_INET : AF_INET6;
	if (a->family == ADDR_V4)
		memcpy(&sa->v4.sin_addr, a->bytes, 4);
	else
		memcpy(&sa->v6.sin6_addr, a->bytes, 16);
	sockaddr_set_port(sa, port);
}

socklen_t sockaddr_len(const union sockaddr_any *sa)
{
	return sa->sa.sa_family == AF_INET ? sizeof(sa->v4) : sizeof(sa->v6);
}

uint16_t sockaddr_port(const union sockaddr_any *sa)
{
	return ntohs(sa->sa.sa_family == AF_INET ? sa->v4.sin_port : sa->v6.sin6_port);
}

struct addr sockaddr_addr(const union sockaddr_any *sa)
{
	struct addr a = { .family = sa->sa.sa_family == AF_INET ? ADDR_V4 : ADDR_V6 };

	if (a.family == ADDR_V4)
		memcpy(a.bytes, &sa->v4.sin_addr, 4);
	else
		memcpy(a.bytes, &sa->v6.sin6_addr, 16);
	return a;
}

bool sockaddr_equal(const union sockaddr_any *a, const union sockaddr_any *b)
{
	struct addr x = sockaddr_addr(a), y = sockaddr_addr(b);

	return sockaddr_port(a) == sockaddr_port(b) && memcmp(&x, &y, sizeof(x)) == 0;
}
