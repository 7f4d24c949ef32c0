# SPDX-License-Identifier: GPL-2.0-or-later
"""Owners, privileges, and the destinations that a redirect to loopback cannot serve."""
import subprocess

import pytest

from lib.netns import filesystem_owner
from lib.patience import PATIENCE
from lib.proc import child_setup
from lib.world import ANY, CLIENT, POD


def redirect(world, condition):
    world.pod.nat("output", f"{condition} tcp dport 80 redirect to :9001")


@pytest.fixture
def outside(world):
    w = world.witness(world.client)
    for address in ("0.0.0.0", "::"):
        w.listen(address, 80)
    w = world.witness()
    for address in ("127.0.0.1", "::1"):
        w.listen(address, 9001, "proxy")
    return world


def test_the_owner_is_the_one_at_socket(outside, family):
    """A socket keeps its maker's uid, whoever connects it; the group likewise."""
    redirect(outside, "meta skuid != 1337 meta skgid != 1338")
    ask_as = [((1000, 1000), "proxy"), ((1337, 1000), "app"), ((1000, 1338), "app")]
    for (uid, gid), expected in ask_as:
        assert outside.outbound(CLIENT[family], 80, uid=uid, gid=gid)["by"] == expected
    with outside.pod.socket(family, uid=1337) as s, filesystem_owner(1000, 1000):
        s.connect((CLIENT[family], 80))
        assert b'"app"' in s.recv(200)


def test_a_socket_bound_to_a_device_hangs(outside, family):
    assert outside.outbound(CLIENT[family], 80, device="eth0")["by"] == "app"
    redirect(outside, "meta skuid != 1337")
    assert outside.outbound(CLIENT[family], 80)["by"] == "proxy"
    assert outside.outbound(CLIENT[family], 80, device="eth0", timeout=0.5)["by"] == "timeout"
    assert outside.outbound(CLIENT[family], 80, uid=1337, device="eth0")["by"] == "app"


@pytest.mark.parametrize("condition,by", [("ip6 daddr != fe80::/10", "app"), ("", None)],
                         ids=["excepted", "redirected"])
def test_link_local_destinations_hang(outside, condition, by):
    links = outside.client.run(["ip", "-6", "-o", "addr", "show", "dev", "eth0", "scope", "link"])
    address = links.split("inet6 ")[1].split("/")[0]
    redirect(outside, condition)
    got = outside.outbound(f"{address}%eth0", 80, timeout=0.5)["by"]
    assert got == by if by else got not in ("app", "proxy")
    assert outside.outbound(CLIENT[6], 80)["by"] == "proxy"


@pytest.mark.parametrize("condition,by", [("fib daddr type local", "app"), ("", "proxy")],
                         ids=["excepted", "hijacked"])
def test_forwarded_connections_are_hijacked(world, family, condition, by):
    """Routed through the pod to a machine behind it, where the pod has a listener of that port."""
    behind = {4: "10.88.0.2", 6: "fd88::2"}
    vm = world.netns()
    world.pod.ip(f"link add vm0 type veth peer name eth0 netns {vm.path}", "link set vm0 up",
                 "addr add 10.88.0.1/24 dev vm0", "addr add fd88::1/64 dev vm0")
    vm.ip("link set eth0 up", "addr add 10.88.0.2/24 dev eth0", "addr add fd88::2/64 dev eth0",
          "route add default via 10.88.0.1", "route add default via fd88::1")
    world.client.ip(f"route add 10.88.0.0/24 via {POD[4]}", f"route add fd88::/64 via {POD[6]}")
    vm.wait_addresses()
    world.wait_addresses()
    world.pod.sysctl("net/ipv4/ip_forward", 1)
    world.pod.sysctl("net/ipv6/conf/all/forwarding", 1)
    world.witness(vm).listen(ANY[family], 80)
    w = world.witness()
    w.listen(ANY[family], 80, "pod's own")
    w.listen(ANY[family], 9211, "proxy")
    world.pod.nat("prerouting", f"{condition} tcp dport 80 redirect to :9211")
    assert world.inbound(behind[family], 80)["by"] == by
    assert world.inbound(POD[family], 80)["by"] == "proxy"


def nft_as(world, uid, caps):
    rules = "add table inet t\n"
    return subprocess.run(["nft", "-f", "-"], input=rules, text=True, capture_output=True,
                          check=False, timeout=PATIENCE,
                          preexec_fn=child_setup(world.pod, uid=uid, caps=caps))


def test_net_admin_alone_programs_nft(world):
    assert nft_as(world, 65534, []).returncode
    assert nft_as(world, 0, ["net_raw"]).returncode
    assert "table" not in world.pod.ruleset()
    done = nft_as(world, 65534, ["net_admin"])
    assert not done.returncode, done.stderr
    assert "table inet t" in world.pod.ruleset()
