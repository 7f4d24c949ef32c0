# SPDX-License-Identifier: GPL-2.0-or-later
"""A steady load of connections in both directions and families, and who answered them.

Every connection should be answered by the proxy's place (`P`). `A` is the application, `O` the
server outside; anything else is the errno, "empty" or "timeout".
"""
import subprocess
from collections import Counter

from .native import build
from .patience import PATIENCE
from .proc import Process, wait_until
from .world import ANY, APP_UID, LOOPBACK, OUTSIDE, POD

PORT = 80


class Client(Process):
    """One load; `made()` as of now, `end_load()` at its end: (connections, answered by P)."""

    def __init__(self, netns, at_once, interval_us, places, source="-", **identity):
        argv = [build("load"), "connect", str(at_once), str(interval_us), source]
        super().__init__([*argv, *(str(x) for place in places for x in place)],
                         stdin=subprocess.PIPE, netns=netns, **identity)
        self.wait_line("connecting")
        self._told = 0

    def _answer(self):
        self._told += 1
        lines = wait_until(lambda: (m := [x for x in list(self.lines) if x.startswith("made ")]) and
                           len(m) >= self._told and m, "the load's count",
                           timeout=2 * PATIENCE)
        return tuple(int(n) for n in lines[self._told - 1].split()[1:])

    def made(self):
        self.popen.stdin.write("?\n")
        self.popen.stdin.flush()
        return self._answer()

    def end_load(self):
        self.popen.stdin.close()
        return self._answer()

    def end(self):
        super().end()
        if not self.popen.stdin.closed:
            self.popen.stdin.close()


class Load:
    """Servers in the pod and outside; two clients of 8 connections each, from `start()` on."""

    def __init__(self, world, proxy=True):
        self.world = world
        self._clients = []
        pod = [x for family in (4, 6) for x in ("A", ANY[family], PORT)]
        if proxy:
            pod += [x for family in (4, 6) for port in range(9211, 9227)
                    for x in ("P", ANY[family], port)]
            pod += [x for family in (4, 6) for x in ("P", LOOPBACK[family], 9001)]
        outside = [x for family in (4, 6) for x in ("O", ANY[family], PORT)]
        for netns, places in ((world.pod, pod), (world.client, outside)):
            netns.sysctl("net/ipv4/ip_local_port_range", "1024 65535")
            server = Process([build("load"), "serve", *map(str, places)], netns=netns)
            world.keep(server, "end").wait_line("serving")

    def start(self, at_once=8, interval_us=0):
        """Needs the rules in place: they bring the sysctl that lets source ports be used again."""
        self.world.pod.sysctl("net/netfilter/nf_conntrack_tcp_timeout_close", 1)
        for netns, to, identity in ((self.world.client, POD, {}),
                                    (self.world.pod, OUTSIDE, {"uid": APP_UID})):
            client = Client(netns, at_once, interval_us, [(to[4], PORT), (to[6], PORT)],
                             **identity)
            self._clients.append(self.world.keep(client, "end"))
        return self

    def made(self):
        """Connections so far."""
        return sum(client.made()[0] for client in self._clients)

    def odd(self):
        """How often each answer came that was not `P`."""
        return Counter(line.split()[2] for client in self._clients
                       for line in list(client.lines) if line.startswith("odd "))

    def end(self):
        """Ends the load; how many connections there were."""
        counts = [client.end_load() for client in self._clients]
        self.odd_by_count = sum(made - proper for made, proper in counts)
        return sum(made for made, _ in counts)
