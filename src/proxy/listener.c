// SPDX-License-Identifier: GPL-2.0-or-later
/* Listening sockets: see listener.h. */
#include "listener.h"

#include "origdst.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/socket.h>

#ifndef IPV6_TRANSPARENT
#define IPV6_TRANSPARENT 75
#endif

/* The kernel cuts it to net.core.somaxconn. */
#define LISTEN_BACKLOG 4096

static int set_int(int fd, int level, int name, int value)
{
	/* #syscalls setsockopt */
	return setsockopt(fd, level, name, &value, sizeof(value)) < 0 ? -errno : 0;
}

struct int_option {
	int level, name, value;
};

static int set_ints(int fd, const struct int_option *options, size_t count)
{
	int rc = 0;

	for (size_t i = 0; i < count && rc == 0; i++)
		rc = set_int(fd, options[i].level, options[i].name, options[i].value);
	return rc;
}

int flow_socket_options(int fd)
{
	static const struct linger reset_at_close = { .l_onoff = 1, .l_linger = 0 };
	static const struct int_option options[] = {
		{ IPPROTO_TCP, TCP_NODELAY, 1 },
		{ SOL_SOCKET, SO_OOBINLINE, 1 },
	};
	int rc = set_ints(fd, options, ARRAY_SIZE(options));

	if (rc == 0 &&
	    setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset_at_close, sizeof(reset_at_close)) < 0)
		rc = -errno;
	return rc;
}

int listener_transparent(int fd, int domain)
{
	return domain == AF_INET6 ? set_int(fd, IPPROTO_IPV6, IPV6_TRANSPARENT, 1)
				  : set_int(fd, IPPROTO_IP, IP_TRANSPARENT, 1);
}

int keepalive_start(int fd, const struct keepalive *k)
{
	const struct int_option options[] = {
		{ IPPROTO_TCP, TCP_KEEPIDLE, (int)(k->idle_ms / 1000) },
		{ IPPROTO_TCP, TCP_KEEPINTVL, (int)(k->interval_ms / 1000) },
		{ IPPROTO_TCP, TCP_KEEPCNT, (int)k->count },
		{ SOL_SOCKET, SO_KEEPALIVE, 1 },
	};

	return set_ints(fd, options, ARRAY_SIZE(options));
}

static socklen_t listen_address(const struct listener_spec *spec, struct sockaddr_storage *sa)
{
	struct sockaddr_in *v4 = (struct sockaddr_in *)sa;
	struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)sa;

	memset(sa, 0, sizeof(*sa));
	if (spec->address) {
		sockaddr_set((union sockaddr_any *)sa, spec->address, spec->port);
		return sockaddr_len((union sockaddr_any *)sa);
	}
	if (spec->family == ADDR_V4) {
		v4->sin_family = AF_INET;
		v4->sin_port = htons(spec->port);
		v4->sin_addr.s_addr = htonl(spec->loopback ? INADDR_LOOPBACK : INADDR_ANY);
		return sizeof(*v4);
	}
	v6->sin6_family = AF_INET6;
	v6->sin6_port = htons(spec->port);
	v6->sin6_addr = spec->loopback ? in6addr_loopback : in6addr_any;
	return sizeof(*v6);
}

/* Everything between socket() and listen(); on failure *@what names the step. */
static int set_up(int fd, const struct listener_spec *spec, const char **what)
{
	struct sockaddr_storage sa;
	socklen_t len = listen_address(spec, &sa);
	bool v6 = spec->family == ADDR_V6;
	int rc;

	*what = "set options";
	rc = set_int(fd, SOL_SOCKET, SO_REUSEADDR, 1);
	if (rc == 0 && spec->shared)
		rc = set_int(fd, SOL_SOCKET, SO_REUSEPORT, 1);
	if (rc == 0 && v6)
		rc = set_int(fd, IPPROTO_IPV6, IPV6_V6ONLY, 1);
	if (rc == 0 && spec->flows)
		rc = flow_socket_options(fd);
	if (rc == 0 && spec->transparent) {
		*what = "be transparent (--inbound-mode=tproxy and --transparent need CAP_NET_RAW "
			"or CAP_NET_ADMIN)";
		rc = listener_transparent(fd, v6 ? AF_INET6 : AF_INET);
	}
	if (rc < 0)
		return rc;
	*what = "listen";
	if (bind(fd, (struct sockaddr *)&sa, len) < 0 || listen(fd, LISTEN_BACKLOG) < 0)
		return -errno;
	return 0;
}

/* As it is written before a port. */
static const char *host_text(const struct listener_spec *spec, char text[ADDR_TEXT_MAX + 2])
{
	static const char *const hosts[ADDR_FAMILY_COUNT][2] = { { "0.0.0.0", "127.0.0.1" },
								 { "[::]", "[::1]" } };
	char address[ADDR_TEXT_MAX];

	if (!spec->address)
		return hosts[spec->family][spec->loopback];
	snprintf(text, ADDR_TEXT_MAX + 2, spec->family == ADDR_V6 ? "[%s]" : "%s",
		 addr_text(spec->address, address));
	return text;
}

int listener_open(const struct listener_spec *spec, struct err *e)
{
	char text[ADDR_TEXT_MAX + 2];
	const char *host = host_text(spec, text);
	_cleanup_close_ int fd = -1;
	const char *what;
	int rc;

	/* #syscalls socket */
	fd = socket(spec->family == ADDR_V4 ? AF_INET : AF_INET6,
		    SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, IPPROTO_TCP);
	if (fd < 0)
		return err_sys(e, -errno, "cannot open a socket for %s:%u", host, spec->port);
	rc = set_up(fd, spec, &what);
	if (rc == -EADDRINUSE)
		return err_set(e, rc,
			       "%s:%u is taken by another process: stop it, or choose "
			       "another port",
			       host, spec->port);
	if (rc < 0)
		return err_sys(e, rc, "%s:%u: cannot %s", host, spec->port, what);
	return take_fd(&fd);
}
