# SPDX-License-Identifier: GPL-2.0-or-later
"""Services in both modes of kube-proxy. Run alone: a mode is the whole cluster's."""
import pytest

from lib.cluster import CALL, container, eventually, pod, service, web_server


@pytest.fixture(params=["iptables", "nftables"])
def mode(request, cluster):
    """The last is what the cluster began with."""
    cluster.proxy_mode(request.param)


def ask(address):
    return f"curl -s -m 5 -o /dev/null -w '%{{http_code}}' http://{address}{CALL}"


@pytest.mark.usefixtures("mode")
def test_services(namespace):
    """By cluster address, node port, and from a pod to itself; both ends measured."""
    address = web_server(namespace, 1, [])
    namespace.apply({**service("node"), "spec": {
        "type": "NodePort", "selector": {"app": "web"}, "ports": [{"port": 80, "targetPort": 8080}]}})
    namespace.apply(pod("caller", container("exec sleep 3600")), inject_args=[])
    namespace.wait_pod("caller")
    name = namespace.pod_name("app=web")
    namespace.wait_armed(name, "caller")
    eventually(lambda: namespace.sh("caller", f"curl -s -m 5 http://{address}/", check=False)
               == "hello\n", "the Service's rules")
    for _ in range(20):
        assert namespace.sh("caller", ask(address)) == "200"
    assert namespace.calls("caller", "client") == namespace.calls(name) == 20
    port = namespace.get("service", "node")["spec"]["ports"][0]["nodePort"]
    eventually(lambda: namespace.cluster.run(
        "curl", "-s", "-m", "5", f"http://10.77.0.1:{port}/",
        check=False).stdout == "hello\n", "the node's port")
    assert namespace.sh("caller", ask(f"10.77.0.1:{port}")) == "200"
    assert namespace.sh(name, ask(address)) == "200"
    assert namespace.calls("caller", "client") == 21
    assert namespace.calls(name) == 22 and namespace.calls(name, "client") == 1


@pytest.mark.usefixtures("mode")
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
