/* SPDX-License-Identifier: GPL-2.0-or-later */
/* JSON, as far as we write it. */
#ifndef SLUICE_JSON_H
#define SLUICE_JSON_H

#include "span.h"

/* @text in quotes. Bytes that are no printable ASCII are written as \u00XX (RFC 8259, sect. 7). */
void json_string(struct span text, FILE *to);

#endif
