// SPDX-License-Identifier: GPL-2.0-or-later
/* A netlink socket: see nl_socket.h. */
#include "nl_socket.h"

#include <libmnl/libmnl.h>

#include <errno.h>
#include <linux/netfilter/nfnetlink.h>
#include <poll.h>
#include <string.h>
#include <time.h>

/* The kernel fills dumps in pieces of up to 32 KiB (net/netlink/af_netlink.c). */
#define RECEIVE_MAX 65536

struct nl_socket {
	struct mnl_socket *mnl;
	unsigned port;
	uint32_t seq;
	_Alignas(struct nlmsghdr) char buffer[RECEIVE_MAX];
};

struct nl_socket *nl_socket_new(int bus, struct err *e)
{
	struct nl_socket *nl = malloc(sizeof(*nl));
	int one = 1;

	if (!nl) {
		err_set(e, -ENOMEM, "out of memory for a netlink socket");
		return NULL;
	}
	nl->seq = (uint32_t)time(NULL);
	nl->mnl = mnl_socket_open2(bus, SOCK_CLOEXEC);
	/* #syscalls socket bind getsockname */
	if (!nl->mnl || mnl_socket_bind(nl->mnl, 0, MNL_SOCKET_AUTOPID) < 0) {
		err_sys(e, -errno, "cannot open a netlink socket");
		nl_socket_free(nl);
		return NULL;
	}
	nl->port = mnl_socket_get_portid(nl->mnl);
	/* Kernels without these (before 4.12, 4.3) just tell less. */
	(void)mnl_socket_setsockopt(nl->mnl, NETLINK_EXT_ACK, &one, sizeof(one));
	(void)mnl_socket_setsockopt(nl->mnl, NETLINK_CAP_ACK, &one, sizeof(one));
	return nl;
}

void nl_socket_free(struct nl_socket *nl)
{
	if (!nl)
		return;
	if (nl->mnl)
		mnl_socket_close(nl->mnl);
	free(nl);
}

void *nl_request_init(struct nl_request *r, uint16_t type, uint16_t flags, size_t header)
{
	memset(r, 0, sizeof(*r));
	mnl_nlmsg_put_header(r->bytes);
	r->nlh.nlmsg_type = type;
	r->nlh.nlmsg_flags = NLM_F_REQUEST | flags;
	return mnl_nlmsg_put_extra_header(&r->nlh, header);
}

void nl_request_nft(struct nl_request *r, uint16_t type, uint16_t flags, uint8_t family)
{
	const uint16_t number = (uint16_t)(NFNL_SUBSYS_NFTABLES << 8 | type);
	struct nfgenmsg *nfg = nl_request_init(r, number, flags, sizeof(*nfg));

	nfg->nfgen_family = family;
	nfg->version = NFNETLINK_V0;
}

uint32_t nl_socket_seq(struct nl_socket *nl)
{
	return ++nl->seq;
}

int nl_socket_reserve(struct nl_socket *nl, size_t len, struct err *e)
{
	int fd = mnl_socket_get_fd(nl->mnl), has = 0, wanted;
	socklen_t size = sizeof(has);

	if (len > INT32_MAX / 2)
		return err_set(e, -EMSGSIZE, "%zu bytes of rules are too many", len);
	/* netlink_sendmsg() refuses what is longer than the queue less 32 bytes. */
	wanted = (int)len + 1024;
	/* #syscalls getsockopt setsockopt */
	if (getsockopt(fd, SOL_SOCKET, SO_SNDBUF, &has, &size) == 0 && has >= wanted)
		return 0;
	/* Past the limit needs CAP_NET_ADMIN in the first user namespace. */
	if (setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &wanted, sizeof(wanted)) < 0 &&
	    setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &wanted, sizeof(wanted)) < 0)
		return err_sys(e, -errno, "cannot make room for %zu bytes of rules", len);
	size = sizeof(has);
	if (getsockopt(fd, SOL_SOCKET, SO_SNDBUF, &has, &size) == 0 && has < wanted)
		return err_set(e, -EMSGSIZE,
			       "%zu bytes of rules do not fit into one transaction here: raise "
			       "net.core.wmem_max to %d on the host",
			       len, wanted);
	return 0;
}

int nl_socket_send(struct nl_socket *nl, const void *data, size_t len, struct err *e)
{
	/* #syscalls sendto */
	if (mnl_socket_sendto(nl->mnl, data, len) < 0)
		return err_sys(e, -errno, "cannot send to the kernel");
	return 0;
}

static int wait_readable(struct nl_socket *nl, struct err *e)
{
	struct pollfd p = { .fd = mnl_socket_get_fd(nl->mnl), .events = POLLIN };
	int rc;

	do {
		/* #syscalls poll ppoll */
		rc = poll(&p, 1, NL_DEADLINE_MS);
	} while (rc < 0 && errno == EINTR);
	if (rc < 0)
		return err_sys(e, -errno, "cannot wait for the kernel's answer");
	if (rc == 0)
		return err_set(e, -ETIMEDOUT, "the kernel did not answer within %d s",
			       NL_DEADLINE_MS / 1000);
	return 0;
}

