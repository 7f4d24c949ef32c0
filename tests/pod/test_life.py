# SPDX-License-Identifier: GPL-2.0-or-later
"""Pods that end, are deleted, and lose their proxy, under load; and what then goes where."""
import time

import pytest

from lib.kubeplay import Load, api, container, inject, pod
from lib.proc import wait_until

ASKED = "http_client_request_duration_seconds_count"
OPENED = "sluice_connections_opened_total"
THREADS = 4


def started(pods, text):
    return pods.play(text).serves().armed()


def loaded(pods, target):
    """A load on it that runs, without a failure so far."""
    load = pods.keep(Load(target, THREADS), "end")
    load.wait_more()
    assert load.failed() == 0, load.counts
    return load


def redirected_again(load, target):
    """There are answers, and new connections are the proxy's."""
    before = target.armed().metrics().sum(OPENED, direction="inbound")
    load.wait_more()
    assert target.metrics().sum(OPENED, direction="inbound") > before


@pytest.mark.parametrize("injected", [False, True], ids=["plain", "injected"])
def test_deleted_under_load(node, pods, injected):
    """Nothing fails before, and nothing hangs, whoever ends first.

    As a kubelet does it: the containers are told to stop, all at once, and then the network goes.
    podman takes the network away with the last container, so there is one that stays: what is
    under way meanwhile would hang, also without us.
    """
    text = pod("api", container("server", "/usr/bin/python3", "/app.py", "api"),
               container("stays", "sleep", "1000"))
    target = started(pods, inject(text)[0]) if injected else pods.play(text).serves()
    load = loaded(pods, target)
    began = time.monotonic()
    names = ["server", "sluice-proxy"] if injected else ["server"]
    node.podman("stop", *map(target.of, names))
    load.end()
    node.podman("pod", "rm", "--force", "--time=0", target.name)
    print("of the requests:", dict(load.counts))
    assert load.counts["hang"] == 0, load.counts
    assert not load.failed_at or min(load.failed_at) > began


def test_the_whole_proxy_is_killed(node, pods):
    """podman starts the container again; meanwhile connections fail for a moment, then go direct."""
    target = started(pods, inject(api())[0])
    load = loaded(pods, target)
    killed = target.proxy_pid()
    node.run("kill", "-KILL", killed)
    wait_until(lambda: target.proxy_pid() not in (0, killed), "podman to start it again")
    redirected_again(load, target)
    load.end()
    print("of the requests:", dict(load.counts))
    assert load.counts["hang"] == 0, load.counts


def test_the_worker_is_killed(node, pods):
    """The parent starts another: what was under way fails, once a client, and nothing else."""
    target = started(pods, inject(api())[0])
    load = loaded(pods, target)
    parent, worker = target.proxy_pid(), target.worker_pid()
    node.run("kill", "-KILL", worker)
    wait_until(lambda: target.metrics().sum("sluice_worker_restarts_total") == 1, "another worker")
    redirected_again(load, target)
    load.end()
    print("of the requests:", dict(load.counts))
    assert load.failed() <= THREADS and load.counts["hang"] == 0, load.counts
    assert target.proxy_pid() == parent


def test_fail_closed(node, pods):
    """Without the proxy there is no traffic, and `sluice status` says why."""
    other = pods.play(api("other")).serves()
    target = started(pods, inject(api(annotations={"sluice.dev/fail": "closed"}))[0])
    fetch = ["/usr/bin/python3", "/app.py", "fetch", f"http://{other.address}:8080/", "1"]
    target.exec("server", *fetch)
    assert target.metrics().sum(ASKED) == 1
    node.podman("stop", target.of("sluice-proxy"))
    with pytest.raises(ConnectionRefusedError):
        target.get()
    assert "Connection refused" in target.exec("server", *fetch, status=1).stderr
    told = target.sluice("status").stdout
    assert "IPv4 no, IPv6 no; --fail=closed" in told and "NOBODY listens" in told, told


@pytest.mark.parametrize("when, policy", [("last", "Never"), ("first", "OnFailure")])
def test_a_job_completes(node, pods, when, policy):
    """It ends its proxy when it is done; and does without one that ended before."""
    other = pods.play(api("other")).serves()
    work = container("work", "/usr/bin/python3", "/app.py", "job", f"http://{other.address}:8080/",
                     when)
    target = pods.play(inject(pod("job", work, restartPolicy=policy))[0])
    assert target.wait_exit("work") == 0, target.logs("work")
    assert target.wait_exit("sluice-proxy") == 0, target.logs("sluice-proxy")
    # podman's pause container is one that nobody waits for.
    assert node.inspect(target.name, "pod")["State"] in ("Exited", "Degraded")


def test_an_application_with_the_proxys_uid(pods):
    """`inject` warns that it is not measured; with the annotation that it names it is."""
    other = pods.play(api("other")).serves()

    def measured(name, admin, **more):
        user = {"runAsUser": 1337, "runAsGroup": 1337}
        text, said = inject(pod(name, container("app", "sleep", "1000", securityContext=user),
                                **more), admin=admin)
        target = pods.play(text).armed()
        target.exec("app", "/usr/bin/python3", "/app.py", "fetch", f"http://{other.address}:8080/",
                    "3")
        return said, target.metrics().sum(ASKED)

    said, count = measured("before", 9901)
    assert "warning: app runs as user 1337" in said and "sluice.dev/proxy-uid" in said
    assert count == 0
    said, count = measured("cured", 9902, annotations={"sluice.dev/proxy-uid": "1400"})
    assert "warning" not in said and count == 3
