# SPDX-License-Identifier: GPL-2.0-or-later
"""The stage of a test: a pod, its client across a veth pair, and whatever it connects to.

    outside, client                                  pod
    10.77.0.1, .3, fd77::1, ::3      eth0 - eth0     10.77.0.2, fd77::2     (default route: client)
    10.78.0.1, fd78::1               net1 - net1     10.78.0.2, fd78::2
    lo: 198.51.100.1, .2, 203.0.113.1, 2001:db8::1, ::2, 2001:db8:1::1      (servers out there)
"""
import contextlib
import time

from .netns import Netns, veth
from .witness import Beat, Witness, ask

CLIENT = {4: "10.77.0.1", 6: "fd77::1"}
CLIENT_OTHER = {4: "10.77.0.3", 6: "fd77::3"}
POD = {4: "10.77.0.2", 6: "fd77::2"}
POD_NET1 = {4: "10.78.0.2", 6: "fd78::2"}
LOOPBACK = {4: "127.0.0.1", 6: "::1"}
ANY = {4: "0.0.0.0", 6: "::"}
OUTSIDE = {4: "198.51.100.1", 6: "2001:db8::1"}
OUTSIDE_NEAR = {4: "198.51.100.2", 6: "2001:db8::2"}
OUTSIDE_FAR = {4: "203.0.113.1", 6: "2001:db8:1::1"}
PROXY_UID = 1337
APP_UID = 1000


class World:
    """Everything it hands out is closed with it, last first."""

    def __init__(self):
        self.stack = contextlib.ExitStack()
        self.kept = []
        self._beat = None
        self._beaten = float("-inf")
        self.client = self.netns()
        self.pod = self.netns()
        self._wire()

    def netns(self, fd=None):
        """One more namespace, empty but for its loopback; or the one that fd refers to."""
        return self.keep(Netns(fd))

    def _wire(self):
        veth(self.pod, "eth0", self.client, "eth0")
        veth(self.pod, "net1", self.client, "net1")
        far = [OUTSIDE, OUTSIDE_NEAR, OUTSIDE_FAR]
        self.client.ip(
            *(f"addr add {a}/24 dev eth0" for a in (CLIENT[4], CLIENT_OTHER[4])),
            *(f"addr add {a}/64 dev eth0" for a in (CLIENT[6], CLIENT_OTHER[6])),
            "addr add 10.78.0.1/24 dev net1", "addr add fd78::1/64 dev net1",
            *(f"addr add {a[4]}/32 dev lo" for a in far),
            *(f"addr add {a[6]}/128 dev lo" for a in far))
        self.pod.ip(
            f"addr add {POD[4]}/24 dev eth0", f"addr add {POD[6]}/64 dev eth0",
            f"addr add {POD_NET1[4]}/24 dev net1", f"addr add {POD_NET1[6]}/64 dev net1",
            f"route add default via {CLIENT[4]}", f"route add default via {CLIENT[6]}")
        self.wait_addresses()

    def wait_addresses(self):
        """After IPv6 addresses were added."""
        self.client.wait_addresses()
        self.pod.wait_addresses()

    def keep(self, thing, method="close"):
        """Ties a thing's end to the test's."""
        self.kept.append(thing)
        self.stack.callback(getattr(thing, method))
        return thing

    def witness(self, netns=None):
        return self.keep(Witness(netns or self.pod))

    @property
    def beat(self):
        """Sends the proxy's heartbeat in the pod, once."""
        if self._beat is None:
            self._beat = self.keep(Beat(self.pod, PROXY_UID))
        return self._beat

    def stay_armed(self, every=20):
        """In a long loop: a beat, but no more often than that, in seconds."""
        if time.monotonic() >= self._beaten + every:
            self.beat()
            self._beaten = time.monotonic()

    def inbound(self, address, port, **kwargs):
        return ask(self.client, address, port, **kwargs)

    def outbound(self, address, port, uid=APP_UID, **kwargs):
        return ask(self.pod, address, port, uid=uid, **kwargs)

    def close(self):
        self.stack.close()
