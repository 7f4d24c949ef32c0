# SPDX-License-Identifier: GPL-2.0-or-later
"""The dead-man switch: a set that only the proxy's datagrams keep filled."""
import pytest

from lib.proc import wait_until
from lib.world import APP_UID, POD, PROXY_UID
from lib.witness import Beat, ask

RULES = """
table inet t {
    set short { type nf_proto; flags dynamic, timeout; }
    set long { type nf_proto; flags dynamic, timeout; }
    chain beat {
        type filter hook output priority -310;
        meta skuid 1337 oifname "lo" udp dport 9211 update @long { meta nfproto timeout 1h } \
            update @short { meta nfproto timeout 100ms } drop
    }
    chain in {
        type nat hook prerouting priority -110;
        tcp dport 80 meta nfproto @short dnat to :9211
        tcp dport 81 meta nfproto @long dnat to :9211
    }
}
"""


@pytest.fixture
def switch(world):
    w = world.witness()
    for address in ("0.0.0.0", "::"):
        w.listen(address, 80)
        w.listen(address, 81)
        w.listen(address, 9211, "proxy")
    world.pod.nft(RULES)
    return world


def by(world, family, port):
    return world.inbound(POD[family], port)["by"]


def test_armed_by_the_beat_and_disarmed_by_time(switch, family):
    assert by(switch, family, 81) == "app"
    switch.beat()
    assert by(switch, family, 81) == "proxy"
    wait_until(lambda: by(switch, family, 80) == "app", "the short element to expire")
    assert by(switch, family, 81) == "proxy", "the long one must not have expired"


def test_the_beat_is_refused_when_it_was_seen(switch):
    assert switch.beat() == [True, True]
    switch.pod.nft("flush chain inet t beat")
    assert switch.beat() == [False, False]


def test_each_family_arms_itself_only(switch, family):
    ipv4, ipv6 = switch.beat.sockets
    s, to = ipv4 if family == 4 else ipv6
    with pytest.raises(PermissionError):
        s.sendto(b"", to)
    assert by(switch, family, 81) == "proxy"
    assert by(switch, 10 - family, 81) == "app"


@pytest.mark.parametrize("uid,port,armed", [(PROXY_UID, 9211, True), (0, 9211, False),
                                            (APP_UID, 9211, False), (PROXY_UID, 9212, False)])
def test_only_that_uid_and_port_count(switch, uid, port, armed):
    beat = switch.keep(Beat(switch.pod, uid, port))
    assert beat() == [armed, armed]
    assert by(switch, 4, 81) == ("proxy" if armed else "app")


def test_without_loopback_ipv6_the_redirect_hangs_and_the_beat_is_lost(world):
    """Why each family is armed by a datagram of its own."""
    w = world.witness(world.client)
    w.listen("::", 80)
    world.witness().listen("::", 9001, "proxy")
    world.pod.nat("output", 'oifname != "lo" tcp dport 80 redirect to :9001', table="o")
    assert world.outbound("fd77::1", 80)["by"] == "proxy"
    world.pod.sysctl("net/ipv6/conf/lo/disable_ipv6", 1)
    assert ask(world.pod, "fd77::1", 80, timeout=0.5)["by"] not in ("proxy", "app")
    world.pod.nft(RULES)
    assert world.beat() == [True, False]
