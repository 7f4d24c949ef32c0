# SPDX-License-Identifier: GPL-2.0-or-later
"""The optional parts of the contract by real packets, on both backends: --reject-quic,
--drop-invalid, --virtual-interfaces.
"""
import contextlib
import socket
import struct
import threading

import pytest

from lib.patience import PATIENCE
from lib.proc import wait_until
from lib.proxy import Proxy
from lib.sluice import sluice
from lib.witness import ask
from lib.world import (ANY, APP_UID, CLIENT, LOOPBACK, OUTSIDE, OUTSIDE_FAR, POD, PROXY_UID)

pytestmark = pytest.mark.usefixtures("backend")

LONG = "--heartbeat-timeout=60s"
ALIVE = "--heartbeat-timeout=20s"
VM = {4: "10.88.0.2", 6: "fd88::2"}
GATEWAY = {4: "10.88.0.1", 6: "fd88::1"}
NET1_OUTSIDE = {4: "10.78.0.1", 6: "fd78::1"}


class Echo:
    """A UDP server that sends back what it gets, from the address that it got it on."""

    def __init__(self, netns, address, port):
        self.socket = netns.socket(6 if ":" in address else 4, socket.SOCK_DGRAM)
        self.socket.bind((address, port))
        self.socket.settimeout(0.1)
        self._stop = False
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self):
        while not self._stop:
            with contextlib.suppress(TimeoutError):
                data, peer = self.socket.recvfrom(100)
                self.socket.sendto(data, peer)

    def close(self):
        self._stop = True
        self._thread.join(5)
        self.socket.close()


def udp(netns, family, address, port, uid=APP_UID, gid=APP_UID):
    """A connected datagram socket."""
    s = netns.socket(family, socket.SOCK_DGRAM, uid=uid, gid=gid)
    s.connect((address, port))
    return s


def fate(s):
    """Whether a datagram is answered or rejected; the first send may report it as EPERM."""
    try:
        s.send(b"x")
        return "answered" if s.recv(10) == b"x" else "?"
    except (ConnectionRefusedError, PermissionError):
        return "rejected"
    except TimeoutError:
        return "lost"


QUIC = [
    ("default", "", {}, "rejected"),
    ("root", "", {"uid": 0, "gid": 0}, "rejected"),
    ("proxy", "", {"uid": PROXY_UID}, "answered"),
    ("other-port", "", {"port": 444}, "answered"),
    ("local", "", {"to": LOOPBACK}, "answered"),
    ("own-address", "", {"to": POD}, "answered"),
    ("iface", "--exclude-interfaces=net1", {"to": NET1_OUTSIDE}, "answered"),
    ("iface-other", "--exclude-interfaces=net1", {}, "rejected"),
    ("uid", "--exclude-uids=1000", {}, "answered"),
    ("gid", "--exclude-gids=1000", {}, "answered"),
    ("include", "--include-uids=1000,1001", {}, "rejected"),
    ("include-other", "--include-uids=1002,1003", {}, "answered"),
    ("cidr", "--outbound-exclude-cidrs=198.51.100.0/24,2001:db8::/64", {}, "answered"),
    ("cidr-other", "--outbound-exclude-cidrs=198.51.100.0/24,2001:db8::/64", {"to": OUTSIDE_FAR},
     "rejected"),
    ("include-cidr", "--outbound-include-cidrs=198.51.100.0/24,2001:db8::/64", {}, "rejected"),
    ("include-cidr-other", "--outbound-include-cidrs=198.51.100.0/24,2001:db8::/64",
     {"to": OUTSIDE_FAR}, "answered"),
    ("port-excluded", "--outbound-exclude-ports=400-500", {}, "answered"),
    ("port-not-included", "--outbound-include-ports=80", {}, "answered"),
    ("port-included", "--outbound-include-ports=80,443", {}, "rejected"),
    ("dead", "", {"armed": False}, "answered"),
    ("dead-closed", "--fail=closed", {"armed": False}, "rejected"),
]


@pytest.mark.parametrize("options,packet,expected", [case[1:] for case in QUIC],
                         ids=[case[0] for case in QUIC])
def test_quic(world, family, options, packet, expected):
    packet = {"to": OUTSIDE, "port": 443, "armed": True, **packet}
    to, port, armed = packet.pop("to"), packet.pop("port"), packet.pop("armed")
    world.keep(Echo(world.pod if to in (LOOPBACK, POD) else world.client, to[family], port))
    sluice(world.pod, "apply", LONG, "--reject-quic", *options.split())
    if armed:
        world.beat()
    s = world.keep(udp(world.pod, family, to[family], port, **packet))
    assert fate(s) == expected


