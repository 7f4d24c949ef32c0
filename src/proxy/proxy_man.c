// SPDX-License-Identifier: GPL-2.0-or-later
/* The manual page: see proxy_man.h. */
#include "proxy_man.h"

#include "proxy_config.h"

static const char before_options[] =
	".Dd November 24, 2026\n"
	".Dt SLUICE-PROXY 8\n"
	".Os\n"
	".Sh NAME\n"
	".Nm sluice-proxy\n"
	".Nd pass redirected TCP connections on and measure them\n"
	".Sh SYNOPSIS\n"
	".Nm\n"
	".Op Ar option ...\n"
	".Sh DESCRIPTION\n"
	"The\n"
	".Nm\n"
	"program accepts the TCP connections that\n"
	".Xr sluice 8\n"
	"redirects to it, asks the kernel where each was going, connects there, and copies the\n"
	"bytes both ways without changing them. What it sees it counts: connections, bytes, and\n"
	"HTTP/1 requests, served at\n"
	".Pa /metrics\n"
	"of the admin port in the format of Prometheus.\n"
	".Pp\n"
	"It needs no privilege, but for CAP_NET_RAW with\n"
	".Fl Fl inbound-mode Ns = Ns Cm tproxy .\n"
	"It must run under the user id that\n"
	".Ql sluice apply --proxy-uid\n"
	"names (1337), because that is how the kernel tells its connections and its heartbeat "
	"from\n"
	"everybody else's.\n"
	".Pp\n"
	"While it serves it sends a datagram to the loopback address every heartbeat interval. A\n"
	"rule of\n"
	".Xr sluice 8\n"
	"takes that as a sign of life; without one, new connections go past the proxy.\n"
	".Pp\n"
	"A parent process holds the listening sockets, a worker serves. A worker that dies or\n"
	"stands still for five seconds is replaced, and connections that arrive meanwhile wait.\n"
	"After three deaths within a minute the next worker looks at no contents.\n"
	".Pp\n"
	"The options are:\n";

static const char after_options[] =
	".Sh SIGNALS\n"
	".Bl -tag -width Ds\n"
	".It Dv SIGTERM , SIGINT\n"
	"Stop gracefully: the heartbeat ends, connections are accepted until the kernel has\n"
	"noticed, then the ones that are left may end by themselves within the drain time-out.\n"
	"What is left after it is reset. A second signal ends everything at once.\n"
	".El\n"
	".Sh EXIT STATUS\n"
	"0 after a stop, 1 on failure, 2 on wrong usage.\n"
	".Sh EXAMPLES\n"
	"In a network namespace that\n"
	".Ql sluice apply\n"
	"has prepared:\n"
	".Bd -literal -offset indent\n"
	"setpriv --reuid 1337 --regid 1337 --clear-groups sluice-proxy\n"
	"curl http://127.0.0.1:9901/metrics\n"
	".Ed\n"
	".Sh SEE ALSO\n"
	".Xr sluice 8 ,\n"
	".Xr nft 8\n";

void proxy_man(FILE *to)
{
	fputs(before_options, to);
	options_man(&proxy_options, to);
	fputs(after_options, to);
}
