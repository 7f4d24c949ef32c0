// SPDX-License-Identifier: GPL-2.0-or-later
/* The namespace that verify connects to and from: see stage.h. */
#include "stage.h"

#include "rtnl.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sched.h>
#include <string.h>
#include <sys/fsuid.h>
#include <sys/socket.h>

/* Numbers that nobody else should have chosen. */
#define STAGE_MARK     0x51ce51ce
#define STAGE_TABLE    0x51ce
#define STAGE_PRIORITY 0x51ce

/* Between its end here and the peer's: 30 of 32 bits. */
#define PREFIX_V4 30
#define PREFIX_V6 126

static int own_netns(void)
{
	return open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);
}

/* Runs what follows in the peer's namespace, until go_home(). */
static int go_there(const struct stage *s)
{
	return s->peer >= 0 && setns(s->peer, CLONE_NEWNET) < 0 ? -errno : 0;
}

static int go_home(const struct stage *s)
{
	return s->peer >= 0 && setns(s->home, CLONE_NEWNET) < 0 ? -errno : 0;
}

/* The addresses of run @n, 0 to 63. */
static void choose_addresses(struct stage *s, unsigned n)
{
	const uint8_t block = (uint8_t)(4 * n);

	s->here[ADDR_V4] = (struct addr){ ADDR_V4, { 198, 18, 206, block | 1 } };
	s->there[ADDR_V4] = (struct addr){ ADDR_V4, { 198, 18, 206, block | 2 } };
	s->beyond[ADDR_V4] = (struct addr){ ADDR_V4, { 198, 19, 206, block | 1 } };
	s->here[ADDR_V6] = (struct addr){ ADDR_V6, { 0xfd, 0x51, 0xce, [15] = block | 1 } };
	s->there[ADDR_V6] = (struct addr){ ADDR_V6, { 0xfd, 0x51, 0xce, [15] = block | 2 } };
	s->beyond[ADDR_V6] =
		(struct addr){ ADDR_V6, { 0xfd, 0x51, 0xce, [13] = 1, [15] = block | 1 } };
	s->other[ADDR_V4] = (struct addr){ ADDR_V4, { 192, 0, 2, block | 1 } };
	s->other[ADDR_V6] =
		(struct addr){ ADDR_V6, { 0x20, 0x01, 0x0d, 0xb8, 0x51, 0xce, [15] = block | 1 } };
	s->linklocal = (struct addr){ ADDR_V6, { 0xfe, 0x80, [8] = 0x51, 0xce, [15] = 2 } };
}

/* A namespace of our own, and back home. Without the privilege there is none. */
static void make_peer(struct stage *s)
{
	/* #syscalls unshare setns */
	if (unshare(CLONE_NEWNET) < 0) {
		err_set(&s->no_peer, -errno,
			"a namespace of our own takes CAP_SYS_ADMIN in the user namespace that "
			"owns this one");
		return;
	}
	s->peer = own_netns();
	if (setns(s->home, CLONE_NEWNET) < 0 || s->peer < 0)
		err_set(&s->no_peer, -errno, "cannot come back from a new namespace");
}

static int wire_here(struct stage *s, const char *name, struct err *e)
{
	struct nl_socket *nl = rtnl_socket_new(e);
	char peer[IFACE_NAME_MAX + 1] = "peer";
	int rc = nl ? 0 : e->code;

	snprintf(s->iface, sizeof(s->iface), "%s", name);
	if (s->peer < 0)
		snprintf(peer, sizeof(peer), "%.14s-", name);
	if (rc == 0)
		rc = rtnl_add_veth(nl, name, peer, s->peer, e);
	if (rc == 0) {
		s->index = if_nametoindex(name);
		rc = rtnl_link_up(nl, s->index, e);
	}
	if (rc == 0 && s->peer < 0) {
		s->peer_index = if_nametoindex(peer);
		rc = rtnl_link_up(nl, s->peer_index, e);
	}
	for (unsigned f = 0; rc == 0 && f < ADDR_FAMILY_COUNT; f++) {
		struct err ignored = ERR_INIT;

		s->family[f] =
			rtnl_add_address(nl, s->index, &s->here[f],
					 f == ADDR_V4 ? PREFIX_V4 : PREFIX_V6, &ignored) == 0;
		if (!s->family[f])
			continue;
		rc = rtnl_add_route(nl, f, &s->beyond[f], s->index, NULL, RT_TABLE_MAIN, e);
		if (rc == 0)
			rc = rtnl_add_route(nl, f, &s->other[f], s->index, NULL, RT_TABLE_MAIN, e);
		/* One that a killed run left would count twice. */
		rtnl_rule(nl, false, f, STAGE_MARK, STAGE_PRIORITY, STAGE_TABLE, &ignored);
		s->marked[f] = rtnl_rule(nl, true, f, STAGE_MARK, STAGE_PRIORITY, STAGE_TABLE,
					 &ignored) == 0;
	}
	nl_socket_free(nl);
	return rc;
}

