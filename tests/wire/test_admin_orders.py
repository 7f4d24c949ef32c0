# SPDX-License-Identifier: GPL-2.0-or-later
"""What the admin port does on demand, for whom, and for whom not."""
import signal

import pytest

from lib.patience import PATIENCE
from lib.proc import alive, wait_until
from lib.sluice import sluice
from lib.witness import ask
from lib.world import CLIENT, POD
from wire.conftest import ALIVE

MEANT = {"X-Sluice": "1"}
ORDERS = ["/drain", "/quit"]


@pytest.fixture
def armed(world, start_proxy):
    sluice(world.pod, "apply", ALIVE)
    proxy = start_proxy(ALIVE, "--threads=2")
    proxy.wait_armed()
    return proxy


def untouched(proxy):
    """Nothing was ordered: it serves on."""
    return proxy.get("/ready")[0] == 200 and proxy.armed() == 2


@pytest.mark.parametrize("path", ORDERS)
def test_who_may_not_order(world, armed, family, path):
    refused = [({}, 403), ({"X-Sluice": "1", "Origin": "http://localhost:9901"}, 403),
               ({"X-Sluice": "1", "Host": "evil.example"}, 403)]
    for headers, status in refused:
        got, _, body = armed.get(path, method="POST", headers=headers, family=family)
        assert got == status and body.count(b"\n") == 1, (headers, body)
    for method in ("GET", "HEAD", "PUT", "OPTIONS"):
        got, headers, _ = armed.get(path, method=method, headers=MEANT, family=family)
        assert got == 405 and headers["Allow"] == "POST"
        assert "Access-Control-Allow-Origin" not in headers
    got, _, body = armed.get(path, method="POST", headers=MEANT, family=family,
                             netns=world.client)
    assert got == 403 and b"--admin-open" in body
    assert untouched(armed)


def test_curl_from_inside(world, armed):
    """As an operator types it, over both families."""
    for url in ("http://127.0.0.1:9901", "http://[::1]:9901"):
        assert "say that you mean it" in world.pod.run(["curl", "-s", "-X", "POST", url + "/quit"])
        assert world.pod.run(["curl", "-s", url + "/ready"]) == "ready\n"
    answer = world.pod.run(["curl", "-s", "-X", "POST", "-H", "X-Sluice: 1",
                            "http://localhost:9901/quit"])
    assert answer.startswith("stopping")
    assert armed.wait() == 0


def held(world, proxy, where, client, address):
    """A proxied connection that stays open: (client's, server's socket)."""
    listener = world.keep(where.listen("0.0.0.0", 80))
    c = world.keep(client.socket(uid=1000))
    c.connect((address[4], 80))
    s = world.keep(listener.accept()[0])
    s.settimeout(PATIENCE)
    listener.close()
    wait_until(lambda: proxy.metrics().sum("sluice_connections_active") >= 1, "a flow")
    return c, s


def still_good(pairs):
    for c, s in pairs:
        c.sendall(b"x")
        assert s.recv(1) == b"x"
        s.sendall(b"y")
        assert c.recv(1) == b"y"


def test_drain_gives_the_redirect_up_and_stays(world, armed):
    inbound = held(world, armed, world.pod, world.client, POD)
    outbound = held(world, armed, world.client, world.pod, CLIENT)
    worker = armed.worker
    for _ in range(2):
        assert armed.get("/drain", method="POST", headers=MEANT)[0] == 202
        assert armed.get("/ready")[0] == 503
    armed.wait_disarmed()
    armed.wait_line("draining: 2 connections")
    still_good([inbound, outbound])
    # What comes now goes past the proxy, and nobody listens on its ports any more.
    world.witness().listen("0.0.0.0", 80)
    assert ask(world.client, POD[4], 80)["peer"][0] == CLIENT[4]

    def refused():
        with world.pod.socket() as s:
            return s.connect_ex(("127.0.0.1", 9212)) != 0

    wait_until(refused, "the listeners of each thread to be closed")
    for c, s in (inbound, outbound):
        s.close()
        assert c.recv(1) == b""
        c.close()
    m = armed.settled(opened=2)
    assert m.sum("sluice_connections_closed_total", outcome="closed") == 2
    assert m.sum("sluice_armed") == 0
    assert armed.worker == worker and alive(worker)
    assert armed.get("/live")[0] == 200
    status, _, body = armed.get("/ready")
    assert status == 503 and body == b"draining\n"
    assert armed.stop() == 0


@pytest.mark.parametrize("how", ["sigterm", "quit"])
def test_a_stop_ends_a_drain(world, start_proxy, how):
    """It waits no longer for what the drain would have waited for, but is no second stop."""
    sluice(world.pod, "apply", ALIVE)
    proxy = start_proxy(ALIVE, "--drain-timeout=1s")
    proxy.wait_armed()
    c, _ = held(world, proxy, world.pod, world.client, POD)
    assert proxy.get("/drain", method="POST", headers=MEANT)[0] == 202
    proxy.wait_line("draining: 1 connection")
    if how == "quit":
        assert proxy.get("/quit", method="POST", headers=MEANT)[0] == 202
    else:
        proxy.signal(signal.SIGTERM)
    proxy.wait_line("the drain has run out")
    with pytest.raises(ConnectionResetError):
        c.recv(1)
    assert proxy.wait() == 0
    assert "told again" not in proxy.output


def test_quit_waits_for_open_connections(world, start_proxy):
    sluice(world.pod, "apply", ALIVE)
    armed = start_proxy(ALIVE, "--threads=4")
    armed.wait_armed()
    pair = held(world, armed, world.pod, world.client, POD)
    status, _, body = armed.get("/quit", method="POST", headers=MEANT)
    assert status == 202 and body.startswith(b"stopping")
    armed.wait_disarmed()
    still_good([pair])
    armed.wait_line("draining: 1 connection")
    # Most of its threads have nothing left to do. That is no hang, as the parent's 5 s show.
    signal.sigtimedwait([], 7)
    still_good([pair])
    pair[1].close()
    assert pair[0].recv(1) == b""
    pair[0].close()
    assert armed.wait() == 0


def test_a_worker_that_dies_in_a_drain_is_not_armed_again(world, armed):
    assert armed.get("/drain", method="POST", headers=MEANT)[0] == 202
    armed.wait_disarmed()
    armed.wait_line("draining: 0 connections")
    first = armed.worker
    world.pod.run(["kill", "-KILL", str(first)])
    wait_until(lambda: not alive(first), "the worker to die")
    wait_until(lambda: sum("told to drain" in line for line in armed.lines) == 2,
               "the next one to drain")
    assert armed.worker != first
    assert armed.armed() == 0
    assert armed.get("/ready")[0] == 503
    assert armed.stop() == 0


def test_open_to_every_peer(world, start_proxy, family):
    """--admin-open lifts loopback, and nothing else."""
    proxy = start_proxy("--admin-open")
    assert proxy.get("/quit", method="POST", netns=world.client, family=family)[0] == 403
    status, _, body = proxy.get("/quit", method="POST", headers={**MEANT, "Host": "pod.example"},
                                netns=world.client, family=family)
    assert status == 403 and b"Host" in body
    assert proxy.get("/quit", method="POST", headers=MEANT, netns=world.client,
                     family=family)[0] == 202
    assert proxy.wait() == 0
