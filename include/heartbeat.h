/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The dead-man switch, our half: a datagram that a rule of `sluice apply` takes as a sign of life
 * (docs/redirect.md). The rule drops it, which the sender sees as EPERM.
 */
#ifndef SLUICE_HEARTBEAT_H
#define SLUICE_HEARTBEAT_H

#include "pod.h"

/*
 * One beat for each family in which @pod listens. Returns whether the kernel dropped one, which
 * hints that the redirect is armed; the truth is in the kernel's set. A missing family or an
 * address that is gone is no error.
 */
bool heartbeat_send(const struct pod *pod);

/*
 * How long, in milliseconds, this namespace's kernel believes in a beat: @timeout_ms, rounded up to
 * seconds where the redirect is in the legacy tables.
 */
uint32_t heartbeat_life_ms(uint32_t timeout_ms);

#endif
