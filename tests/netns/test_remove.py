# SPDX-License-Identifier: GPL-2.0-or-later
"""Removing: all of ours, nothing of others', and no connection left to hang."""
import socket

import pytest

from lib.patience import PATIENCE
from lib.sluice import sluice
from lib.world import ANY, CLIENT, LOOPBACK, POD

LONG = "--heartbeat-timeout=60s"
FOREIGN = """
table ip nat {
    chain PREROUTING { type nat hook prerouting priority -100; tcp dport 1 dnat to :2; }
    chain sluice { tcp dport 3 accept comment "sluice is not always ours"; }
}
table inet sluice2 { set alive { type nf_proto; } chain outbound { tcp dport 9211 accept; } }
table ip sluice { chain outbound { tcp dport 9211 accept; } }
table ip6 sluice { chain inbound { tcp dport 9211 accept; } }
"""


def legacy(pod):
    """Everything in the legacy tables, without counters and dates."""
    text = pod.run(["iptables-legacy-save"]) + pod.run(["ip6tables-legacy-save"])
    return [line for line in text.splitlines() if not line.startswith(("#", ":"))]


def test_nothing_of_ours_stays_and_all_of_others(world):
    world.pod.nft(FOREIGN)
    for program in ("iptables-legacy", "ip6tables-legacy"):
        world.pod.run([program, "-t", "nat", "-A", "PREROUTING", "-p", "tcp", "--dport", "9211",
                       "-j", "RETURN", "-m", "comment", "--comment", "sluice"])
    before, before_legacy = world.pod.ruleset(), legacy(world.pod)
    sluice(world.pod, "apply", "--outbound-exclude-ports=1-100")
    assert world.pod.ruleset() != before
    sluice(world.pod, "apply", "--outbound-exclude-ports=1-200")
    sluice(world.pod, "remove")
    assert world.pod.ruleset() == before
    assert legacy(world.pod) == before_legacy


def test_removing_nothing_is_no_error(world):
    done = sluice(world.pod, "remove")
    assert done.out.count("\n") == 1 and done.err == ""
    assert world.pod.ruleset() == ""


@pytest.mark.usefixtures("backend")
def test_after_it_everything_is_direct(world, family):
    w = world.witness()
    w.listen_proxy()
    w.listen(ANY[family], 80)
    world.witness(world.client).listen(ANY[family], 80)
    sluice(world.pod, "apply", LONG)
    world.beat()
    assert world.inbound(POD[family], 80)["by"] == "inbound"
    assert world.outbound(CLIENT[family], 80)["by"] == "outbound"
    sluice(world.pod, "remove")
    assert world.inbound(POD[family], 80)["by"] == "app"
    assert world.outbound(CLIENT[family], 80)["by"] == "app"
    assert world.beat() == [False, False]


def redirected(world, family, direction):
    """An open connection, (client's socket, proxy's socket), that went through the redirect."""
    inbound = direction == "in"
    server = world.pod if inbound else world.client
    world.keep(server.listen(ANY[family], 80))
    address, port = (ANY[family], 9211) if inbound else (LOOPBACK[family], 9001)
    proxy = world.keep(world.pod.listen(address, port))
    sluice(world.pod, "apply", LONG)
    world.beat()
    c = world.keep((world.client if inbound else world.pod).socket(family))
    c.connect(((POD if inbound else CLIENT)[family], 80))
    s = world.keep(proxy.accept()[0])
    s.settimeout(PATIENCE)
    c.sendall(b"x")
    assert s.recv(1) == b"x"
    return c, s


@pytest.mark.usefixtures("backend")
@pytest.mark.parametrize("direction", ["in", "out"])
def test_proxied_connections_are_reset(world, family, direction):
    """Their translation ends with the rules: without a reset both ends would wait for ever."""
    client, proxy = redirected(world, family, direction)
    assert sluice(world.pod, "remove").out == \
        "sluice: removed: the rules, and 1 proxied connection\n"
    with pytest.raises(ConnectionError):
        client.recv(1)
    with pytest.raises(ConnectionError):
        proxy.recv(1)


@pytest.mark.usefixtures("backend")
@pytest.mark.parametrize("direction", ["in", "out"])
def test_direct_connections_live_on(world, family, direction):
    redirected(world, family, direction)
    listener = world.keep(world.pod.listen(ANY[family], 8080))
    sluice(world.pod, "apply", LONG, "--inbound-exclude-ports=8080")
    c = world.keep(world.client.socket(family))
    c.connect((POD[family], 8080))
    s = world.keep(listener.accept()[0])
    sluice(world.pod, "remove")
    c.sendall(b"x")
    assert s.recv(1) == b"x"


@pytest.mark.usefixtures("backend")
@pytest.mark.parametrize("uids", ["1337", "1336-1338,7"])
@pytest.mark.parametrize("listening", [True, False], ids=["listening", "draining"])
def test_a_connection_from_the_same_port_lives_on(world, family, listening, uids):
    """The proxy is told apart by its uid, of the listener or in the rules."""
    sluice(world.pod, "apply", LONG, f"--proxy-uid={uids}")
    server = world.keep(world.client.listen(ANY[family], 80))
    if listening:
        world.keep(world.pod.listen(LOOPBACK[family], 9001))
    pairs = []
    for uid, port in ((1000, 9001), (1337, 9211)):
        c = world.keep(world.pod.socket(family, uid=uid))
        c.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        c.bind((POD[family], port))
        c.connect((CLIENT[family], 80))
        pairs.append((c, world.keep(server.accept()[0])))
    sluice(world.pod, "remove")
    others, ours = pairs
    others[0].sendall(b"x")
    assert others[1].recv(1) == b"x"
    with pytest.raises(ConnectionError):
        ours[0].recv(1)


@pytest.mark.usefixtures("backend")
@pytest.mark.parametrize("direction", ["in", "out"])
def test_proxied_connections_survive_a_changed_plan(world, family, direction):
    client, proxy = redirected(world, family, direction)
    sluice(world.pod, "apply", LONG, "--outbound-exclude-ports=80", "--inbound-exclude-ports=80")
    client.sendall(b"y")
    assert proxy.recv(1) == b"y"
    proxy.sendall(b"z")
    assert client.recv(1) == b"z"


@pytest.mark.usefixtures("backend")
@pytest.mark.parametrize("direction", ["in", "out"])
def test_connections_older_than_the_rules_live_on(world, family, direction):
    """First apply, changed apply, remove: with conntrack or without, idle or just used."""
    server, client = (world.pod, world.client) if direction == "in" else (world.client, world.pod)
    listener = world.keep(server.listen(ANY[family], 80))
    world.witness().listen_proxy()
    c = world.keep(client.socket(family))
    c.connect(((POD if direction == "in" else CLIENT)[family], 80))
    s = world.keep(listener.accept()[0])
    for step in (["apply", LONG], ["apply", LONG, "--exclude-uids=77"], ["remove"]):
        sluice(world.pod, *step)
        world.beat()
        c.sendall(b"x")
        assert s.recv(1) == b"x", step
        s.sendall(b"y")
        assert c.recv(1) == b"y", step
