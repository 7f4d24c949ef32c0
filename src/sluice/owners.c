// SPDX-License-Identifier: GPL-2.0-or-later
/* Programs that redirect, known by the names they give: see neighbours.h. */
#include "neighbours.h"

#include "span.h"

static const struct {
	enum neighbour_kind kind;
	const char *prefix;
	const char *owner;
} known[] = {
	{ NEIGHBOUR_CHAIN, "ISTIO_", "Istio" },
	{ NEIGHBOUR_TABLE, "istio-", "Istio" },
	{ NEIGHBOUR_CHAIN, "PROXY_INIT_", "Linkerd" },
	{ NEIGHBOUR_COMMENT, "proxy-init/", "Linkerd" },
	{ NEIGHBOUR_CHAIN, "KUMA_", "Kuma" },
	{ NEIGHBOUR_CHAIN, "MESH_", "Kuma" },
	{ NEIGHBOUR_COMMENT, "kuma/", "Kuma" },
	{ NEIGHBOUR_CHAIN, "CONSUL_", "Consul" },
	{ NEIGHBOUR_CHAIN, "APPMESH_", "App Mesh" },
	{ NEIGHBOUR_CHAIN, "OSM_PROXY_", "Open Service Mesh" },
	{ NEIGHBOUR_CHAIN, "KUBE-", "kube-proxy" },
	{ NEIGHBOUR_TABLE, "kube-proxy", "kube-proxy" },
	{ NEIGHBOUR_CHAIN, "DOCKER", "Docker" },
	{ NEIGHBOUR_TABLE, "docker-", "Docker" },
	{ NEIGHBOUR_CHAIN, "NETAVARK", "Podman" },
	{ NEIGHBOUR_TABLE, "netavark", "Podman" },
	{ NEIGHBOUR_CHAIN, "CNI-", "CNI portmap" },
	{ NEIGHBOUR_TABLE, "cni_", "CNI portmap" },
	{ NEIGHBOUR_CHAIN, "cali-", "Calico" },
	{ NEIGHBOUR_CHAIN, "CILIUM_", "Cilium" },
	{ NEIGHBOUR_CHAIN, "FLANNEL-", "flannel" },
	{ NEIGHBOUR_CHAIN, "LIBVIRT_", "libvirt" },
	{ NEIGHBOUR_TABLE, "libvirt_", "libvirt" },
	{ NEIGHBOUR_TABLE, "firewalld", "firewalld" },
};

const char *neighbour_owner(enum neighbour_kind kind, const char *name)
{
	for (size_t i = 0; i < ARRAY_SIZE(known); i++) {
		if (known[i].kind == kind && span_starts(span_str(name), span_str(known[i].prefix)))
			return known[i].owner;
	}
	return NULL;
}

void neighbour_add_owner(char owners[NEIGHBOUR_TEXT_MAX], const char *owner)
{
	struct span rest = span_str(owners), one;
	bool done = false;
	size_t len = strlen(owners);

	if (!owner)
		return;
	while (span_next(&rest, ',', &one, &done)) {
		if (span_eq(span_trim(one), span_str(owner)))
			return;
	}
	snprintf(owners + len, NEIGHBOUR_TEXT_MAX - len, "%s%s", len ? ", " : "", owner);
}
