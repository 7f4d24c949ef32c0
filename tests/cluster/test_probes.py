# SPDX-License-Identifier: GPL-2.0-or-later
"""The kubelet's probes of the application come to the same with us as without."""
import pytest

from lib.cluster import FORMS, container, eventually, http_ready, inject, pod, web

import yaml

GRPC = """\
import concurrent.futures, grpc
class Health(grpc.GenericRpcHandler):
    def service(self, call):
        if call.method == "/grpc.health.v1.Health/Check":
            return grpc.unary_unary_rpc_method_handler(lambda *_: b"\\x08\\x01")
server = grpc.server(concurrent.futures.ThreadPoolExecutor(4))
server.add_generic_rpc_handlers((Health(),))
server.add_insecure_port("0.0.0.0:8080")
server.start()
server.wait_for_termination()
"""
PORTS = [{"name": "http", "containerPort": 8080}]
SERVER, GRPC_SERVER = web(), ["python3", "-c", GRPC]
# name: (command, probe, whether it succeeds)
PROBES = {
    "http": (SERVER, {"httpGet": {"path": "/", "port": 8080}}, True),
    "http-named-port": (SERVER, {"httpGet": {"path": "/", "port": "http"}}, True),
    "http-missing-page": (SERVER, {"httpGet": {"path": "/none", "port": 8080}}, False),
    "tcp-open": (SERVER, {"tcpSocket": {"port": 8080}}, True),
    "tcp-named-port": (SERVER, {"tcpSocket": {"port": "http"}}, True),
    "tcp-closed": ("exec sleep 3600", {"tcpSocket": {"port": 8080}}, False),
    "http-closed": ("exec sleep 3600", {"httpGet": {"path": "/", "port": 8080}}, False),
    "grpc": (GRPC_SERVER, {"grpc": {"port": 8080}}, True),
    "grpc-closed": ("exec sleep 3600", {"grpc": {"port": 8080}}, False),
    "exec": (SERVER, {"exec": {"command": ["test", "-f", "/tmp/w/index.html"]}}, True),
    "exec-false": (SERVER, {"exec": {"command": ["false"]}}, False),
}


def readiness(probe, _):
    return {"readinessProbe": {**probe, "periodSeconds": 1}}


def liveness(probe, succeeds):
    """Where it is to succeed, the application may begin slowly, and a slow answer is good, too."""
    often = {**probe, "periodSeconds": 1, "timeoutSeconds": 10 if succeeds else 1}
    return {"livenessProbe": often,
            **({"startupProbe": {**often, "failureThreshold": 100}} if succeeds else {})}


def pods_of(probes):
    """A pod for each."""
    return [pod(name, container(command, ports=PORTS, **probes(probe, succeeds)))
            for name, (command, probe, succeeds) in PROBES.items()]


def failures(namespace, name):
    """How often the kubelet has told of a failed probe of the application."""
    events = namespace.get("events", "--field-selector",
                           f"involvedObject.name={name},reason=Unhealthy")["items"]
    return sum(e.get("count") or e.get("series", {}).get("count", 1) for e in events
               if e["involvedObject"].get("fieldPath") == "spec.containers{app}")


@pytest.mark.parametrize("form", ["without", *FORMS])
def test_readiness(namespace, form):
    namespace.apply(*pods_of(readiness),
                    inject_args=None if form == "without" else [f"--form={form}"])
    for name, (_, _, succeeds) in PROBES.items():
        if succeeds:
            namespace.wait_pod(name)
    for name, (_, _, succeeds) in PROBES.items():
        if not succeeds:
            eventually(lambda: failures(namespace, name) >= 3,  # pylint: disable=cell-var-from-loop
                       f"{name} failing")
            assert not namespace.container_state(name, "app")["ready"], name


@pytest.mark.parametrize("form", ["without", *FORMS])
def test_liveness(namespace, form):
    """The kubelet restarts whom it finds dead, and nobody else."""
    namespace.apply(*pods_of(liveness),
                    inject_args=None if form == "without" else [f"--form={form}"])
    for name, (_, _, succeeds) in PROBES.items():
        if not succeeds:
            eventually(lambda: namespace.container_state(name, "app")  # pylint: disable=cell-var-from-loop
                       .get("restartCount", 0) > 0, f"{name} restarting")
    for name, (_, _, succeeds) in PROBES.items():
        if succeeds:
            eventually(lambda: namespace.container_state(name, "app").get("started"),  # pylint: disable=cell-var-from-loop
                       f"{name} having started")
            assert namespace.container_state(name, "app")["restartCount"] == 0, name


def test_a_server_that_stops_listening(namespace):
    """A tcpSocket probe sees the port closed, though a live proxy would accept for it."""
    command = "httpd -p 8080; touch /tmp/on; while [ -e /tmp/on ]; do sleep 0.2; done; " \
              "kill $(pidof httpd); exec sleep 3600"
    probe = {"tcpSocket": {"port": 8080}, "periodSeconds": 1, "failureThreshold": 1,
             "timeoutSeconds": 10}
    namespace.apply(pod("app", container(command, readinessProbe=probe)), inject_args=[])
    namespace.wait_pod("app")
    before = failures(namespace, "app")
    namespace.sh("app", "rm /tmp/on")
    eventually(lambda: failures(namespace, "app") >= before + 3, "failing for good")
    state = namespace.container_state("app", "app")
    assert "running" in state["state"] and not state["ready"] and state["restartCount"] == 0, state


def test_named_port_that_is_ours_too(namespace):
    """The proxy's container has a port with a name; the application's of that name is refused
    by nobody, and stays the application's."""
    app = container(web(), ports=[{"name": "metrics", "containerPort": 8080}],
                    readinessProbe=http_ready("metrics"))
    text, _ = inject(yaml.safe_dump(pod("app", app)))
    namespace.apply(text)
    namespace.wait_pod("app")
