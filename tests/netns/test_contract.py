# SPDX-License-Identifier: GPL-2.0-or-later
"""The redirect contract, row by row: configuration, connection, expected verdict.

Every row runs on both backends, over IPv4 and IPv6, by a real connection. DIRECT: the socket that was addressed
answers. REDIRECTED: the proxy's listener answers and knows the original destination. REFUSED: the
client gets a reset to its SYN.
"""
from dataclasses import dataclass, field

import pytest

from lib.sluice import sluice
from lib.witness import Beat
from lib.world import (ANY, CLIENT, CLIENT_OTHER, LOOPBACK, OUTSIDE, OUTSIDE_FAR, OUTSIDE_NEAR,
                       POD, POD_NET1)

pytestmark = pytest.mark.usefixtures("backend")

DIRECT, REDIRECTED, REFUSED = "direct", "redirected", "refused"
NET1_OUTSIDE = {4: "10.78.0.1", 6: "fd78::1"}
LINK_LOCAL = {6: "fe80::77%eth0"}
APP_PORTS = (80, 81, 443, 8080, 8500, 9901, 9000, 9227)


@dataclass
class Row:
    """One row: see the module's text."""

    id: str
    options: str
    direction: str
    packet: dict
    verdict: str
    armed: bool = True
    beat_uid: int = 1337
    inbound_port: int = 9211
    outbound_port: int = 9001
    families: tuple = field(default=(4, 6))


def out(id_, options, verdict, to=OUTSIDE, port=80, uid=1000, gid=1000, **row):
    return Row(id_, options, "out", {"to": to, "port": port, "uid": uid, "gid": gid}, verdict,
               **row)


def inb(id_, options, verdict, to=POD, port=80, source=None, **row):
    return Row(id_, options, "in", {"to": to, "port": port, "source": source}, verdict, **row)


