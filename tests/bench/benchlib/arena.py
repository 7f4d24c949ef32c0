# SPDX-License-Identifier: GPL-2.0-or-later
"""A namespace to put a redirect up in, and its proof: connections that must arrive redirected."""

import os
import select
import socket
import time

from . import cidrs, netns

POD = {"IPv4": "192.0.2.2", "IPv6": "2001:db8::2"}
PEER = {"IPv4": "192.0.2.1", "IPv6": "2001:db8::1"}
AWAY = {"IPv4": "198.51.100.1", "IPv6": "2001:db8:ffff::1"}
ANY = {"IPv4": "0.0.0.0", "IPv6": "::"}
HOST = {"IPv4": "127.0.0.1", "IPv6": "::1"}
AF = {"IPv4": socket.AF_INET, "IPv6": socket.AF_INET6}
SERVER = 8080
PATIENCE = 5  # s, for what must come
WHILE = 0.05  # s, for what must not

_LINKS = """\
link set lo up
addr add {address4}/24 dev {dev}
addr add {address6}/64 dev {dev} nodad
link set {dev} up
"""
_ROUTES = "route add default via {gateway4}\nroute add default via {gateway6}\n"


def beat(ns, uid=1337, port=9211):
    """The heartbeat of a live proxy, once in each family, as sluice-proxy sends it."""
    def send():
        for family in cidrs.FAMILIES:
            os.seteuid(uid)  # the rules ask who made the socket
            try:
                s = socket.socket(AF[family], socket.SOCK_DGRAM)
            finally:
                os.seteuid(0)
            with s:
                try:
                    s.sendto(b"", (HOST[family], port))
                except PermissionError:
                    pass  # heard: the rule that counts it also drops it
    netns.within(ns, send)


def listen(ns, family, port):
    """A listener in the namespace, on all addresses of the family."""
    def make():
        s = socket.socket(AF[family], socket.SOCK_STREAM)
        s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == "IPv6":
            s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        s.bind((ANY[family], port))
        s.listen(128)
        return s
    return netns.within(ns, make)


class Arena:
    """A fresh namespace, wired to another that plays the rest of the world."""

    def __init__(self, settings):
        self.world = netns.new_namespace()
        self.ns = netns.new_namespace()
        ip = [settings.programs["ip"], "-batch", "-"]
        link = f"link add peer0 type veth peer name eth0 netns {netns.path_of(self.ns)}\n"
        netns.run(ip, ns=self.world, text=link + _LINKS.format(
            dev="peer0", address4=PEER["IPv4"], address6=PEER["IPv6"]))
        netns.run(ip, ns=self.ns, text=_LINKS.format(
            dev="eth0", address4=POD["IPv4"], address6=POD["IPv6"]) + _ROUTES.format(
                gateway4=PEER["IPv4"], gateway6=PEER["IPv6"]))

    def close(self):
        os.close(self.ns)
        os.close(self.world)

    def complaints(self, inbound, outbound, beats, excluded):
        """What does not go to the proxy's ports as it should, as lines; none when all does."""
        found = []
        for family in cidrs.FAMILIES:
            sockets = {port: listen(self.ns, family, port)
                       for port in (SERVER, outbound, *inbound)}
            try:
                for what, ns, to, ports in (
                        ("outbound", self.ns, (AWAY[family], 80), {outbound}),
                        ("inbound", self.world, (POD[family], SERVER), set(inbound))):
                    got = self._where(ns, family, to, sockets, beats, PATIENCE)
                    if got not in ports:
                        found.append(f"{family} {what}: at {got or 'no port'}, not {min(ports)}")
                if excluded:
                    to = (cidrs.inside(family, 0), 80)
                    got = self._where(self.ns, family, to, sockets, beats, WHILE)
                    if got:
                        found.append(f"{family} to an excluded address: at port {got}")
            finally:
                for s in sockets.values():
                    s.close()
        return found

    def _where(self, ns, family, to, sockets, beats, seconds):
        """The port at which a connection arrives, or None."""
        deadline = time.monotonic() + seconds
        while True:
            if beats:
                beat(self.ns)
            with netns.within(ns, lambda: socket.socket(AF[family], socket.SOCK_STREAM)) as s:
                s.setblocking(False)
                s.connect_ex(to)
                ready, _, _ = select.select(list(sockets.values()), [], [], min(seconds, 0.2))
                for port, listener in sockets.items():
                    if listener in ready:
                        listener.accept()[0].close()
                        return port
            if time.monotonic() > deadline:
                return None
