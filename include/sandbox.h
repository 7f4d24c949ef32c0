/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Privileges of sluice-proxy: a ladder as in privs.h, for a program that should have none to begin
 * with. Whoever started it with more sees that go, too.
 *
 * The worker, which reads what strangers send, inherits the parent's filter and adds its own. With
 * --sandbox=off there are no filters, and the worker may be traced and leaves core files; the
 * capabilities go all the same.
 */
#ifndef SLUICE_SANDBOX_H
#define SLUICE_SANDBOX_H

#include "proxy_config.h"

/*
 * First rung, before any input is parsed.
 *
 * Should: keep what opening listeners may take (CAP_NET_BIND_SERVICE, CAP_NET_RAW, CAP_NET_ADMIN),
 * of what is held; forbid gaining anything by exec.
 */
int sandbox_start(struct err *e);

/*
 * Second rung, in the parent, with all listeners open and before there is a worker.
 *
 * Should: keep nothing; with --inbound-mode=tproxy CAP_NET_RAW and CAP_NET_ADMIN, either of which
 * lets the worker connect from the client's address.
 * Mustn't, from here on: run a program, open a file for writing (but with @log_flags, log_file.h's,
 * unless 0), map code, make sockets of other
 * families than the Internet's, enter or make a namespace, trace. The parent may fork, wait, kill.
 */
int sandbox_parent(const struct proxy_config *c, int log_flags, struct err *e);

/*
 * In the new worker, first of all: nobody without privileges may trace it or read its memory, in
 * which there are other people's bytes.
 */
int sandbox_hide(const struct proxy_config *c, struct err *e);

/*
 * Last rung, in the worker, with all its threads at work; it is for all of them.
 *
 * Mustn't, from here on: fork, make threads, signal others, in addition to the above.
 */
int sandbox_worker(const struct proxy_config *c, struct err *e);

#endif