OUTBOUND = [
    out("out-redirect", "", REDIRECTED),
    out("out-redirect-root", "", REDIRECTED, uid=0, gid=0),
    out("out-redirect-high-port", "", REDIRECTED, port=8500),
    out("out-redirect-port", "--outbound-port=7001", REDIRECTED, outbound_port=7001),
    out("out-refused", "--outbound=off", REFUSED, port=82),
    out("out-proxy", "", DIRECT, uid=1337, gid=1337),
    out("out-proxy-other-gid", "", DIRECT, uid=1337, gid=1000),
    out("out-proxy-uid-only", "", REDIRECTED, gid=1337),
    out("out-proxy-list-first", "--proxy-uid=1337,1400-1402", DIRECT, uid=1337),
    out("out-proxy-list-range", "--proxy-uid=1337,1400-1402", DIRECT, uid=1402),
    out("out-proxy-list-past", "--proxy-uid=1337,1400-1402", REDIRECTED, uid=1403),
    out("out-proxy-large-uid", "--proxy-uid=1337,4000000000", DIRECT, uid=4000000000),
    out("out-proxy-moved", "--proxy-uid=2000", REDIRECTED, uid=1337, beat_uid=2000),
    out("out-proxy-gid", "--proxy-gid=1500", DIRECT, gid=1500),
    out("out-proxy-gid-other", "--proxy-gid=1500", REDIRECTED, gid=1501),
    out("out-proxy-gid-uid-still", "--proxy-gid=1500", DIRECT, uid=1337),
    out("out-local-loopback", "", DIRECT, to=LOOPBACK),
    out("out-local-own-address", "", DIRECT, to=POD),
    out("out-local-other-interface", "", DIRECT, to=POD_NET1),
    out("out-local-closed", "", REFUSED, to=LOOPBACK, port=82),
    out("out-linklocal", "", DIRECT, to=LINK_LOCAL, families=(6,)),
    out("out-iface", "--exclude-interfaces=net1", DIRECT, to=NET1_OUTSIDE),
    out("out-iface-other", "--exclude-interfaces=net1", REDIRECTED),
    out("out-iface-wildcard", "--exclude-interfaces=ne+", DIRECT, to=NET1_OUTSIDE),
    out("out-iface-wildcard-other", "--exclude-interfaces=ne+", REDIRECTED),
    out("out-iface-no-prefix", "--exclude-interfaces=ne", REDIRECTED, to=NET1_OUTSIDE),
    out("out-iface-longer", "--exclude-interfaces=net11", REDIRECTED, to=NET1_OUTSIDE),
    out("out-iface-list", "--exclude-interfaces=foo,bar+,net1", DIRECT, to=NET1_OUTSIDE),
    out("out-owner-excl-uid", "--exclude-uids=1000", DIRECT),
    out("out-owner-excl-uid-other", "--exclude-uids=1000", REDIRECTED, uid=1001),
    out("out-owner-excl-range", "--exclude-uids=1-9,990-1010", DIRECT),
    out("out-owner-excl-gid", "--exclude-gids=1000", DIRECT),
    out("out-owner-excl-gid-other", "--exclude-gids=1000", REDIRECTED, gid=1001),
    out("out-owner-excl-name", "--exclude-uids=nobody", DIRECT, uid=65534),
    out("out-owner-incl-uid", "--include-uids=1000", REDIRECTED),
    out("out-owner-incl-uid-other", "--include-uids=1000", DIRECT, uid=1001),
    out("out-owner-incl-gid", "--include-gids=1000", REDIRECTED, uid=55),
    out("out-owner-incl-gid-other", "--include-gids=1000", DIRECT, uid=55, gid=55),
    out("out-owner-incl-unite-uid", "--include-uids=1000 --include-gids=2000", REDIRECTED, gid=7),
    out("out-owner-incl-unite-gid", "--include-uids=1000 --include-gids=2000", REDIRECTED, uid=7,
        gid=2000),
    out("out-owner-incl-unite-none", "--include-uids=1000 --include-gids=2000", DIRECT, uid=7,
        gid=7),
    out("out-owner-excl-beats-incl", "--include-uids=1-2000 --exclude-uids=1000", DIRECT),
    out("out-owner-excl-gid-beats-incl", "--include-uids=1000 --exclude-gids=1000", DIRECT),
    out("out-owner-incl-not-proxy", "--include-uids=1-2000", DIRECT, uid=1337),
    out("out-port-excl", "--outbound-exclude-ports=81", DIRECT, port=81),
    out("out-port-excl-other", "--outbound-exclude-ports=81", REDIRECTED),
    out("out-port-excl-range", "--outbound-exclude-ports=22,8000-8500", DIRECT, port=8500),
    out("out-port-excl-range-past", "--outbound-exclude-ports=22,8000-8499", REDIRECTED,
        port=8500),
    out("out-port-excl-merged", "--outbound-exclude-ports=70-79,75-81,82-90", DIRECT, port=81),
    out("out-port-excl-repeated", "--outbound-exclude-ports=80 --outbound-exclude-ports=81",
        DIRECT),
    out("out-cidr-excl", "--outbound-exclude-cidrs=198.51.100.0/24,2001:db8::/64", DIRECT),
    out("out-cidr-excl-other", "--outbound-exclude-cidrs=198.51.100.0/24,2001:db8::/64",
        REDIRECTED, to=OUTSIDE_FAR),
    out("out-cidr-excl-bare", "--outbound-exclude-cidrs=198.51.100.1,2001:db8::1", DIRECT),
    out("out-cidr-excl-bare-next", "--outbound-exclude-cidrs=198.51.100.1,2001:db8::1",
        REDIRECTED, to=OUTSIDE_NEAR),
    out("out-cidr-excl-host-bits", "--outbound-exclude-cidrs=198.51.100.77/24,2001:db8::77/64",
        DIRECT),
    out("out-cidr-excl-overlap", "--outbound-exclude-cidrs=198.51.100.0/25,198.51.0.0/16,"
        "2001:db8::/64,2001:db8::/32", DIRECT),
    out("out-cidr-excl-all", "--outbound-exclude-cidrs=0.0.0.0/0,::/0", DIRECT),
    out("out-cidr-excl-mapped", "--outbound-exclude-cidrs=::ffff:198.51.100.0/120", DIRECT,
        families=(4,)),
    out("out-cidr-excl-ipv4-only", "--outbound-exclude-cidrs=198.51.100.0/24", REDIRECTED,
        families=(6,)),
    out("out-not-incl-cidr", "--outbound-include-cidrs=203.0.113.0/24,2001:db8:1::/64", DIRECT),
    out("out-incl-cidr", "--outbound-include-cidrs=203.0.113.0/24,2001:db8:1::/64", REDIRECTED,
        to=OUTSIDE_FAR),
    out("out-not-incl-family", "--outbound-include-cidrs=198.51.100.0/24", DIRECT, families=(6,)),
    out("out-incl-family", "--outbound-include-cidrs=198.51.100.0/24", REDIRECTED, families=(4,)),
    out("out-not-incl-port", "--outbound-include-ports=443", DIRECT),
    out("out-incl-port", "--outbound-include-ports=443,80", REDIRECTED),
    out("out-incl-port-star", "--outbound-include-ports=*", REDIRECTED, port=8500),
    out("out-incl-both", "--outbound-include-ports=80 --outbound-include-cidrs=198.51.100.1,"
        "2001:db8::1", REDIRECTED),
    out("out-incl-both-port-only", "--outbound-include-ports=80 --outbound-include-cidrs="
        "198.51.100.1,2001:db8::1", DIRECT, to=OUTSIDE_FAR),
    out("out-incl-both-cidr-only", "--outbound-include-ports=443 --outbound-include-cidrs="
        "198.51.100.1,2001:db8::1", DIRECT),
    out("out-excl-beats-incl-port", "--outbound-include-ports=80-90 --outbound-exclude-ports=80",
        DIRECT),
    out("out-excl-beats-incl-cidr", "--outbound-include-cidrs=198.51.100.0/24,2001:db8::/64 "
        "--outbound-exclude-cidrs=198.51.100.1,2001:db8::1", DIRECT),
    out("out-dead", "", DIRECT, armed=False),
    out("out-dead-fail-open", "--fail=open", DIRECT, armed=False),
    out("out-dead-fail-closed", "--fail=closed", REDIRECTED, armed=False),
    out("out-dead-other-uid-beats", "", DIRECT, beat_uid=1000),
    out("out-off", "--outbound=off", DIRECT),
    out("out-inbound-off", "--inbound=off", REDIRECTED),
]

