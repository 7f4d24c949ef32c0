// SPDX-License-Identifier: GPL-2.0-or-later
/* What may surprise in an injected pod: see inject_warn.h. */
#include "inject_warn.h"

#include "contract.h"
#include "parse.h"

/* Whether @node, a pod's spec or a container, runs as that user: kubectl's numbers have a base. */
static bool runs_as(struct inject_run *r, yaml_node_t *node, unsigned long uid)
{
	struct span text = TEXT_AT(r, node, "securityContext", "runAsUser");
	char *end;

	/* It ends in a NUL, as all of libyaml's. */
	return text.len && strtoul(text.ptr, &end, 0) == uid && end == text.ptr + text.len;
}

/* Whether what @who sends is taken for the proxy's. */
static void warn_user(struct inject_run *r, const struct inject_pod *w, yaml_node_t *node,
		      struct span who, const struct inject_settings *s)
{
	const char *set = inject_settings_get(s, "proxy-uid");
	unsigned long uid = strtoul(set ? set : "1337", NULL, 10);

	if (runs_as(r, node, uid))
		inject_tell(r, w,
			    "warning: %.*s runs as user %lu, as the proxy does: what it sends is "
			    "not measured; give the proxy another (" INJECT_PREFIX "proxy-uid)",
			    SPAN_FMT(who), uid);
}

static unsigned port_of(const struct inject_settings *s, const char *name, unsigned fallback)
{
	const char *set = inject_settings_get(s, name);

	return set ? (unsigned)strtoul(set, NULL, 10) : fallback;
}

/* Whether the container says that it listens where the proxy does. */
static void warn_ports(struct inject_run *r, const struct inject_pod *w, yaml_node_t *container,
		       const struct inject_settings *s)
{
	unsigned inbound = port_of(s, "inbound-port", CONTRACT_INBOUND_PORT);
	yaml_node_t *ports = NODE_AT(r, container, "ports");
	struct span name = TEXT_AT(r, container, "name");

	for (size_t i = 0; i < yaml_edit_size(ports); i++) {
		struct span text = TEXT_AT(r, yaml_edit_item(&r->edit, ports, i), "containerPort");
		uint16_t port;
		bool ours;

		if (parse_port(text, &port, NULL) < 0)
			continue;
		ours = port >= inbound && port < inbound + CONTRACT_INBOUND_PORTS;
		ours |= port == port_of(s, "outbound-port", CONTRACT_OUTBOUND_PORT);
		ours |= port == port_of(s, "admin-port", CONTRACT_ADMIN_PORT);
		if (ours)
			inject_tell(
				r, w,
				"warning: %.*s has port %u, and so has the proxy: one of them will "
				"not start; give the proxy others (" INJECT_PREFIX
				"admin-port, outbound-port, inbound-port)",
				SPAN_FMT(name), port);
	}
}

/* A probe that is accepted by the proxy whether or not the application listens. */
static void warn_probes(struct inject_run *r, const struct inject_pod *w, yaml_node_t *container,
			const struct inject_settings *s)
{
	static const char *const probes[] = { "startupProbe", "livenessProbe", "readinessProbe" };
	const char *closed = inject_settings_get(s, "inbound-closed");

	for (size_t i = 0; closed && strcmp(closed, "redirect") == 0 && i < ARRAY_SIZE(probes);
	     i++) {
		if (NODE_AT(r, container, probes[i], "tcpSocket"))
			inject_tell(
				r, w,
				"warning: with inbound-closed=redirect the %s of %.*s (tcpSocket) "
				"passes also when nobody listens",
				probes[i], SPAN_FMT(TEXT_AT(r, container, "name")));
	}
}

/* Whether limits are set, and requests the same: alike, or absent. */
static bool is_guaranteed(struct inject_run *r, yaml_node_t *container)
{
	static const char *const resources[] = { "cpu", "memory" };
	bool all = true;

	for (size_t i = 0; i < ARRAY_SIZE(resources); i++) {
		struct span limit = TEXT_AT(r, container, "resources", "limits", resources[i]),
			    request = TEXT_AT(r, container, "resources", "requests", resources[i]);

		all &= limit.len && (!request.len || span_eq(limit, request));
	}
	return all;
}

/* The kubelet goes by the class when memory is short; a pinned CPU goes with it. */
static void warn_class(struct inject_run *r, const struct inject_pod *w)
{
	const struct inject_options *o = r->options;
	bool ours = o->cpu_limit && strcmp(o->cpu_limit, o->cpu_request) == 0 &&
		    strcmp(o->memory_limit, o->memory_request) == 0;
	bool theirs = true;

	for (size_t i = 0; i < yaml_edit_size(w->containers); i++)
		theirs &= is_guaranteed(r, yaml_edit_item(&r->edit, w->containers, i));
	for (size_t i = 0; i < yaml_edit_size(w->init_containers); i++)
		theirs &= is_guaranteed(r, yaml_edit_item(&r->edit, w->init_containers, i));
	if (theirs && !ours)
		inject_tell(r, w,
			    "warning: its quality of service was Guaranteed and becomes Burstable: "
			    "--cpu-limit and --memory-limit like the requests keep it");
}

static void warn_container(struct inject_run *r, const struct inject_pod *w, yaml_node_t *container,
			   const struct inject_settings *s)
{
	warn_user(r, w, container, TEXT_AT(r, container, "name"), s);
	warn_ports(r, w, container, s);
	warn_probes(r, w, container, s);
}

void inject_warn(struct inject_run *r, const struct inject_pod *w, const struct inject_settings *s)
{
	warn_user(r, w, w->spec, SPAN_LIT("it"), s);
	for (size_t i = 0; i < yaml_edit_size(w->containers); i++)
		warn_container(r, w, yaml_edit_item(&r->edit, w->containers, i), s);
	for (size_t i = 0; i < yaml_edit_size(w->init_containers); i++) {
		yaml_node_t *container = yaml_edit_item(&r->edit, w->init_containers, i);

		/* A sidecar runs beside the proxy; the others are gone by then. */
		if (span_eq(TEXT_AT(r, container, "restartPolicy"), SPAN_LIT("Always")))
			warn_container(r, w, container, s);
	}
	warn_class(r, w);
	if (w->kind->ends && r->options->form == INJECT_CLASSIC)
		inject_tell(r, w,
			    "warning: as a classic container the proxy outlives the work: have it "
			    "end by "
			    "POST /quit, or use --form=sidecar");
}

void inject_warn_namespace(struct inject_run *r, yaml_node_t *object)
{
	static const char label[] = "pod-security.kubernetes.io/enforce";
	struct inject_pod w = { .object = object };
	struct span level, name;

	if (!span_eq(TEXT_AT(r, object, "apiVersion"), SPAN_LIT("v1")) ||
	    !span_eq(TEXT_AT(r, object, "kind"), SPAN_LIT("Namespace")))
		return;
	level = TEXT_AT(r, object, "metadata", "labels", label);
	name = TEXT_AT(r, object, "metadata", "name");
	if (!span_eq(level, SPAN_LIT("baseline")) && !span_eq(level, SPAN_LIT("restricted")))
		return;
	/* The API server tells later, and of a workload in its events alone. */
	snprintf(w.title, sizeof(w.title), "Namespace/%.*s", (int)MIN(name.len, 253u), name.ptr);
	inject_tell(r, &w,
		    "warning: %s=%.*s refuses pods with " INJECT_RULES ", which adds NET_ADMIN: "
		    "set it to privileged, or see Pod Security in docs/kubernetes.md",
		    label, (int)level.len, level.ptr);
}
