# SPDX-License-Identifier: GPL-2.0-or-later
"""Rules that look for a listening socket: nft `socket wildcard`."""
import socket

import pytest

from lib.world import ANY, LOOPBACK, POD

# Where the application listens -> which values of `wildcard` find it, per family of the client.
LISTENERS = [
    ("any", lambda f: ANY[f], {1}),
    ("address", lambda f: POD[f], {0}),
    ("dual", lambda f: "dual", {1}),
    ("loopback", lambda f: LOOPBACK[f], set()),
    ("none", None, set()),
]


def rule(values):
    wanted = ", ".join(str(v) for v in sorted(values))
    return f"tcp dport 80 socket wildcard {{ {wanted} }} dnat to :9211"


@pytest.mark.parametrize("values", [{0}, {1}, {0, 1}], ids=["exact", "wild", "either"])
@pytest.mark.parametrize("name,address,found_by", LISTENERS, ids=[x[0] for x in LISTENERS])
def test_which_listeners_are_found(world, family, name, address, found_by, values):
    w = world.witness()
    w.listen(ANY[family], 9211, "proxy")
    if address:
        w.listen(address(family), 80)
    world.pod.nat("prerouting", rule(values))
    if found_by & values:
        expected = "proxy"
    else:
        expected = "app" if found_by else "refused"
    assert world.inbound(POD[family], 80)["by"] == expected


def test_without_the_condition_a_closed_port_is_accepted(world, family):
    world.witness().listen(ANY[family], 9211, "proxy")
    world.pod.nat("prerouting", "tcp dport 80 dnat to :9211")
    assert world.inbound(POD[family], 80)["by"] == "proxy"


def test_a_time_wait_of_the_same_tuple_hides_the_listener(world, family):
    source = world.client.socket(family)
    source.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    source.bind((ANY[family], 40000))
    listener = world.pod.listen(ANY[family], 80)
    with listener, source:
        source.connect((POD[family], 80))
        accepted, _ = listener.accept()
        accepted.close()  # the pod closes first: its side goes to TIME_WAIT
        assert source.recv(1) == b""
    w = world.witness()
    w.listen(ANY[family], 80)
    w.listen(ANY[family], 9211, "proxy")
    world.pod.nat("prerouting", rule({0, 1}))
    assert world.inbound(POD[family], 80, source=(ANY[family], 40000))["by"] == "app"
    assert world.inbound(POD[family], 80, source=(ANY[family], 40001))["by"] == "proxy"
