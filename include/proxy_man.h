/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The manual page sluice-proxy(8): its text, and the options from their table. */
#ifndef SLUICE_PROXY_MAN_H
#define SLUICE_PROXY_MAN_H

#include "base.h"

/* Prints the page in mdoc(7). */
void proxy_man(FILE *to);

#endif
