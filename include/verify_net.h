/* SPDX-License-Identifier: GPL-2.0-or-later */
/* One connection of verify: who took it. */
#ifndef SLUICE_VERIFY_NET_H
#define SLUICE_VERIFY_NET_H

#include "stage.h"
#include "verify.h"

/* How a connection ended. */
enum verify_fate {
	FATE_DIRECT,	 /* who was addressed took it */
	FATE_REDIRECTED, /* the proxy's listener took it, knowing where it wanted to go */
	FATE_REFUSED,
	FATE_SILENT, /* nobody answered */
	FATE_BARRED, /* connect() itself failed */
	FATE_LOST,   /* somebody else took it */
	FATE_MISLED, /* the proxy's listener took it, but not knowing where it wanted to go */
	FATE_COUNT,
};

/* Listeners in the proxy's place; negative where there are none. */
struct verify_listeners {
	int inbound[ADDR_FAMILY_COUNT], outbound[ADDR_FAMILY_COUNT];
};

/*
 * Opens them; where somebody has the ports already, *@taken is set and none is open. 0 or -errno
 * with @e set.
 */
int verify_listen(const struct stage *s, const struct config *c, struct verify_listeners *out,
		  bool *taken, struct err *e);
void verify_unlisten(struct verify_listeners *l);

/*
 * Makes the connection, and waits for its end for @wait_ms. @listeners: none are open where a proxy
 * runs, which then connects on to where it was asked. Returns an enum verify_fate, -EADDRINUSE when
 * the port that somebody shall listen on is taken, or another -errno with @e set.
 */
int verify_connect(struct stage *s, const struct verify_listeners *listeners,
		   const struct packet *p, long wait_ms, const volatile int *stop, struct err *e);

#endif