int nl_socket_receive(struct nl_socket *nl, bool wait, nl_callback *cb, void *data, struct err *e)
{
	const struct nlmsghdr *nlh = (const void *)nl->buffer;
	ssize_t got;
	int left, rc;

	do {
		/* #syscalls recvfrom */
		got = recv(mnl_socket_get_fd(nl->mnl), nl->buffer, sizeof(nl->buffer),
			   MSG_DONTWAIT | MSG_TRUNC);
		if (got < 0 && errno == EAGAIN && wait) {
			rc = wait_readable(nl, e);
			if (rc < 0)
				return rc;
		}
	} while (got < 0 && (errno == EINTR || (errno == EAGAIN && wait)));
	if (got < 0 && errno == EAGAIN)
		return -EAGAIN;
	if (got < 0)
		return err_sys(e, -errno, "cannot read the kernel's answer");
	if ((size_t)got > sizeof(nl->buffer))
		return err_set(e, -EMSGSIZE, "the kernel's answer of %zd bytes is too long", got);
	for (left = (int)got; mnl_nlmsg_ok(nlh, left); nlh = mnl_nlmsg_next(nlh, &left)) {
		rc = cb(nlh, data);
		if (rc < 0)
			return rc;
	}
	return 0;
}

/* One request on its way: what its answers are to do. */
struct exchange {
	uint32_t seq;
	nl_callback *cb;
	void *data;
	bool single; /* neither a list nor acknowledged: its answer is its end */
	bool done, interrupted;
	int code;   /* the kernel's verdict */
	int failed; /* the callback's; answers are still read to the end */
};

/* What ended a dump: 0, or why it is not complete (netlink_dump_done() of the kernel). */
static int dump_code(const struct nlmsghdr *nlh)
{
	int code = 0;

	if (mnl_nlmsg_get_payload_len(nlh) >= sizeof(code))
		memcpy(&code, mnl_nlmsg_get_payload(nlh), sizeof(code));
	return MIN(code, 0);
}

static int request_answer(const struct nlmsghdr *nlh, void *data)
{
	struct exchange *r = data;

	if (nlh->nlmsg_seq != r->seq || r->done)
		return 0;
	if (nlh->nlmsg_flags & NLM_F_DUMP_INTR)
		r->interrupted = true;
	if (nlh->nlmsg_type == NLMSG_ERROR) {
		r->code = nl_refusal_parse(nlh).code;
		r->done = true;
	} else if (nlh->nlmsg_type == NLMSG_DONE) {
		r->code = dump_code(nlh);
		r->done = true;
	} else if (nlh->nlmsg_type >= NLMSG_MIN_TYPE && r->cb && !r->interrupted && !r->failed) {
		r->failed = r->cb(nlh, r->data);
		r->done = r->single;
	}
	return 0;
}

int nl_socket_request(struct nl_socket *nl, struct nlmsghdr *nlh, nl_callback *cb, void *data,
		      int *code, struct err *e)
{
	struct exchange r = { .seq = nl_socket_seq(nl), .cb = cb, .data = data };
	int rc;

	nlh->nlmsg_seq = r.seq;
	r.single = !(nlh->nlmsg_flags & (NLM_F_ACK | NLM_F_DUMP));
	rc = nl_socket_send(nl, nlh, nlh->nlmsg_len, e);
	while (rc == 0 && !r.done)
		rc = nl_socket_receive(nl, true, request_answer, &r, e);
	*code = r.interrupted ? -EINTR : r.code;
	return rc < 0 ? rc : r.failed;
}

static int refusal_attr(const struct nlattr *attr, void *data)
{
	struct nl_refusal *r = data;

	if (mnl_attr_get_type(attr) == NLMSGERR_ATTR_MSG &&
	    mnl_attr_validate(attr, MNL_TYPE_NUL_STRING) >= 0)
		r->text = mnl_attr_get_str(attr);
	if (mnl_attr_get_type(attr) == NLMSGERR_ATTR_OFFS &&
	    mnl_attr_validate(attr, MNL_TYPE_U32) >= 0)
		r->offset = mnl_attr_get_u32(attr);
	return MNL_CB_OK;
}

struct nl_refusal nl_refusal_parse(const struct nlmsghdr *nlh)
{
	const struct nlmsgerr *err = mnl_nlmsg_get_payload(nlh);
	struct nl_refusal r = { .code = -EBADMSG };
	size_t skip = sizeof(*err);

	if (nlh->nlmsg_len < MNL_NLMSG_HDRLEN + sizeof(*err))
		return r;
	r.code = err->error;
	/* Without NLM_F_CAPPED our whole message comes back before the attributes. */
	if (!(nlh->nlmsg_flags & NLM_F_CAPPED))
		skip += MNL_ALIGN(err->msg.nlmsg_len) - sizeof(err->msg);
	if ((nlh->nlmsg_flags & NLM_F_ACK_TLVS) && MNL_NLMSG_HDRLEN + skip <= nlh->nlmsg_len)
		mnl_attr_parse(nlh, (unsigned)skip, refusal_attr, &r);
	return r;
}
