// SPDX-License-Identifier: GPL-2.0-or-later
/* What the forward proxy itself says: see forward.h. */
#include "forward_internal.h"

#include "thread.h"

struct answer {
	uint16_t status;
	uint8_t outcome; /* of the connection that there is none of */
	const char *reason;
	const char *error; /* RFC 9209 sect. 2.3 */
	const char *text;
};

static const struct answer answers[] = {
	[FORWARD_ANSWER_BAD_REQUEST] = { 400, OUTCOME_CLOSED, "Bad Request", "http_request_error",
					 "the request is refused" },
	[FORWARD_ANSWER_TOO_LARGE] = { 431, OUTCOME_LIMIT, "Request Header Fields Too Large",
				       "http_request_error", "the request's head is too large" },
	[FORWARD_ANSWER_FORBIDDEN] = { 403, OUTCOME_FORBIDDEN, "Forbidden",
				       "destination_ip_prohibited",
				       "this proxy takes nobody there" },
	[FORWARD_ANSWER_UNRESOLVED] = { 502, OUTCOME_UNRESOLVED, "Bad Gateway", "dns_error",
					"the host's name does not resolve" },
	[FORWARD_ANSWER_DNS_TIMEOUT] = { 504, OUTCOME_UNRESOLVED, "Gateway Timeout", "dns_timeout",
					 "no name server answers" },
	[FORWARD_ANSWER_REFUSED] = { 502, OUTCOME_REFUSED, "Bad Gateway", "connection_refused",
				     "the host refuses the connection" },
	[FORWARD_ANSWER_UNREACHABLE] = { 502, OUTCOME_UNREACHABLE, "Bad Gateway",
					 "destination_ip_unroutable",
					 "the host cannot be reached" },
	[FORWARD_ANSWER_TIMEOUT] = { 504, OUTCOME_TIMEOUT, "Gateway Timeout", "connection_timeout",
				     "the host does not answer" },
	[FORWARD_ANSWER_LIMIT] = { 503, OUTCOME_LIMIT, "Service Unavailable",
				   "connection_limit_reached", "this proxy has reached a limit" },
	[FORWARD_ANSWER_BROKEN] = { 502, OUTCOME_RESET_BY_SERVER, "Bad Gateway",
				    "http_protocol_error", "the server gave no answer of HTTP/1" },
};
_Static_assert(ARRAY_SIZE(answers) == FORWARD_ANSWER_COUNT, "a row for each");

/* Whether the client may go on with its next request behind an answer of ours. */
static bool may_go_on(const struct forward *x, enum forward_answer answer)
{
	return answer != FORWARD_ANSWER_BAD_REQUEST && answer != FORWARD_ANSWER_TOO_LARGE &&
	       x->state != FORWARD_EXCHANGE && x->request.framing == FORWARD_NONE &&
	       !x->request.last;
}

void forward_answer(struct forward *x, enum forward_answer answer, const char *why)
{
	const struct answer *a = &answers[answer];
	struct flow *f = &x->flow;
	bool on = may_go_on(x, answer), seen = f->record.recorder != NULL;
	char body[160], text[512];
	int body_len, len;
	int rc;

	if (x->http2) {
		forward_frames_answer(x, a->status, (enum outcome)a->outcome);
		return;
	}
	body_len = snprintf(body, sizeof(body), "sluice-proxy: %s\n", why ? why : a->text);
	len = snprintf(text, sizeof(text),
		       "HTTP/1.1 %u %s\r\nContent-Type: text/plain\r\nContent-Length: %d\r\n"
		       "Proxy-Status: sluice-proxy; error=%s\r\n%s\r\n%s",
		       a->status, a->reason, body_len, a->error, on ? "" : "Connection: close\r\n",
		       x->request.head ? "" : body);
	if (seen)
		observer_data(&f->observer, WAY_TO_CLIENT, SPAN(text, (size_t)len), f->thread->now);
	forward_drop_server(x, (enum outcome)a->outcome);
	rc = forward_send(f, &f->legs[FLOW_CLIENT], SPAN(text, (size_t)len));
	if (rc < 0) {
		flow_reset(f, OUTCOME_RESET_BY_CLIENT);
		return;
	}
	if (!on) {
		forward_leave(x);
		return;
	}
	forward_forget(x, &x->in, x->request.length);
	x->state = FORWARD_AWAITING;
}
