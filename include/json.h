/* SPDX-License-Identifier: GPL-2.0-or-later */
/* JSON, as far as we write it. */
#ifndef SLUICE_JSON_H
#define SLUICE_JSON_H

#include "span.h"

/* @text in quotes. Bytes that are no printable ASCII are written as \u00XX (RFC 8259, sect. 7). */
void json_string(struct span text, FILE *to);

/*
 * @text as it stands between the quotes, into @out of @size bytes: cut before the first character
 * for which there is no room. Its length; no NUL is added.
 */
size_t json_escape(struct span text, char *out, size_t size);

#endif