def test_quic_connections_live_on(world, family):
    """What conntrack knows already is left alone, as with TCP."""
    world.keep(Echo(world.client, OUTSIDE[family], 443))
    sluice(world.pod, "apply", LONG)
    world.beat()
    old = world.keep(udp(world.pod, family, OUTSIDE[family], 443))
    assert fate(old) == "answered"
    sluice(world.pod, "apply", LONG, "--reject-quic")
    assert fate(old) == "answered"
    assert fate(world.keep(udp(world.pod, family, OUTSIDE[family], 443))) == "rejected"
    sluice(world.pod, "remove")
    assert fate(world.keep(udp(world.pod, family, OUTSIDE[family], 443))) == "answered"


def checksum(data):
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total > 0xffff:
        total = (total >> 16) + (total & 0xffff)
    return ~total & 0xffff


SYN, RST, ACK = 2, 4, 16


class RawTcp:
    """Sends TCP segments by hand, and sees what comes back."""

    def __init__(self, netns, family, source, to):
        self.family, self.source, self.to = family, source, to
        af = socket.AF_INET6 if family == 6 else socket.AF_INET
        with netns.entered():
            self.socket = socket.socket(af, socket.SOCK_RAW, socket.IPPROTO_TCP)
        if family == 6:
            self.socket.setsockopt(socket.IPPROTO_IPV6, 7, 16)  # IPV6_CHECKSUM
        self.socket.bind((source, 0))
        self.seen = set()

    def send(self, sport, dport, flags):
        segment = struct.pack("!HHIIBBHHH", sport, dport, 7, 7, 5 << 4, flags, 1000, 0, 0)
        if self.family == 4:
            pseudo = socket.inet_aton(self.source) + socket.inet_aton(self.to) + \
                struct.pack("!HH", socket.IPPROTO_TCP, len(segment))
            segment = segment[:16] + struct.pack("!H", checksum(pseudo + segment)) + segment[18:]
        self.socket.sendto(segment, (self.to, 0))

    def _read(self, patience):
        """One segment; notes the port of ours that an RST is for."""
        self.socket.settimeout(patience)
        packet = self.socket.recv(2000)
        segment = packet[(packet[0] & 15) * 4:] if self.family == 4 else packet
        if segment[13] & RST:
            self.seen.add(struct.unpack("!HH", segment[:4])[1])

    def resets(self, expected):
        """The ports of ours that were reset, once these were, and a moment later."""
        while not self.seen >= expected:
            self._read(PATIENCE)
        with contextlib.suppress(TimeoutError):
            while True:
                self._read(0.2)
        return self.seen

    def close(self):
        self.socket.close()


@pytest.mark.parametrize("options,dropped", [("", False), ("--drop-invalid", True),
                                             ("--drop-invalid --inbound=off", True),
                                             ("--drop-invalid --inbound-mode=tproxy", True),
                                             ("--drop-invalid --exclude-interfaces=eth+", False)])
def test_invalid_packets(world, family, options, dropped):
    """A SYN-ACK that answers nothing: without the option the kernel resets it."""
    sluice(world.pod, "apply", LONG, *options.split())
    raw = world.keep(RawTcp(world.client, family, CLIENT[family], POD[family]))
    raw.send(5001, 82, SYN | ACK)
    raw.send(5002, 82, SYN)  # valid, and refused
    expected = {5002} if dropped else {5001, 5002}
    assert raw.resets(expected) == expected


@pytest.mark.usefixtures("vm")
def test_invalid_packets_for_others_pass(world, family):
    """What is only routed through may take another way back: it is not ours to judge."""
    sluice(world.pod, "apply", LONG, "--drop-invalid")
    raw = world.keep(RawTcp(world.client, family, CLIENT[family], VM[family]))
    raw.send(5001, 82, SYN | ACK)
    assert raw.resets({5001}) == {5001}


def test_valid_packets_pass(world, family):
    w = world.witness()
    w.listen_proxy()
    w.listen(ANY[family], 80)
    world.witness(world.client).listen(ANY[family], 80)
    sluice(world.pod, "apply", LONG, "--drop-invalid")
    world.beat()
    assert world.inbound(POD[family], 80)["by"] == "inbound"
    assert world.outbound(OUTSIDE[family], 80)["by"] == "outbound"
    assert world.outbound(POD[family], 80)["by"] == "app"


@pytest.fixture
def vm(world):
    """A machine behind the pod, on vm0, with the pod as its router."""
    machine = world.netns()
    world.pod.ip(f"link add vm0 type veth peer name eth0 netns {machine.path}", "link set vm0 up",
                 *(f"addr add {GATEWAY[f]}/{24 if f == 4 else 64} dev vm0" for f in (4, 6)))
    machine.ip("link set eth0 up",
               *(f"addr add {VM[f]}/{24 if f == 4 else 64} dev eth0" for f in (4, 6)),
               *(f"route add default via {GATEWAY[f]}" for f in (4, 6)))
    world.client.ip(f"route add 10.88.0.0/24 via {POD[4]}", f"route add fd88::/64 via {POD[6]}")
    machine.wait_addresses()
    world.wait_addresses()
    world.pod.sysctl("net/ipv4/ip_forward", 1)
    world.pod.sysctl("net/ipv6/conf/all/forwarding", 1)
    return machine


