# SPDX-License-Identifier: GPL-2.0-or-later
"""Pods that come, go and die under load."""
import pytest

from lib.cluster import CALL, FORMS, container, eventually, web_server
from lib.cluster_load import Load, failed, wait_gone

# A proper stop: goes on until the endpoints are taken out everywhere, as every tutorial advises.
POLITE = {"preStop": {"exec": {"command": ["sleep", "5"]}}}


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
    address = web_server(namespace, 2, forms(form), lifecycle=POLITE)
    load = Load(namespace, address)
    roll(namespace)
    roll(namespace)
    outcomes = load.stop()
    record_property("outcomes", outcomes)
    assert outcomes["good"] > 100 and failed(outcomes) == 0, outcomes


@pytest.mark.parametrize("form", FORMS)
def test_pod_deleted(namespace, form):
    """Of two, one at a time, under load."""
    address = web_server(namespace, 2, forms(form), lifecycle=POLITE)
    load = Load(namespace, address)
    for name in names_of(namespace):
        namespace.kubectl("delete", "pod", name)
        namespace.wait_available("deployment/web")
    outcomes = load.stop()
    assert outcomes["good"] > 100 and failed(outcomes) == 0, outcomes


@pytest.mark.parametrize("form", FORMS)
def test_proxy_killed(namespace, form):
    """The application goes on without it; the kubelet starts another, which measures again."""
    address = web_server(namespace, 1, forms(form))
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
    web_server(namespace, 1, [])
    name = namespace.pod_name("app=web")
    namespace.kill(name, "app")
    eventually(lambda: namespace.container_state(name, "app").get("restartCount") == 1
               and namespace.container_state(name, "app")["ready"], "the application again")
    assert namespace.container_state(name, "sluice-proxy")["restartCount"] == 0
    address = namespace.get("pod", name)["status"]["podIP"]
    done = namespace.cluster.run("curl", "-sf", f"http://{address}:8080{CALL}")
    assert done.stdout == "hello\n"
    assert namespace.calls(name) == 1
