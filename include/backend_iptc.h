/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The backend for the legacy tables: a plan into the kernel, out of it, and held against it.
 *
 * Theory of Operation: four tables carry a plan: raw (the heartbeat) and nat, of IPv4 and of IPv6.
 * Each is replaced as a whole, or not at all, by one commit; a table that holds its part already
 * is not written. The order keeps every state in between harmless: raw first, since a heartbeat
 * without redirects does nothing, then nat; nat first when the rules go. Everything happens under
 * the lock of iptables, and a table that was changed all the same between reading and writing is
 * read again. Only reading it back ends the work on a table. When one of the four fails, those
 * before it get back what they had.
 *
 * `alive` is a list of xt_recent, which lives as long as a rule anywhere names it: it survives
 * replaced tables.
 */
#ifndef SLUICE_BACKEND_IPTC_H
#define SLUICE_BACKEND_IPTC_H

#include "backend.h"

extern const struct backend backend_iptc;

#endif