INBOUND = [
    inb("in-redirect", "", REDIRECTED),
    inb("in-redirect-high-port", "", REDIRECTED, port=9000),
    inb("in-redirect-port", "--inbound-port=7100", REDIRECTED, inbound_port=7100),
    inb("in-redirect-port-was-own", "--inbound-port=7100 --outbound-port=7001 --admin-port=7002",
        REDIRECTED, port=9901, inbound_port=7100),
    inb("in-redirect-net1", "", REDIRECTED, to=POD_NET1),
    inb("in-iface", "--exclude-interfaces=net1", DIRECT, to=POD_NET1),
    inb("in-iface-other", "--exclude-interfaces=net1", REDIRECTED),
    inb("in-iface-wildcard", "--exclude-interfaces=net+", DIRECT, to=POD_NET1),
    inb("in-iface-wildcard-other", "--exclude-interfaces=net+", REDIRECTED),
    inb("in-own-inbound", "", DIRECT, port=9211),
    inb("in-own-inbound-middle", "", DIRECT, port=9218),
    inb("in-own-inbound-last", "", DIRECT, port=9226),
    inb("in-own-past", "", REDIRECTED, port=9227),
    inb("in-own-outbound", "--inbound-closed=redirect", REFUSED, port=9001),
    inb("in-own-admin", "", DIRECT, port=9901),
    inb("in-port-excl", "--inbound-exclude-ports=80", DIRECT),
    inb("in-port-excl-other", "--inbound-exclude-ports=80", REDIRECTED, port=81),
    inb("in-port-excl-range", "--inbound-exclude-ports=1-100,8000-9000", DIRECT, port=9000),
    inb("in-port-excl-range-past", "--inbound-exclude-ports=1-100,8000-8999", REDIRECTED,
        port=9000),
    inb("in-cidr-excl", "--inbound-exclude-cidrs=10.77.0.3,fd77::3", DIRECT, source=CLIENT_OTHER),
    inb("in-cidr-excl-other", "--inbound-exclude-cidrs=10.77.0.3,fd77::3", REDIRECTED,
        source=CLIENT),
    inb("in-cidr-excl-block", "--inbound-exclude-cidrs=10.77.0.2/31,fd77::2/127", DIRECT,
        source=CLIENT_OTHER),
    inb("in-cidr-excl-block-other", "--inbound-exclude-cidrs=10.77.0.2/31,fd77::2/127",
        REDIRECTED, source=CLIENT),
    inb("in-cidr-excl-ipv6-only", "--inbound-exclude-cidrs=fd77::/64", REDIRECTED, families=(4,)),
    inb("in-not-incl", "--inbound-include-ports=443", DIRECT),
    inb("in-incl", "--inbound-include-ports=443,80", REDIRECTED),
    inb("in-incl-star", "--inbound-include-ports=*", REDIRECTED),
    inb("in-excl-beats-incl", "--inbound-include-ports=80-90 --inbound-exclude-ports=80", DIRECT),
    inb("in-closed", "", REFUSED, port=82),
    inb("in-closed-refuse", "--inbound-closed=refuse", REFUSED, port=82),
    inb("in-closed-redirect", "--inbound-closed=redirect", REDIRECTED, port=82),
    inb("in-dead", "", DIRECT, armed=False),
    inb("in-dead-fail-closed", "--fail=closed", REDIRECTED, armed=False),
    inb("in-dead-closed", "--inbound-closed=redirect", REFUSED, port=82, armed=False),
    inb("in-off", "--inbound=off", DIRECT),
    inb("in-outbound-off", "--outbound=off", REDIRECTED),
    inb("in-outbound-lists", "--outbound-exclude-ports=80 --outbound-include-ports=443",
        REDIRECTED),
]


