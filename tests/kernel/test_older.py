# SPDX-License-Identifier: GPL-2.0-or-later
"""Connections older than the rules, and what becomes of translations when rules go."""
import socket

import pytest

from lib.patience import PATIENCE
from lib.witness import LINGER_RST
from lib.world import ANY, CLIENT, POD

SYN_ONLY = "tcp flags & (fin|syn|rst|ack) == syn"


def connected(world, listener, client_ns, family, address, port):
    c = world.keep(client_ns.socket(family))
    c.connect((address, port))
    return c, world.keep(listener.accept()[0])


def lives(a, b, expected=True):
    """Whether bytes pass both ways; where they should not, it is not waited for as long."""
    try:
        for x, y in ((a, b), (b, a)):
            y.settimeout(PATIENCE if expected else 1)
            x.sendall(b"x")
            if y.recv(1) != b"x":
                return False
        return True
    except OSError:
        return False


@pytest.mark.parametrize("condition,survives", [(SYN_ONLY, True), ("", False)],
                         ids=["syn-only", "any-packet"])
@pytest.mark.parametrize("hook", ["prerouting", "output"])
def test_rules_meet_an_older_connection(world, family, hook, condition, survives):
    inbound = hook == "prerouting"
    server, client = (world.pod, world.client) if inbound else (world.client, world.pod)
    address = POD[family] if inbound else CLIENT[family]
    listener = world.keep(server.listen(ANY[family], 80))
    proxy = world.keep(world.pod.listen(ANY[family], 9211))
    old = connected(world, listener, client, family, address, 80)
    assert lives(*old)
    verdict = "dnat to :9211" if inbound else "redirect to :9211"
    world.pod.nat(hook, f"tcp dport 80 {condition} {verdict}")
    assert lives(*old, survives) == survives
    new = connected(world, proxy, client, family, address, 80)
    assert lives(*new), "new connections must be redirected, or this proves nothing"


EMPTY_CHAIN = "table inet other { chain c { type nat hook output priority -99; } }"
ANCHOR = "table inet other { chain c { type nat hook output priority -99; tcp dport 0 redirect; } }"


@pytest.mark.parametrize("other,survives", [(ANCHOR, True), (EMPTY_CHAIN, False),
                                            ("table inet other { }", False)],
                         ids=["anchor", "empty-chain", "nothing"])
def test_the_last_conntrack_rule_carries_the_translations(world, family, other, survives):
    proxy = world.keep(world.pod.listen(ANY[family], 9211))
    world.pod.nat("prerouting", "tcp dport 80 dnat to :9211")
    world.pod.nft(other)
    c, s = connected(world, proxy, world.client, family, POD[family], 80)
    assert lives(c, s)
    world.pod.nft("delete table inet t")
    assert lives(c, s, survives) == survives


def test_a_foreign_zone_hides_the_original_destination(world, family):
    world.witness().listen(ANY[family], 9211, "proxy")
    world.pod.nat("prerouting", "tcp dport 80 dnat to :9211")
    assert world.inbound(POD[family], 80)["original"] == [POD[family], 80]
    world.pod.nft("""table inet z {
        chain c { type filter hook prerouting priority -300; iifname "eth0" ct zone set 7; }
        chain d { type filter hook output priority -300; oifname "eth0" ct zone set 7; }
        }""")
    got = world.inbound(POD[family], 80)
    assert got["by"] == "proxy" and got["original"] is None


@pytest.mark.parametrize("closer,by", [("server", "proxy"), ("client", "app")])
def test_a_source_port_used_again_meets_its_old_translation(world, family, closer, by):
    """Conntrack keeps a tuple that the server ended; a new SYN on it is translated as the old.

    So a client that uses a source port again within conntrack's TIME_WAIT or CLOSE time-outs
    still reaches the proxy's port after the rules say direct. One that the client ended is begun
    afresh (net/netfilter/nf_conntrack_proto_tcp.c: "Attempt to reopen a closed connection").
    """
    w = world.witness()
    w.listen(ANY[family], 80)
    proxy = world.pod.listen(ANY[family], 9211)
    world.pod.nat("prerouting", "tcp dport 80 dnat to :9211")
    c = world.client.socket(family)
    c.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    c.bind((ANY[family], 40000))
    c.connect((POD[family], 80))
    s = proxy.accept()[0]
    first, second = (s, c) if closer == "server" else (c, s)
    # A reset, so that neither end keeps the port for a TIME_WAIT of its own.
    first.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, LINGER_RST)
    first.close()
    with pytest.raises(ConnectionResetError):
        second.recv(1)
    second.close()
    proxy.close()
    w.listen(ANY[family], 9211, "proxy")
    world.pod.nft("flush chain inet t prerouting\nadd rule inet t prerouting tcp dport 0 redirect")
    assert world.inbound(POD[family], 80, source=(ANY[family], 40000))["by"] == by
    assert world.inbound(POD[family], 80, source=(ANY[family], 40001))["by"] == "app"


def test_linger_zero_is_inherited_from_the_listener(world):
    """Flow sockets get SO_LINGER {1, 0} from birth: no window in which a crash sends a FIN."""
    listener = world.keep(world.pod.listen("0.0.0.0", 80))
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    c, s = connected(world, listener, world.client, 4, POD[4], 80)
    s.close()
    with pytest.raises(ConnectionResetError):
        c.recv(1)
