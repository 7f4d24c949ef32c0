# SPDX-License-Identifier: GPL-2.0-or-later
"""Random configurations, random connections, and a pod in which every one of them has an outcome.

A configuration is a dict of option -> values. The values are drawn around the few addresses, ports
and owners that connections have, so that most of them decide about some connection: equal, beside,
a range up to it, a block that just misses it.
"""
import ipaddress
from dataclasses import dataclass

from .world import (ANY, CLIENT, CLIENT_OTHER, LOOPBACK, OUTSIDE, OUTSIDE_FAR, OUTSIDE_NEAR, POD,
                    POD_NET1)

NET1_OUTSIDE = {4: "10.78.0.1", 6: "fd78::1"}
BEHIND = {4: "10.88.0.2", 6: "fd88::2"}  # by way of eth0
BEHIND_NET1 = {4: "10.88.0.3", 6: "fd88::3"}
LINK_LOCAL = {6: "fe80::77%eth0"}
REMOTE = (OUTSIDE, OUTSIDE_NEAR, OUTSIDE_FAR, NET1_OUTSIDE)
SOURCES = (CLIENT, CLIENT_OTHER, OUTSIDE)

INBOUND_PORTS, OUTBOUND_PORTS, ADMIN_PORTS = (9211, 7100), (9001, 7001), (9901, 7050)
RANGES = [first + n for first in INBOUND_PORTS for n in range(16)]
# Virtual interfaces need more than loopback.
OUTBOUND_RANGES = [first + n for first in OUTBOUND_PORTS for n in range(16)]
ON_ANY = (80, 443, 8080, 8500, 9227, 7116, *ADMIN_PORTS, *OUTBOUND_RANGES)
ON_ADDRESS, ON_LOOPBACK, ON_DUAL, CLOSED = 81, (82,), 84, (83, 8501)
PORTS = (80, 81, 82, 83, 84, 443, 8080, 8500, 8501, 9001, 7001, 7100, 7115, 7116, 9211, 9220, 9226,
         9227, 9901, 7050)
LATE_PORTS = (80, 81, 84, 443, 8080, 8500, 8501)
UIDS = (0, 7, 1000, 1001, 1337, 1400, 65534, 4000000000)
LATE_UIDS = (0, 7, 1000, 1001)
GIDS = (0, 7, 1000, 1001, 1500, 4000000000)
INTERFACES = ("eth0", "net1", "eth+", "ne+", "net11", "e", "foo+", "lo")

LISTS = {
    "proxy-gid": "gid", "exclude-uids": "uid", "exclude-gids": "gid", "include-uids": "uid",
    "include-gids": "gid", "inbound-include-ports": "port", "inbound-exclude-ports": "port",
    "inbound-exclude-cidrs": "source", "outbound-include-ports": "port",
    "outbound-exclude-ports": "port", "outbound-include-cidrs": "destination",
    "outbound-exclude-cidrs": "destination", "exclude-interfaces": "interface",
    "virtual-interfaces": "interface",
}
CHOICES = {
    "inbound-port": INBOUND_PORTS, "outbound-port": OUTBOUND_PORTS, "admin-port": ADMIN_PORTS,
    "inbound": ("on", "on", "off"), "outbound": ("on", "on", "off"),
    "inbound-closed": ("refuse", "redirect"), "fail": ("open", "closed"),
    "inbound-mode": ("redirect", "tproxy", "tproxy"),
}
FLAGS = ("drop-invalid", "reject-quic")


def _numbers(rng, pool, last):
    """A number of the pool, its neighbour, or a range that ends or begins near it."""
    at = min(max(rng.choice(pool) + rng.choice((0, 0, 0, -1, 1)), 1), last)
    kind = rng.randrange(4)
    if kind == 0:
        return f"{max(1, at - rng.randrange(1, 300))}-{at}"
    if kind == 1:
        return f"{at}-{min(last, at + rng.randrange(300))}"
    return str(at)


def _block(rng, addresses):
    """A block with one of the addresses in it, or just beside it; its host bits are left set."""
    address = ipaddress.ip_address(rng.choice(addresses)[rng.choice((4, 6))])
    bits = address.max_prefixlen
    prefix = rng.choice((bits, bits, bits - 1, bits - 2, bits - 8, bits // 2, bits // 4,
                         rng.randrange(bits + 1)))
    number = int(address)
    if prefix and rng.random() < 0.3:
        number ^= 1 << (bits - prefix)
    made = type(address)(number)
    return str(made) if prefix == bits and rng.random() < 0.5 else f"{made}/{prefix}"


def _elsewhere(rng, kind):
    """What no connection has, and no other value touches: so that long lists stay long."""
    if kind == "interface":
        return f"other{rng.randrange(10**6)}"
    if kind in ("source", "destination"):
        n = rng.randrange(2**16)
        return rng.choice((f"20.{n >> 8}.{n & 255}.128/25", f"2001:db9:{n:x}::/48"))
    return str(rng.randrange(10000, 60000))


def _value(rng, kind):
    if kind == "port":
        return _numbers(rng, PORTS, 65535)
    if kind in ("uid", "gid"):
        return _numbers(rng, UIDS if kind == "uid" else GIDS, 4294967294)
    if kind == "interface":
        return rng.choice(INTERFACES)
    return _block(rng, SOURCES if kind == "source" else REMOTE)


