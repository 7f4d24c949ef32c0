# SPDX-License-Identifier: GPL-2.0-or-later
"""One client source port towards several ports of the pod, all redirected."""
import platform
import select
import time

import pytest

from lib.patience import PATIENCE
from lib.proc import wait_until
from lib.world import ANY, POD
from lib.witness import REDIRECT_PORTS

ONE = "dnat to :9211"
RANGE = "dnat to :9211-9226"
PORTS = range(80, 84)


def both_open(world, family, verdict, transparent, expected=PORTS):
    """Opens connections from one source port to all PORTS at once; those that are open in the end,
    half a second after what is expected."""
    w = world.witness()
    for port in PORTS:
        w.listen(ANY[family], port)
    proxies = [world.keep(world.pod.listen(ANY[family], p, transparent)) for p in REDIRECT_PORTS]
    world.pod.nat("prerouting", f"tcp dport 80-83 {verdict}")
    clients = {}
    for port in PORTS:
        clients[port] = s = world.keep(world.client.socket(family))
        s.setsockopt(1, 2, 1)  # SO_REUSEADDR
        s.bind((ANY[family], 40000))
        s.setblocking(False)
        s.connect_ex((POD[family], port))
        # One after the other, as far as they get.
        select.select([], [s], [], PATIENCE if port in expected else 0.5)

    def opened():
        return [port for port, s in clients.items() if is_connected(s)]

    wait_until(lambda: set(opened()) >= set(expected), "the connections")
    time.sleep(0.5)
    assert proxies
    return opened()


def is_connected(s):
    try:
        s.getpeername()
        return True
    except OSError:
        return False


def test_one_port_loses_all_but_the_first_with_a_transparent_listener(world, family):
    assert both_open(world, family, ONE, transparent=True, expected=[80]) == [80]


def test_a_range_serves_all(world, family):
    assert both_open(world, family, RANGE, transparent=True) == list(PORTS)


def test_plain_listeners_hide_the_bug_on_newer_kernels(world, family):
    """Why a test with plain listeners proves nothing here."""
    newer = tuple(int(n) for n in platform.release().split(".")[:2]) >= (6, 5)
    opened = both_open(world, family, ONE, transparent=False, expected=PORTS if newer else [80])
    assert (opened == list(PORTS)) == newer


def test_a_range_serves_two_thousand_to_one_port(world):
    w = world.witness()
    w.listen_proxy(transparent=True)
    w.listen("0.0.0.0", 80)
    world.pod.nat("prerouting", f"tcp dport 80 {RANGE}")
    assert all(world.inbound(POD[4], 80)["by"] == "inbound" for _ in range(2000))


@pytest.mark.parametrize("verdict,answered", [("redirect to :9211", False), (ONE, True)])
def test_redirect_needs_an_address_on_the_interface(world, verdict, answered):
    """The pod's address is on lo alone: redirect has nothing to redirect to and drops."""
    world.pod.ip("addr flush dev eth0", "addr flush dev net1", "addr add 10.99.0.2/32 dev lo",
                 "route add 10.77.0.0/24 dev eth0 src 10.99.0.2")
    world.client.ip("route add 10.99.0.2 dev eth0")
    w = world.witness()
    w.listen("0.0.0.0", 80)
    w.listen("0.0.0.0", 9211, "proxy")
    assert world.inbound("10.99.0.2", 80)["by"] == "app"
    world.pod.nat("prerouting", f"tcp dport 80 {verdict}")
    got = world.inbound("10.99.0.2", 80, timeout=0.5)
    assert got["by"] == ("proxy" if answered else "timeout")
    if answered:
        assert got["original"] == ["10.99.0.2", 80]
