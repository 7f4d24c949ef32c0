/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Answers to the admin server's requests: from a request's head to the bytes of the answer. */
#ifndef SLUICE_ADMIN_HTTP_H
#define SLUICE_ADMIN_HTTP_H

#include "admin.h"
#include "admin_request.h"

/*
 * An answer. An endpoint fills in `status`, `type` and `fields`, and appends the content; the head
 * is put before it afterwards.
 */
struct admin_reply {
	char *data; /* owned; the answer is data[start] to data[end - 1] */
	size_t start, end, capacity;
	bool close; /* the connection ends with it */
	unsigned status;
	const char *type;   /* Content-Type; lives longer than the answer */
	const char *fields; /* more lines of the header, each with its CRLF, or NULL; likewise */
	bool head_only;	    /* the content is not sent */
	bool chunked;
	/*
	 * An answer of unknown length: appends a piece of the content when the one before is out.
	 * 1: there may be more; 0: later, and an eventfd of the admin server tells when; -ENODATA:
	 * that was the last piece; another negative errno: the connection is given up.
	 */
	int (*more)(struct admin_reply *r);
	void *source; /* more's own; owned */
	void (*source_free)(void *source);
};

/* A path, who may ask for it with which methods, and its answer. */
struct admin_endpoint {
	const char *path;
	unsigned methods; /* ADMIN_GET or ADMIN_POST */
	enum admin_access access;
	/* Fills in the answer, which is 200 and plain text so far. 0 or a negative errno. */
	int (*answer)(const struct admin_config *config, const struct admin_request *q,
		      struct admin_reply *r);
};

#define ADMIN_GET  (1u << HTTP_METHOD_GET | 1u << HTTP_METHOD_HEAD)
#define ADMIN_POST (1u << HTTP_METHOD_POST)

/* admin_endpoints.c: every path there is, in the order in which they are listed. */
extern const struct admin_endpoint admin_endpoints[];
extern const size_t admin_endpoint_count;

/* admin_config.c */
int admin_answer_config(const struct admin_config *config, const struct admin_request *q,
			struct admin_reply *r);

/* admin_flows.c */
int admin_answer_flows(const struct admin_config *config, const struct admin_request *q,
		       struct admin_reply *r);

/* admin_metrics.c */
int admin_answer_metrics(const struct admin_config *config, const struct admin_request *q,
			 struct admin_reply *r);
int admin_answer_envoy(const struct admin_config *config, const struct admin_request *q,
		       struct admin_reply *r);

/* Appends to the content; @reply is a struct admin_reply. 0 or -ENOMEM. */
int admin_reply_append(void *reply, struct span piece);

/* What answers of JSON say of themselves; for /flows and others that are for loopback. */
extern const char admin_json_type[], admin_json_fields[];

/* Makes it an answer of @status whose content is @line. 0 or -ENOMEM. */
int admin_reply_line(struct admin_reply *r, unsigned status, const char *line);

/*
 * Answers a whole head from a client that is @local (on loopback). 0, or -ENOMEM with nothing
 * owned.
 */
int admin_answer(const struct admin_config *config, bool local, struct span head,
		 struct admin_reply *out);

/* A short answer of @status and its reason phrase; the connection ends with it. */
int admin_refuse(unsigned status, struct admin_reply *out);

/*
 * The next piece of an answer that has `more`, after admin_answer() and when all before it is out.
 * 1: there is some in data[], perhaps only the end; 0: not yet; or a negative errno.
 */
int admin_reply_more(struct admin_reply *r);

void admin_reply_fini(struct admin_reply *r);

#endif
