/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Answers to the admin server's requests: from a request's head to the bytes of the answer. */
#ifndef SLUICE_ADMIN_HTTP_H
#define SLUICE_ADMIN_HTTP_H

#include "admin.h"

struct admin_reply {
	char *data; /* owned; the answer is data[start] to data[end - 1] */
	size_t start, end, capacity;
	bool close; /* the connection ends with it */
};

/*
 * The length of the head that @bytes begin with, its empty line included; 0: it is not whole.
 * Empty lines before it count as part of it (RFC 9112 sect. 2.2).
 */
size_t admin_head_len(struct span bytes);

/* Answers a whole head. 0, or -ENOMEM with nothing owned. */
int admin_answer(const struct admin_config *config, struct span head, struct admin_reply *out);

/* A short answer of @status and its reason phrase; the connection ends with it. */
int admin_refuse(unsigned status, struct admin_reply *out);

void admin_reply_fini(struct admin_reply *r);

#endif