def verdict(answer, address, port, row):
    """The row's words for what the witness said."""
    if answer["by"] == "refused":
        return REFUSED
    wanted = {"in": ("inbound", row.inbound_port), "out": ("outbound", row.outbound_port)}
    if (answer["by"], answer.get("port")) == wanted[row.direction] and \
            answer["original"] == [address, port] and port != answer["port"]:
        return REDIRECTED
    return DIRECT if answer.get("port") == port else answer


def listen(world, row):
    """The application's and the proxy's listeners, and the servers outside."""
    pod, outside = world.witness(), world.witness(world.client)
    for family in row.families:
        for port in APP_PORTS:
            pod.listen(ANY[family], port)
            outside.listen(ANY[family], port)
        for port in range(row.inbound_port, row.inbound_port + 16):
            pod.listen(ANY[family], port, "inbound")
        pod.listen(LOOPBACK[family], row.outbound_port, "outbound")


CASES = [pytest.param(row, family, id=f"{row.id}-ipv{family}")
         for row in OUTBOUND + INBOUND for family in row.families]


@pytest.mark.parametrize("row,family", CASES)
def test_row(world, row, family):
    listen(world, row)
    world.client.ip("addr add fe80::77/64 dev eth0")
    world.wait_addresses()
    sluice(world.pod, "apply", "--heartbeat-timeout=60s", *row.options.split())
    if row.armed:
        world.keep(Beat(world.pod, row.beat_uid, row.inbound_port))()
    packet = dict(row.packet)
    address, port = packet.pop("to")[family], packet.pop("port")
    if row.direction == "out":
        answer = world.outbound(address, port, **packet)
    else:
        source = packet["source"] and (packet["source"][family], 0)
        answer = world.inbound(address, port, source=source)
    assert verdict(answer, address, port, row) == row.verdict


def test_every_row_has_an_id_of_its_own():
    ids = [row.id for row in OUTBOUND + INBOUND]
    assert len(ids) == len(set(ids))


@pytest.mark.parametrize("where,by", [("any", "inbound"), ("address", "inbound"),
                                      ("dual", "inbound"), ("loopback", "refused"),
                                      ("none", "refused")])
def test_closed_stays_closed(world, family, where, by):
    """A port is redirected where somebody listens on that address; else it is refused."""
    w = world.witness()
    w.listen_proxy()
    address = {"any": ANY[family], "address": POD[family], "dual": "dual",
               "loopback": LOOPBACK[family], "none": None}[where]
    if address:
        w.listen(address, 80)
    sluice(world.pod, "apply", "--heartbeat-timeout=60s")
    world.beat()
    assert world.inbound(POD[family], 80)["by"] == by
    if where == "address":
        assert world.inbound(POD_NET1[family], 80)["by"] == "refused"


def test_forwarded_connections_pass_by(world, family):
    """in-forward: through the pod to a machine behind it, though the pod has that port too."""
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
    world.witness(vm).listen(ANY[family], 80, "vm")
    w = world.witness()
    w.listen_proxy()
    w.listen(ANY[family], 80)
    sluice(world.pod, "apply", "--heartbeat-timeout=60s", "--inbound-closed=redirect")
    world.beat()
    assert world.inbound(behind[family], 80)["by"] == "vm"
    assert world.inbound(POD[family], 80)["by"] == "inbound"


def test_a_device_bound_socket_of_an_excluded_uid(world, family):
    """The documented way out for SO_BINDTODEVICE, which no redirect to loopback can serve."""
    world.witness(world.client).listen(ANY[family], 80)
    world.witness().listen_proxy()
    sluice(world.pod, "apply", "--heartbeat-timeout=60s", "--exclude-uids=1000")
    world.beat()
    assert world.outbound(CLIENT[family], 80, device="eth0")["by"] == "app"
    assert world.outbound(CLIENT[family], 80, uid=1001)["by"] == "outbound"


def test_a_late_ipv6_address_is_covered(world):
    """Both families are programmed, whether there is an address yet or not."""
    w = world.witness()
    w.listen_proxy()
    world.pod.ip("addr flush dev eth0 scope global")
    sluice(world.pod, "apply", "--heartbeat-timeout=60s")
    world.pod.ip(f"addr add {POD[6]}/64 dev eth0")
    world.wait_addresses()
    w.listen("::", 80)
    world.beat()
    assert world.inbound(POD[6], 80)["by"] == "inbound"
