// SPDX-License-Identifier: GPL-2.0-or-later
/* Labels of series: from a key's fields to the text between the braces. */
#include "metrics_internal.h"

void metric_labels_add(struct metric_labels *l, const char *name, struct span value)
{
	int n;

	if (!value.len)
		return;
	n = snprintf(l->text + l->len, sizeof(l->text) - l->len, "%s%s=\"%.*s\"", l->len ? "," : "",
		     name, SPAN_FMT(value));
	l->len += MIN((size_t)n, sizeof(l->text) - 1 - l->len);
}

static const char *const label_names[] = {
	[LABEL_END] = NULL,
	[LABEL_DIRECTION] = "direction",
	[LABEL_WAY] = "way",
	[LABEL_PROTOCOL] = "protocol",
	[LABEL_OUTCOME] = "outcome",
	[LABEL_REASON] = "reason",
	[LABEL_METHOD] = "http_request_method",
	[LABEL_STATUS] = "http_response_status_code",
	[LABEL_SCHEME] = "url_scheme",
	[LABEL_VERSION] = "network_protocol_version",
	[LABEL_ADDRESS] = "server_address",
	[LABEL_PORT] = "server_port",
	[LABEL_ROUTE] = "http_route",
	[LABEL_ERROR] = "error_type",
	[LABEL_RPC_SYSTEM] = "rpc_system_name",
	[LABEL_RPC_METHOD] = "rpc_method",
	[LABEL_RPC_STATUS] = "rpc_response_status_code",
	[LABEL_RPC_ERROR] = "error_type",
	[LABEL_OLD_SYSTEM] = "rpc_system",
	[LABEL_OLD_SERVICE] = "rpc_service",
	[LABEL_OLD_METHOD] = "rpc_method",
	[LABEL_OLD_STATUS] = "rpc_grpc_status_code",
	[LABEL_SNI] = "sni",
	[LABEL_ALPN] = "alpn",
	[LABEL_TLS_VERSION] = "version",
	[LABEL_QUESTION] = "question",
	[LABEL_RESULT] = "result",
};
_Static_assert(ARRAY_SIZE(label_names) == LABEL_COUNT, "a name for each");

static struct span number(char text[16], unsigned value)
{
	/* None is no label. */
	return SPAN(text, value ? (size_t)snprintf(text, 16, "%u", value) : 0);
}

/* The service of package.Service/Method, or its method; all of what is no such name. */
static struct span half_of(struct span name, bool method)
{
	const char *slash = name.len ? memrchr(name.ptr, '/', name.len) : NULL;
	size_t at = slash ? (size_t)(slash - name.ptr) : name.len;

	if (!slash)
		return name;
	return method ? SPAN(slash + 1, name.len - at - 1) : SPAN(name.ptr, at);
}

/* The same in every series that there can be, also where the budget is spent; NULL: it is not. */
static const char *fixed_value(const struct metrics *m, const struct metric_key *key,
			       enum metric_label label)
{
	bool spent = key->reserved == KEY_OVERFLOW;

	switch (label) {
	case LABEL_DIRECTION:
		return direction_names[key->direction];
	case LABEL_WAY:
		return way_names[key->way];
	case LABEL_REASON:
		return lost_reason_names[key->lost];
	case LABEL_SCHEME:
		return "http";
	case LABEL_RPC_SYSTEM:
	case LABEL_OLD_SYSTEM:
		return "grpc";
	case LABEL_ERROR:
	case LABEL_RPC_ERROR:
		return spent ? "" : NULL;
	case LABEL_ROUTE:
		return !m->routes ? "" : spent ? "_OTHER" : NULL;
	default:
		return spent ? "_OTHER" : NULL;
	}
}

/* The text of a label's value; empty: the label is absent. @text is room for a number. */
static struct span label_value(const struct metrics *m, const struct metric_key *key,
			       enum metric_label label, char text[16])
{
	const char *fixed = fixed_value(m, key, label);

	if (fixed)
		return span_str(fixed);
	switch (label) {
	case LABEL_PROTOCOL:
		return span_str(protocol_names[key->protocol]);
	case LABEL_OUTCOME:
		return span_str(outcome_names[key->outcome]);
	case LABEL_METHOD:
		return span_str(http_method_names[key->method]);
	case LABEL_STATUS:
		return number(text, key->status);
	case LABEL_VERSION:
		return span_str(http_version_names[key->version]);
	case LABEL_ADDRESS:
	case LABEL_SNI:
		return metric_names_text(&m->names, key->name);
	case LABEL_PORT:
		return number(text, key->port);
	case LABEL_ROUTE:
		return span_str(key->detail ? routes_template(m->routes, (uint16_t)key->detail)
					    : "");
	case LABEL_ERROR:
		if (key->error == ERROR_STATUS)
			return number(text, key->status);
		return span_str(error_type_names[key->error]);
	case LABEL_RPC_METHOD:
	case LABEL_ALPN:
		return metric_names_text(&m->names, key->detail);
	case LABEL_RPC_STATUS:
		return span_str(rpc_status_names[key->status]);
	case LABEL_RPC_ERROR:
		if (key->error == ERROR_STATUS)
			return span_str(rpc_status_names[key->status]);
		return span_str(error_type_names[key->error]);
	case LABEL_OLD_SERVICE:
	case LABEL_OLD_METHOD:
		return half_of(metric_names_text(&m->names, key->detail),
			       label == LABEL_OLD_METHOD);
	case LABEL_OLD_STATUS:
		if (key->status == RPC_STATUS_MISSING)
			return SPAN_LIT("missing");
		return SPAN(text, (size_t)snprintf(text, 16, "%u", key->status));
	case LABEL_TLS_VERSION:
		return span_str(tls_version_names[key->version]);
	case LABEL_QUESTION:
		return span_str(dns_question_names[key->question]);
	case LABEL_RESULT:
		return span_str(dns_result_names[key->result]);
	default:
		return SPAN_LIT("");
	}
}

void metric_labels_of(const struct metrics *m, const struct metric_key *key,
		      struct metric_labels *out)
{
	const uint8_t *label = metric_infos[key->metric].labels;
	char text[16];

	out->len = 0;
	for (int i = 0; i < METRIC_LABELS_MAX && label[i] != LABEL_END; i++)
		metric_labels_add(out, label_names[label[i]],
				  label_value(m, key, (enum metric_label)label[i], text));
}
