/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The manual page sluice(8): its text, and the options from their table. */
#ifndef SLUICE_MAN_H
#define SLUICE_MAN_H

#include "base.h"

/* Prints the page in mdoc(7). */
void man_print(FILE *to);

#endif
