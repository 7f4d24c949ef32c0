# SPDX-License-Identifier: GPL-2.0-or-later
"""Pods that come, go and die under load, and Services in both modes of kube-proxy."""
import pytest

from lib.cluster import CALL, FORMS, container, deployment, eventually, http_ready, pod, service, web
from lib.cluster_load import Load, failed, wait_gone

# A proper stop: goes on until the endpoints are taken out everywhere, as every tutorial advises.
POLITE = {"preStop": {"exec": {"command": ["sleep", "5"]}}}


def server(namespace, replicas, inject_args, **more):
    app = container(web(), readinessProbe=http_ready(), **more)
    namespace.apply(service("web"))
    namespace.apply(deployment("web", app, replicas=replicas, terminationGracePeriodSeconds=20),
                    inject_args=inject_args)
    namespace.wait_available("deployment/web")
    return namespace.get("service", "web")["spec"]["clusterIP"]


def names_of(namespace):
    return {p["metadata"]["name"] for p in namespace.pods("app=web")}


def roll(namespace):
    """One rolling update, from its beginning to the end of the last old pod."""
    old = names_of(namespace)
    namespace.kubectl("rollout", "restart", "deployment/web")
    namespace.wait_available("deployment/web")
    wait_gone(namespace, "app=web", old)


def forms(form):
    return None if form == "without" else [f"--form={form}"]


@pytest.mark.parametrize("form", ["without", *FORMS])
def test_rolling_update(namespace, form, record_property):
    """Not one request fails with us where none fails without."""
    address = server(namespace, 2, forms(form), lifecycle=POLITE)
    load = Load(namespace, address)
    roll(namespace)
    roll(namespace)
    outcomes = load.stop()
    record_property("outcomes", outcomes)
    assert outcomes["good"] > 100 and failed(outcomes) == 0, outcomes


@pytest.mark.parametrize("form", FORMS)
def test_pod_deleted(namespace, form):
    """Of two, one at a time, under load."""
    address = server(namespace, 2, forms(form), lifecycle=POLITE)
    load = Load(namespace, address)
    for name in names_of(namespace):
        namespace.kubectl("delete", "pod", name)
        namespace.wait_available("deployment/web")
    outcomes = load.stop()
    assert outcomes["good"] > 100 and failed(outcomes) == 0, outcomes


@pytest.mark.parametrize("form", FORMS)
def test_proxy_killed(namespace, form):
    """The application goes on without it; the kubelet starts another, which measures again."""
    address = server(namespace, 1, forms(form))
    name = namespace.pod_name("app=web")
    namespace.wait_armed(name)
    load = Load(namespace, address)
    eventually(lambda: namespace.calls(name) > 50, "load")
    namespace.kill(name, "sluice-proxy")
    eventually(lambda: namespace.container_state(name, "sluice-proxy").get("restartCount") == 1
               and namespace.container_state(name, "sluice-proxy")["ready"], "another proxy")
    namespace.wait_armed(name)
    before = namespace.calls(name)
    eventually(lambda: namespace.calls(name) > before + 50, "load being counted again")
    outcomes = load.stop()
    # What was under way, those refused until the kernel had noticed, and by the Service of a pod
    # that is not Ready.
    assert set(outcomes) <= {"good", "ConnectionRefusedError", "ConnectionResetError",
                             "no answer"}, outcomes
    assert namespace.container_state(name, "app")["restartCount"] == 0
    assert failed(outcomes) < outcomes["good"]


def test_application_killed(namespace):
    """Its container is started again beside the same proxy."""
    server(namespace, 1, [])
    name = namespace.pod_name("app=web")
    namespace.kill(name, "app")
    eventually(lambda: namespace.container_state(name, "app").get("restartCount") == 1
               and namespace.container_state(name, "app")["ready"], "the application again")
    assert namespace.container_state(name, "sluice-proxy")["restartCount"] == 0
    address = namespace.get("pod", name)["status"]["podIP"]
    done = namespace.cluster.run("curl", "-sf", f"http://{address}:8080{CALL}")
    assert done.stdout == "hello\n"
    assert namespace.calls(name) == 1


def request(address):
    return f"curl -s -m 5 -o /dev/null -w '%{{http_code}}' http://{address}{CALL}"


@pytest.mark.parametrize("mode", ["iptables", "nftables"])
def test_services(namespace, mode):
    """By cluster address, node port, and from a pod to itself; both ends measured."""
    namespace.cluster.proxy_mode(mode)
    address = server(namespace, 1, [])
    namespace.apply({**service("node"), "spec": {
        "type": "NodePort", "selector": {"app": "web"}, "ports": [{"port": 80, "targetPort": 8080}]}})
    namespace.apply(pod("caller", container("exec sleep 3600")), inject_args=[])
    namespace.wait_pod("caller")
    name = namespace.pod_name("app=web")
    namespace.wait_armed(name, "caller")
    eventually(lambda: namespace.sh("caller", f"curl -s -m 5 http://{address}/", check=False)
               == "hello\n", "the Service's rules")
    for _ in range(20):
        assert namespace.sh("caller", request(address)) == "200"
    assert namespace.calls("caller", "client") == namespace.calls(name) == 20
    port = namespace.get("service", "node")["spec"]["ports"][0]["nodePort"]
    eventually(lambda: namespace.cluster.run(
        "curl", "-s", "-m", "5", f"http://10.77.0.1:{port}/",
        check=False).stdout == "hello\n", "the node's port")
    assert namespace.sh("caller", request(f"10.77.0.1:{port}")) == "200"
    assert namespace.sh(name, request(address)) == "200"
    assert namespace.calls("caller", "client") == 21
    assert namespace.calls(name) == 22 and namespace.calls(name, "client") == 1


def test_service_without_endpoints(namespace):
    """kube-proxy refuses for it: refused without us, reset with us, and no hanging."""
    namespace.apply(service("nobody"))
    address = namespace.get("service", "nobody")["spec"]["clusterIP"]
    namespace.apply(pod("plain", container("exec sleep 3600")))
    namespace.apply(pod("caller", container("exec sleep 3600")), inject_args=[])
    for name, statuses in (("plain", {7}), ("caller", {52, 56})):
        namespace.wait_pod(name)
        eventually(lambda: namespace.kubectl(  # pylint: disable=cell-var-from-loop
            "exec", name, "-c", "app", "--", "curl", "-s", "-m", "10", f"http://{address}/",
            check=False).returncode in statuses, f"{name} being refused")