static int wire_there(struct stage *s, struct err *e)
{
	struct nl_socket *nl;
	int rc = go_there(s);

	if (rc < 0)
		return err_sys(e, rc, "cannot enter a namespace of our own");
	nl = rtnl_socket_new(e);
	rc = nl ? rtnl_link_up(nl, if_nametoindex("lo"), e) : e->code;
	s->peer_index = if_nametoindex("peer");
	if (rc == 0)
		rc = rtnl_link_up(nl, s->peer_index, e);
	for (unsigned f = 0; rc == 0 && f < ADDR_FAMILY_COUNT; f++) {
		if (!s->family[f])
			continue;
		rc = rtnl_add_address(nl, s->peer_index, &s->there[f],
				      f == ADDR_V4 ? PREFIX_V4 : PREFIX_V6, e);
		if (rc == 0)
			rc = rtnl_add_address(nl, s->peer_index, &s->other[f],
					      (uint8_t)(8 * addr_len(f)), e);
		if (rc == 0 && f == ADDR_V6)
			rc = rtnl_add_address(nl, s->peer_index, &s->linklocal, 64, e);
		if (rc == 0)
			rc = rtnl_add_route(nl, f, NULL, s->peer_index, &s->here[f], RT_TABLE_MAIN,
					    e);
	}
	nl_socket_free(nl);
	return go_home(s) < 0 ? err_set(e, -EIO, "cannot come back from our namespace") : rc;
}

int stage_init(struct stage *s, const char *name, struct err *e)
{
	int rc;

	*s = (struct stage){ .home = own_netns(), .peer = -1, .no_peer = ERR_INIT };
	if (s->home < 0)
		return err_sys(e, -errno, "cannot hold on to this namespace");
	/* #syscalls getpid */
	choose_addresses(s, (unsigned)getpid() % 64);
	make_peer(s);
	rc = wire_here(s, name, e);
	return rc < 0 || s->peer < 0 ? rc : wire_there(s, e);
}

void stage_fini(struct stage *s)
{
	struct err ignored = ERR_INIT;
	struct nl_socket *nl = s->home >= 0 ? rtnl_socket_new(&ignored) : NULL;

	for (unsigned f = 0; nl && f < ADDR_FAMILY_COUNT; f++) {
		if (s->marked[f])
			rtnl_rule(nl, false, f, STAGE_MARK, STAGE_PRIORITY, STAGE_TABLE, &ignored);
	}
	if (nl && s->index)
		rtnl_delete_link(nl, s->index, &ignored);
	nl_socket_free(nl);
	if (s->peer >= 0)
		close(s->peer);
	if (s->home >= 0)
		close(s->home);
	free(s->lent);
}

static bool is_lent(const struct stage *s, const struct addr *a)
{
	for (size_t i = 0; i < s->lent_count; i++) {
		if (memcmp(&s->lent[i], a, sizeof(*a)) == 0)
			return true;
	}
	return false;
}

int stage_lend(struct stage *s, const struct addr *a, struct err *e)
{
	struct addr *grown = realloc(s->lent, (s->lent_count + 1) * sizeof(*grown));
	struct nl_socket *nl;
	int rc;

	if (!grown)
		return err_set(e, -ENOMEM, "out of memory for an address");
	s->lent = grown;
	if (is_lent(s, a))
		return 0;
	nl = rtnl_socket_new(e);
	rc = nl ? rtnl_add_route(nl, a->family, a, s->index, NULL, STAGE_TABLE, e) : e->code;
	nl_socket_free(nl);
	if (rc == 0 && s->peer >= 0) {
		rc = go_there(s);
		nl = rc == 0 ? rtnl_socket_new(e) : NULL;
		if (nl)
			rc = rtnl_add_address(nl, s->peer_index, a,
					      (uint8_t)(8 * addr_len(a->family)), e);
		nl_socket_free(nl);
		if (go_home(s) < 0)
			rc = err_set(e, -EIO, "cannot come back from our namespace");
	}
	if (rc == 0)
		s->lent[s->lent_count++] = *a;
	return rc;
}

int stage_socket(const struct stage *s, enum stage_side side, enum addr_family family, int type,
		 uint32_t uid, uint32_t gid, struct err *e)
{
	const int domain = family == ADDR_V4 ? AF_INET : AF_INET6, one = 1;
	const uint32_t mark = STAGE_MARK;
	_cleanup_close_ int fd = -1;
	int error;

	if (side == STAGE_PEER && go_there(s) < 0)
		return err_set(e, -EIO, "cannot enter our namespace");
	/* The file's fsuid is what rules match. glibc sets them for this thread alone. */
	/* #syscalls setfsuid setfsgid geteuid getegid */
	setfsgid(gid);
	setfsuid(uid);
	if ((uid_t)setfsuid((uid_t)-1) != uid || (gid_t)setfsgid((gid_t)-1) != gid)
		error = EPERM;
	else
		error = 0;
	fd = socket(domain, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	error = error ? error : fd < 0 ? errno : 0;
	setfsuid(geteuid());
	setfsgid(getegid());
	if (side == STAGE_PEER && go_home(s) < 0)
		return err_set(e, -EIO, "cannot come back from our namespace");
	if (error == EPERM)
		return err_set(e, -EPERM, "sockets of others take CAP_SETUID and CAP_SETGID");
	if (error)
		return err_sys(e, -error, "cannot make a socket");
	if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)) < 0 ||
	    setsockopt(fd, SOL_SOCKET, SO_MARK, &mark, sizeof(mark)) < 0)
		return err_sys(e, -errno, "cannot mark a socket");
	if (domain == AF_INET6)
		(void)setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &one, sizeof(one));
	return take_fd(&fd);
}
