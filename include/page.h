/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The live page, of web/; scripts/embed-page makes this of it when Sluice is built. */
#ifndef SLUICE_PAGE_H
#define SLUICE_PAGE_H

#include <stddef.h>

extern const char page_html[];
extern const size_t page_html_len;

/* Lines of its header, each with its CRLF: nothing runs or loads but what is in the page. */
extern const char page_policy[];

#endif
