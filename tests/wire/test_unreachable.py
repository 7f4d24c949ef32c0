# SPDX-License-Identifier: GPL-2.0-or-later
"""Connects that an ICMP message ends: told and counted as such, however the proxy came to make them."""
import errno

import pytest

from lib.rawhttp import RawHttp
from lib.sluice import sluice
from lib.world import OUTSIDE

from wire.conftest import PATIENT
from wire.test_forward import authority, http

CONNECTS = 4
PORT = 1235
UNREACHABLE = ("unreachable", b"the host cannot be reached")
# What nft answers with: (the outcome, what a client is told).
REJECTS = {
    "host-unreachable": UNREACHABLE, "admin-prohibited": UNREACHABLE, "no-route": UNREACHABLE,
    "port-unreachable": ("refused", b"the host refuses the connection"),
}


@pytest.fixture(params=REJECTS)
def rejected(world, request):
    """Connects to PORT end so."""
    world.client.nft("table inet t { chain c { type filter hook input priority 0; "
                     f"tcp dport {PORT} reject with icmpx type {request.param}; }}; }}")
    return REJECTS[request.param]


@pytest.fixture
def redirected(world, start_proxy):
    """Starts a proxy that connections go through."""
    def start(*options):
        sluice(world.pod, "apply", PATIENT)
        proxy = start_proxy(PATIENT, *options)
        proxy.wait_armed()
        return proxy
    return start


def outcomes(proxy):
    return proxy.settled("outbound", CONNECTS).by("sluice_connections_closed_total", "outcome")


def answers(clients, family):
    for c in clients:
        c.request("GET", "/", host=authority(family, PORT))
    for c in clients:
        yield c.response()
        c.close()


def test_asked_for(world, start_proxy, family, rejected):
    outcome, text = rejected
    proxy = start_proxy()
    clients = [http(world) for _ in range(CONNECTS)]
    for status, body in answers(clients, family):
        assert (status, body) == (502, b"sluice-proxy: %s\n" % text)
    assert outcomes(proxy) == {outcome: CONNECTS}


def sockets(world, family):
    return [world.keep(world.pod.socket(family, uid=1000)) for _ in range(CONNECTS)]


def test_by_host(world, redirected, family, rejected):
    outcome, text = rejected
    proxy = redirected("--outbound-mode=host")
    clients = [RawHttp(s) for s in sockets(world, family)]
    for c in clients:
        c.socket.connect((OUTSIDE[family], PORT))
    for status, body in answers(clients, family):
        assert (status, body) == (502, b"sluice-proxy: %s\n" % text)
    assert outcomes(proxy) == {outcome: CONNECTS}


def test_redirected(world, redirected, family, rejected):
    """The client is reset, maybe before it knows that it is connected."""
    outcome, _ = rejected
    proxy = redirected()
    connects = [(s, s.connect_ex((OUTSIDE[family], PORT))) for s in sockets(world, family)]
    for s, error in connects:
        assert error in (0, errno.ECONNRESET)
        if not error:
            with pytest.raises(ConnectionResetError):
                s.recv(1)
    assert outcomes(proxy) == {outcome: CONNECTS}
