// SPDX-License-Identifier: GPL-2.0-or-later
/* Asking for a route by rtnetlink: see local_addr.h. */
#include "local_addr.h"

#include <errno.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <sys/socket.h>

struct request {
	struct nlmsghdr nlh;
	struct rtmsg route;
	struct rtattr attr;
	uint8_t address[16];
};

int local_addr_open(void)
{
	const struct sockaddr_nl any = { .nl_family = AF_NETLINK };
	_cleanup_close_ int fd =
		socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_ROUTE);

	if (fd < 0 || bind(fd, (const struct sockaddr *)&any, sizeof(any)) < 0)
		return -errno;
	return take_fd(&fd);
}

/* What the kernel answered to message @sequence: its route's type, or -errno. */
static int answer_of(const struct nlmsghdr *nlh, size_t len, uint32_t sequence)
{
	const struct nlmsgerr *error = NLMSG_DATA(nlh);
	const struct rtmsg *route = NLMSG_DATA(nlh);

	if (!NLMSG_OK(nlh, len) || nlh->nlmsg_seq != sequence)
		return -EAGAIN; /* to an earlier one, that nobody waited for */
	if (nlh->nlmsg_type == NLMSG_ERROR && nlh->nlmsg_len >= NLMSG_LENGTH(sizeof(*error)))
		return error->error ? error->error : -EPROTO;
	if (nlh->nlmsg_type == RTM_NEWROUTE && nlh->nlmsg_len >= NLMSG_LENGTH(sizeof(*route)))
		return route->rtm_type;
	return -EPROTO;
}

/* The kernel answers a request while it is being sent: the answer is there at once. */
static int ask(int fd, struct request *r)
{
	static _Thread_local uint32_t sequence;
	_Alignas(struct nlmsghdr) char reply[4096];
	ssize_t n;
	int rc = -EAGAIN;

	r->nlh.nlmsg_seq = ++sequence;
	if (send(fd, r, r->nlh.nlmsg_len, 0) < 0)
		return -errno;
	while (rc == -EAGAIN) {
		n = recv(fd, reply, sizeof(reply), 0);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return errno == EAGAIN ? -EPROTO : -errno;
		rc = answer_of((const struct nlmsghdr *)reply, (size_t)n, sequence);
	}
	return rc;
}

int local_addr_is(int fd, const struct addr *a)
{
	size_t len = addr_len((enum addr_family)a->family);
	struct request r = {
		.nlh = { .nlmsg_len = (uint32_t)(offsetof(struct request, address) + len),
			 .nlmsg_type = RTM_GETROUTE,
			 .nlmsg_flags = NLM_F_REQUEST },
		.route = { .rtm_family = a->family == ADDR_V4 ? AF_INET : AF_INET6,
			   .rtm_dst_len = (unsigned char)(8 * len) },
		.attr = { .rta_type = RTA_DST, .rta_len = (unsigned short)RTA_LENGTH(len) },
	};
	int type;

	memcpy(r.address, a->bytes, len);
	type = fd < 0 ? -EBADF : ask(fd, &r);
	switch (type) {
	case RTN_LOCAL:
	case RTN_BROADCAST:
	case RTN_ANYCAST:
	case RTN_MULTICAST:
		return 1;
	case -ENETUNREACH:
	case -EHOSTUNREACH:
	case -EACCES: /* a prohibiting route */
	case -EINVAL: /* a blackhole */
		return 0;
	default:
		return type < 0 ? type : 0;
	}
}