def listen_virtual(world):
    """The outside's servers, the pod's own, and a proxy that listens for virtual interfaces."""
    outside, pod = world.witness(world.client), world.witness()
    for family in (4, 6):
        for port in (80, 81):
            outside.listen(ANY[family], port)
        pod.listen(ANY[family], 80, "pod")
        for port in range(9001, 9017):
            pod.listen(ANY[family], port, "outbound")
        for port in range(9211, 9227):
            pod.listen(ANY[family], port, "inbound")


VIRTUAL = [
    ("redirected", "--virtual-interfaces=vm0", {}, "outbound"),
    ("wildcard", "--virtual-interfaces=tap7,vm+", {}, "outbound"),
    ("tproxy-too", "--virtual-interfaces=vm0 --inbound-mode=tproxy", {}, "outbound"),
    ("inbound-off", "--virtual-interfaces=vm0 --inbound=off", {}, "outbound"),
    ("not-virtual", "", {}, "app"),
    ("another", "--virtual-interfaces=vm1", {}, "app"),
    ("excluded", "--virtual-interfaces=vm+ --exclude-interfaces=vm0", {}, "app"),
    ("port", "--virtual-interfaces=vm0 --outbound-exclude-ports=81", {"port": 81}, "app"),
    ("cidr", "--virtual-interfaces=vm0 --outbound-exclude-cidrs=198.51.100.1,2001:db8::1", {},
     "app"),
    ("cidr-other", "--virtual-interfaces=vm0 --outbound-exclude-cidrs=198.51.100.1,2001:db8::1",
     {"to": OUTSIDE_FAR}, "outbound"),
    ("include", "--virtual-interfaces=vm0 --outbound-include-ports=81", {}, "app"),
    ("owners", "--virtual-interfaces=vm0 --include-uids=1 --exclude-uids=0", {}, "outbound"),
    ("dead", "--virtual-interfaces=vm0", {"armed": False}, "app"),
    ("dead-closed", "--virtual-interfaces=vm0 --fail=closed", {"armed": False}, "outbound"),
    ("local", "--virtual-interfaces=vm0", {"to": GATEWAY}, "pod"),
    ("local-address", "--virtual-interfaces=vm0", {"to": POD}, "pod"),
    ("local-tproxy", "--virtual-interfaces=vm0 --inbound-mode=tproxy", {"to": POD}, "pod"),
    ("local-not-virtual", "", {"to": POD}, "inbound"),
]


@pytest.mark.parametrize("options,packet,by", [case[1:] for case in VIRTUAL],
                         ids=[case[0] for case in VIRTUAL])
def test_virtual_interfaces(world, vm, family, options, packet, by):
    packet = {"to": OUTSIDE, "port": 80, "armed": True, **packet}
    listen_virtual(world)
    sluice(world.pod, "apply", LONG, *options.split())
    if packet["armed"]:
        world.beat()
    answer = ask(vm, packet["to"][family], packet["port"])
    assert answer["by"] == by
    if by == "outbound":
        assert answer["original"] == [packet["to"][family], packet["port"]]
        assert answer["peer"][0] == VM[family]


def test_own_ports_of_the_virtual_range(world, family):
    """With virtual interfaces the proxy listens on them at any address: nothing redirects there."""
    listen_virtual(world)
    sluice(world.pod, "apply", LONG, "--virtual-interfaces=vm0")
    world.beat()
    assert world.inbound(POD[family], 9016)["by"] == "outbound"


def test_one_virtual_port_to_two_servers(world, vm, family):
    """Another machine chooses its source ports: they may be the same for two servers."""
    listen_virtual(world)
    sluice(world.pod, "apply", LONG, "--virtual-interfaces=vm0")
    world.beat()
    with vm.socket(family) as first, vm.socket(family) as second:
        for s, to, source in ((first, OUTSIDE, (VM[family], 0)), (second, OUTSIDE_FAR, None)):
            s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            s.bind(source or first.getsockname()[:2])
            s.connect((to[family], 80))
        for s in (first, second):
            assert b'"outbound"' in s.makefile("rb").readline()


def test_virtual_interfaces_with_the_real_proxy(world, vm, family):
    world.witness(world.client).listen(ANY[family], 80)
    sluice(world.pod, "apply", "--virtual-interfaces=vm0", ALIVE)
    proxy = world.keep(Proxy(world.pod, "--virtual-interfaces=vm0", ALIVE), "end")
    wait_until(lambda: proxy.metrics().sum("sluice_armed"), "the redirect to be armed")
    answer = ask(vm, OUTSIDE[family], 80)
    assert answer["by"] == "app" and answer["peer"][0] == POD[family]
    assert proxy.metrics().sum("sluice_connections_opened_total", direction="outbound") == 1
    # Whoever calls the port itself is reset: it would be a loop.
    assert world.inbound(POD[family], 9001)["by"] in ("reset", "closed without an answer")
