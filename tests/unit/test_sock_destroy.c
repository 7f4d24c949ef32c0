// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Which sockets are reset, of those that the kernel lists; and what ends a list. The linker leads
 * requests to the kernel that is played here (-Wl,--wrap=nl_socket_request).
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "nl_socket.h"
#include "sock_destroy.h"

#include <libmnl/libmnl.h>

#include <arpa/inet.h>
#include <errno.h>
#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/sock_diag.h>
#include <netinet/in.h>
#include <netinet/tcp.h>

struct socket {
	uint16_t port, state;
	uint32_t uid, inode;
	int code; /* of SOCK_DESTROY */
	bool destroyed;
};

/* The kernel that is played. */
static struct socket *sockets;
static size_t socket_count;
static int impossible; /* what it says to resetting a socket that cannot exist */
static bool real;

int __real_nl_socket_request(struct nl_socket *nl, struct nlmsghdr *nlh, nl_callback *cb,
			     void *data, int *code, struct err *e);
int __wrap_nl_socket_request(struct nl_socket *nl, struct nlmsghdr *nlh, nl_callback *cb,
			     void *data, int *code, struct err *e);

static int list(const struct inet_diag_req_v2 *req, nl_callback *cb, void *data)
{
	int rc = 0;

	for (size_t i = 0; rc == 0 && req->sdiag_family == AF_INET && i < socket_count; i++) {
		_Alignas(struct nlmsghdr) char bytes[256];
		struct nlmsghdr *nlh = mnl_nlmsg_put_header(bytes);
		struct inet_diag_msg *m = mnl_nlmsg_put_extra_header(nlh, sizeof(*m));

		if (!(req->idiag_states & 1u << sockets[i].state))
			continue;
		m->idiag_family = AF_INET;
		m->idiag_state = (uint8_t)sockets[i].state;
		m->id.idiag_sport = htons(sockets[i].port);
		m->id.idiag_cookie[0] = (uint32_t)i;
		m->idiag_uid = sockets[i].uid;
		m->idiag_inode = sockets[i].inode;
		rc = cb(nlh, data);
	}
	return rc;
}

int __wrap_nl_socket_request(struct nl_socket *nl, struct nlmsghdr *nlh, nl_callback *cb,
			     void *data, int *code, struct err *e)
{
	const struct inet_diag_req_v2 *req = mnl_nlmsg_get_payload(nlh);

	if (real)
		return __real_nl_socket_request(nl, nlh, cb, data, code, e);
	*code = 0;
	if (nlh->nlmsg_type != SOCK_DESTROY)
		return list(req, cb, data);
	*code = impossible;
	if (req->id.idiag_sport) {
		struct socket *s = &sockets[req->id.idiag_cookie[0]];

		*code = s->code;
		s->destroyed = true;
	}
	return 0;
}

static const struct sock_which ports = { .ports = { { 9211, 9226 }, { 9001, 9001 } } };

/* Resets @which of @s; the number or what failed. */
static long destroy(const struct sock_which *which, struct socket *s, size_t count)
{
	struct err e = ERR_INIT;

	sockets = s;
	socket_count = count;
	return sock_destroy(which, &e);
}

/* An application's connection from the same port is not ours. */
static void test_owners(void **state)
{
	static const struct u32_range proxy = { 1337, 1338 };
	struct sock_which known = ports;
	struct socket s[] = {
		{ .port = 9001, .state = TCP_ESTABLISHED, .uid = 1000, .inode = 1 },
		{ .port = 9001, .state = TCP_ESTABLISHED, .uid = 1338, .inode = 2 },
		{ .port = 9226, .state = TCP_FIN_WAIT2, .uid = 5, .inode = 3 },
		{ .port = 9226, .state = TCP_ESTABLISHED }, /* not accepted yet */
		{ .port = 9227, .state = TCP_ESTABLISHED, .uid = 1337, .inode = 4 },
		{ .port = 80, .state = TCP_LISTEN, .uid = 1000, .inode = 5 },
		{ .port = 9211, .state = TCP_LISTEN, .uid = 5, .inode = 6 },
	};

	(void)state;
	known.owners = &proxy;
	known.owner_count = 1;
	impossible = -ENOENT;
	assert_int_equal(destroy(&known, s, ARRAY_SIZE(s)), 3);
	for (size_t i = 0; i < ARRAY_SIZE(s); i++)
		assert_int_equal(s[i].destroyed, i >= 1 && i <= 3);
	/* Who listens tells, also alone; nobody knows without either. */
	assert_int_equal(destroy(&ports, s, ARRAY_SIZE(s)), 2);
	assert_int_equal(destroy(&ports, s, ARRAY_SIZE(s) - 1), 4);
	assert_int_equal(sock_count(&ports, NULL), 4);
}

/* What has ended meanwhile, whatever the kernel calls that, stops nobody. */
static void test_ended_meanwhile(void **state)
{
	struct socket s[] = {
		{ .port = 9001, .state = TCP_ESTABLISHED, .code = -ENOENT },
		{ .port = 9001, .state = TCP_ESTABLISHED, .code = -EOPNOTSUPP },
		{ .port = 9001, .state = TCP_ESTABLISHED },
	};

	(void)state;
	impossible = -ENOENT;
	assert_int_equal(destroy(&ports, s, ARRAY_SIZE(s)), 1);
	assert_true(s[2].destroyed);
	impossible = -EOPNOTSUPP;
	assert_int_equal(destroy(&ports, s, ARRAY_SIZE(s)), -EOPNOTSUPP);
	s[0].code = -EPERM;
	assert_int_equal(destroy(&ports, s, ARRAY_SIZE(s)), -EPERM);
}

/* A list that the kernel could not make ends with the reason, which is no empty list. */
static void test_failed_list(void **state)
{
	_Alignas(struct nlmsghdr) char bytes[256];
	struct nlmsghdr *nlh = mnl_nlmsg_put_header(bytes);
	struct inet_diag_req_v2 *req = mnl_nlmsg_put_extra_header(nlh, sizeof(*req));
	struct nl_socket *nl = nl_socket_new(NETLINK_SOCK_DIAG, NULL);
	int code = 0;

	(void)state;
	assert_non_null(nl);
	nlh->nlmsg_type = SOCK_DIAG_BY_FAMILY;
	nlh->nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP;
	req->sdiag_family = AF_INET;
	/* A protocol that nobody can list: known only once the list is begun. */
	req->sdiag_protocol = 253;
	req->idiag_states = UINT32_MAX;
	real = true;
	assert_int_equal(nl_socket_request(nl, nlh, NULL, NULL, &code, NULL), 0);
	real = false;
	assert_int_equal(code, -ENOENT);
	nl_socket_free(nl);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_owners),
		cmocka_unit_test(test_ended_meanwhile),
		cmocka_unit_test(test_failed_list),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