def configuration(rng):
    """Up to seven options; a list is short, or long enough for more than one legacy rule."""
    made = {}
    for name in rng.sample([*LISTS, *CHOICES, *FLAGS, "proxy-uid"], rng.randrange(8)):
        if name == "proxy-uid":
            made[name] = rng.choice((["1337", "1400-1402"], ["1400"], ["1337", "4000000000"]))
        elif name in FLAGS:
            made[name] = []
        elif name in CHOICES:
            made[name] = [str(rng.choice(CHOICES[name]))]
        else:
            few, many = rng.choice(((1, 0), (1, 0), (2, 0), (4, 0), (2, 40)))
            made[name] = [_value(rng, LISTS[name]) for _ in range(few)] + \
                [_elsewhere(rng, LISTS[name]) for _ in range(many)]
            rng.shuffle(made[name])
    if made.get("inbound") == made.get("outbound") == ["off"]:
        del made["inbound"]
    # Refused, all of them: without that direction they have nothing to do.
    if made.get("inbound") == ["off"]:
        made.pop("inbound-mode", None)
    if made.get("outbound") == ["off"]:
        made.pop("reject-quic", None)
        made.pop("virtual-interfaces", None)
    return made


def arguments(config):
    return [f"--{name}={','.join(values)}" if values else f"--{name}"
            for name, values in config.items()]


def first_of(config, name, default):
    return int(config.get(name, [default])[0].split("-")[0])


@dataclass(frozen=True)
class Connection:
    """One connection, and what explain cannot know of the place where it is made."""

    direction: str
    family: int
    to: str
    port: int
    iface: str
    local: bool
    listening: bool
    source: str = ""  # inbound
    uid: int = 0  # outbound
    gid: int = 0

    def question(self, alive):
        """As options of explain; `alive`: whether the proxy beats in this family."""
        def word(yes):
            return "on" if yes else "off"

        address = self.to.partition("%")[0]
        to = f"[{address}]:{self.port}" if self.family == 6 else f"{address}:{self.port}"
        said = [f"--direction={self.direction}", f"--to={to}", f"--local={word(self.local)}",
                f"--listening={word(self.listening)}", f"--alive={word(alive)}"]
        if self.iface:
            said.append(f"--iface={self.iface}")
        if self.direction == "inbound":
            said.append(f"--from={self.source}")
        else:
            said += [f"--uid={self.uid}", f"--gid={self.gid}"]
        return " ".join(said)


def _listens_in_pod(family, address, port):
    if port in ON_ANY or port in RANGES or port == ON_DUAL:
        return True
    if port == ON_ADDRESS:
        return address == POD[family]
    return port in ON_LOOPBACK and address == LOOPBACK[family]


def connection(rng):
    """Now and then to where an early row decides; mostly to where the later ones do."""
    family, port = rng.choice((4, 6)), rng.choice(rng.choice((PORTS, LATE_PORTS)))
    if rng.random() < 0.45:
        kind = rng.choices((POD, POD_NET1, BEHIND, BEHIND_NET1), (6, 3, 1, 2))[0]
        behind = kind in (BEHIND, BEHIND_NET1)
        source = NET1_OUTSIDE if kind is BEHIND_NET1 else rng.choice(SOURCES)
        return Connection("inbound", family, kind[family], port,
                          "net1" if kind in (POD_NET1, BEHIND_NET1) else "eth0", not behind,
                          port not in CLOSED if behind else
                          _listens_in_pod(family, kind[family], port), source=source[family])
    kind = rng.choice(REMOTE)
    if rng.random() < 0.15:
        kind = rng.choice((LOOPBACK, POD, LINK_LOCAL if family == 6 else LOOPBACK))
    local = kind in (LOOPBACK, POD)
    return Connection("outbound", family, kind[family], port,
                      "" if local else "net1" if kind is NET1_OUTSIDE else "eth0", local,
                      _listens_in_pod(family, kind[family], port) if local else
                      port not in CLOSED,
                      uid=rng.choice(rng.choice((UIDS, LATE_UIDS))), gid=rng.choice(GIDS))


def stage(world):
    """Listeners for all of it: labels "pod", "outside" and "vm" (routed to, through the pod)."""
    vm = world.netns()
    world.pod.ip(f"link add vm0 type veth peer name eth0 netns {vm.path}", "link set vm0 up",
                 "addr add 10.88.0.1/24 dev vm0", "addr add fd88::1/64 dev vm0")
    vm.ip("link set eth0 up", *(f"addr add {to[4]}/24 dev eth0" for to in (BEHIND, BEHIND_NET1)),
          *(f"addr add {to[6]}/64 dev eth0" for to in (BEHIND, BEHIND_NET1)),
          "route add default via 10.88.0.1", "route add default via fd88::1")
    world.client.ip(*(f"route add {to[f]} via {via[f]}" for f in (4, 6)
                      for to, via in ((BEHIND, POD), (BEHIND_NET1, POD_NET1))),
                    "addr add fe80::77/64 dev eth0")
    vm.wait_addresses()
    world.wait_addresses()
    world.pod.sysctl("net/ipv4/ip_forward", 1)
    world.pod.sysctl("net/ipv6/conf/all/forwarding", 1)
    pod, outside, behind = (world.witness(n) for n in (world.pod, world.client, vm))
    for family in (4, 6):
        for port in ON_ANY:
            pod.listen(ANY[family], port, "pod")
        for port in RANGES:
            pod.listen(ANY[family], port, "pod", transparent=True)
        for port in ON_LOOPBACK:
            pod.listen(LOOPBACK[family], port, "pod")
        pod.listen(POD[family], ON_ADDRESS, "pod")
        for port in PORTS:
            if port not in CLOSED:
                outside.listen(ANY[family], port, "outside")
                behind.listen(ANY[family], port, "vm")
    pod.listen("dual", ON_DUAL, "pod")
