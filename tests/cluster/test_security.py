# SPDX-License-Identifier: GPL-2.0-or-later
"""Namespaces with levels of Pod Security: what a user sees, and what is said before."""
import pytest
import yaml

from lib.cluster import FORMS, container, deployment, eventually, inject, pod

RESTRICTED = {"allowPrivilegeEscalation": False, "runAsNonRoot": True, "runAsUser": 65534,
              "capabilities": {"drop": ["ALL"]}, "seccompProfile": {"type": "RuntimeDefault"}}


def app():
    return container("sleep 3600", securityContext=RESTRICTED)


@pytest.mark.parametrize("level", ["baseline", "restricted"])
def test_refused_by_name(make_namespace, level):
    """The pod itself fits; the API server names our container and the capability."""
    namespace = make_namespace(level)
    namespace.apply(pod("plain", app()))
    done = namespace.apply(pod("app", app()), inject_args=[], check=False)
    assert done.returncode != 0
    assert f'violates PodSecurity "{level}:latest"' in done.stderr
    assert "sluice-init" in done.stderr and "NET_ADMIN" in done.stderr
    assert "sluice-proxy" not in done.stderr


@pytest.mark.parametrize("level", ["baseline", "restricted"])
def test_workload_says_why_it_has_no_pods(make_namespace, level):
    """A Deployment is taken, with a warning; its events say why there are no pods."""
    namespace = make_namespace(level)
    done = namespace.apply(deployment("app", app()), inject_args=[])
    assert "Warning: would violate PodSecurity" in done.stderr and "sluice-init" in done.stderr
    assert eventually(lambda: [
        e for e in namespace.get("events", "--field-selector", "reason=FailedCreate")["items"]
        if "NET_ADMIN" in e["message"]], "the event")


@pytest.mark.parametrize("level", ["baseline", "restricted", "privileged"])
def test_inject_says_so_before(level):
    """Where the namespace is in the stream, or its level given."""
    space = {"apiVersion": "v1", "kind": "Namespace", "metadata": {
        "name": "shop", "labels": {"pod-security.kubernetes.io/enforce": level}}}
    _, said = inject(yaml.safe_dump_all([space, pod("app", app())]))
    assert ("pod-security.kubernetes.io/enforce" in said) == (level != "privileged"), said


def test_privileged_takes_it(make_namespace):
    namespace = make_namespace("privileged")
    namespace.apply(pod("app", app()), inject_args=[])
    namespace.wait_pod("app")


def test_restricted_with_the_proxy_alone(make_namespace):
    """Without a redirect the forward proxy measures who asks it: no capability is needed."""
    namespace = make_namespace("restricted")
    manifest = yaml.safe_load(inject(yaml.safe_dump(pod("app", app())))[0])
    spec = manifest["spec"]
    spec["initContainers"] = [c for c in spec["initContainers"] if c["name"] != "sluice-init"]
    namespace.apply(manifest)
    namespace.wait_pod("app")


@pytest.mark.parametrize("form", FORMS)
def test_the_node_is_not_redirected(namespace, form):
    """A pod that is the node's by what came after the injection: one line, and it does not start."""
    manifest = yaml.safe_load(inject(yaml.safe_dump(pod("app", app())), f"--form={form}")[0])
    manifest["spec"]["hostNetwork"] = True
    namespace.apply(manifest)
    said = eventually(lambda: namespace.kubectl("logs", "app", "-c", "sluice-init",
                                                check=False).stdout, "the end of sluice-init")
    assert said.startswith("sluice: error: --node-address: ") and said.count("\n") == 1, said
    assert "hostNetwork" in said, said
    node = namespace.get("pod", "app")["status"]
    assert f"--node-address: {node['hostIP']} " in said, said
    assert not node["initContainerStatuses"][0]["ready"]
