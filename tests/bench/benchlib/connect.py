# SPDX-License-Identifier: GPL-2.0-or-later
"""What connect() takes through the redirect, by the number of CIDRs that are left alone."""

import gc
import os
import socket
import struct
import time

from . import cidrs, netns
from .arena import AF, PEER, beat, listen
from .pod import CONNTRACK, SYSCTL
from .stats import ratios, summarize

BACKENDS = ("nft", "iptables")
COUNTS = (3, 100, 1000, 10000)
BATCH = 50  # connections
PORT = 9001
TIMEOUT = struct.pack("@ll", 5, 0)
NO_LINGER = struct.pack("@ii", 1, 0)  # a reset: nothing waits in TIME_WAIT

_LINKS = """\
link set lo up
link add away0 type veth peer name away1
addr add {IPv4}/24 dev away0
addr add {IPv6}/64 dev away0 nodad
link set away0 up
link set away1 up
route add default dev away0
route add ::/0 dev away0
"""


class Place:
    """A namespace with @count excluded blocks of one family, and the proxy's listener."""

    def __init__(self, settings, backend, family, count):
        self.family = family
        self.name = f"connect, {backend}, {family}, {count} CIDRs"
        self.ns = netns.new_namespace()
        self.listener = None
        netns.run([settings.programs["ip"], "-batch", "-"], ns=self.ns, text=_LINKS.format(**PEER))
        path = cidrs.write(f"{settings.work}/connect-{family}-{count}", count, (family,))
        netns.run([settings.sluice, "apply", f"--backend={backend}", "--heartbeat-timeout=60s",
                   f"--outbound-exclude-cidrs=@{path}"], ns=self.ns)
        netns.sysctl(self.ns, SYSCTL | CONNTRACK)
        self.listener = listen(self.ns, family, PORT)
        self.listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, TIMEOUT)

    def batch(self, addresses):
        """The median time of connect() to these addresses, ns.

        RuntimeError when one does not arrive at the proxy's listener.
        """
        beat(self.ns)
        try:
            return netns.within(self.ns, lambda: self._connect(addresses))
        except OSError as e:
            raise RuntimeError(f"{self.name}: not redirected: {e.strerror}") from e

    def _connect(self, addresses):
        took = []
        for address in addresses:
            with socket.socket(AF[self.family], socket.SOCK_STREAM) as s:
                s.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, TIMEOUT)
                s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, NO_LINGER)
                start = time.perf_counter_ns()
                s.connect((address, 80))
                took.append(time.perf_counter_ns() - start)
                self.listener.accept()[0].close()
        return summarize(took)["median"]

    def close(self):
        if self.listener:
            self.listener.close()
        os.close(self.ns)


def _few(family, _):
    """Eight destinations in turn, as a pod has that speaks to a few services."""
    return [cidrs.behind(family, (i % 8) * 1201 + 600) for i in range(BATCH)]


def _scattered(family, number):
    """Each another, next to another block: nothing of the lookup is in the core's caches."""
    return [cidrs.behind(family, (number * BATCH + i) * 7919 % COUNTS[-1]) for i in range(BATCH)]


# Between the blocks, so never excluded, and the same for any number of them.
DESTINATIONS = {"8 destinations": _few, "scattered": _scattered}


def _rounds(settings, places):
    """{(backend, family, destinations): {count: [ns of each round]}}; every second in reverse."""
    took = {}
    for number in range(-1, settings.batches):
        for destinations, pick in DESTINATIONS.items():
            for key in places if number % 2 == 0 else reversed(places):
                backend, family, count = key
                ns = places[key].batch(pick(family, number + 1))
                if number >= 0:  # one round to warm up
                    took.setdefault((backend, family, destinations), {}).setdefault(
                        count, []).append(ns)
    return took


def measure(settings):
    """{"nft, IPv4, scattered": {count: connect() in us, with its ratio to the fewest}}"""
    places = {}
    with netns.undisturbed(settings.proxy_cpu):
        try:
            for family in cidrs.FAMILIES:
                for backend in BACKENDS:
                    for count in COUNTS:
                        places[backend, family, count] = Place(settings, backend, family, count)
            gc.disable()
            took = _rounds(settings, places)
        finally:
            gc.enable()
            for place in places.values():
                place.close()
    out = {}
    for key, counts in took.items():
        figures = out[", ".join(key)] = {}
        for count in COUNTS:
            figures[count] = summarize(ns / 1000 for ns in counts[count])
            figures[count]["ratio"] = ratios(counts[count], counts[COUNTS[0]])
    return out
