# SPDX-License-Identifier: GPL-2.0-or-later
"""Run again and again: the counts of everything stay, and connections of every kind live on."""
import socket
import subprocess

import pytest

from lib.machine import not_in_a_chroot
from lib.patience import PATIENCE
from lib.proc import child_setup
from lib.randomly import times
from lib.ruleset import foreign, state
from lib.sluice import SLUICE, environment, sluice
from lib.world import ANY, APP_UID, LOOPBACK, OUTSIDE, POD

LONG = "--heartbeat-timeout=60s"
RUNS = times(90, 1000)
PLANS = [["--outbound-exclude-ports=1-79,200", "--exclude-uids=5,7"],
         ["--inbound-mode=tproxy", "--drop-invalid"],
         ["--include-uids=0-2000", "--reject-quic", "--virtual-interfaces=net1"]]


def everything(pod):
    """Rules, sets and routing."""
    routes = [pod.run(["ip", *f, *what.split()]) for f in (["-4"], ["-6"])
              for what in ("rule list", "route list table all")]
    return state(pod), routes


@pytest.mark.timeout(3600)
def test_nothing_grows(world, backend):
    pod = world.pod
    foreign(pod)
    before = everything(pod)
    looks = []
    for options in PLANS:
        sluice(pod, "apply", LONG, *options)
        looks.append(everything(pod))
    for n in range(RUNS):
        options = PLANS[n % len(PLANS)]
        sluice(pod, "apply", LONG, *options)
        if n % 7 == 0 or n > RUNS - 4:
            assert everything(pod) == looks[n % len(PLANS)], (backend, n)
            again = sluice(pod, "apply", LONG, *options)
            assert again.out.startswith("sluice: nothing to change: ")
    sluice(pod, "remove")
    assert everything(pod) == before


class Pair:
    """Both ends of a connection that goes on, whatever is applied."""

    def __init__(self, world, client, listener, to, uid=None):
        self.near = world.keep(client.socket(6 if ":" in to else 4, uid=uid))
        self.near.connect((to, 80))
        self.far = world.keep(listener.accept()[0])
        self.far.settimeout(PATIENCE)
        self.half_closed = False

    def half_close(self):
        self.near.shutdown(socket.SHUT_WR)
        assert self.far.recv(1) == b""
        self.half_closed = True
        return self

    def speak(self):
        """Both ways, or the way that is open; more than the buffers of one step hold."""
        for a, b in ([] if self.half_closed else [(self.near, self.far)]) + [(self.far, self.near)]:
            a.sendall(b"x" * 100000)
            left = 100000
            while left:
                got = b.recv(left)
                assert got, "an end that nobody sent"
                left -= len(got)


def listeners(world, family):
    """Who may take a connection."""
    return {name: world.keep(netns.listen(address, port)) for name, netns, address, port in (
        ("pod", world.pod, ANY[family], 80), ("outside", world.client, ANY[family], 80),
        ("inbound", world.pod, ANY[family], 9211),
        ("outbound", world.pod, LOOPBACK[family], 9001))}


def every_kind(world, family, at, proxied):
    """In each direction; through the proxy's listeners where `proxied`; each half-closed, too."""
    made = []
    for close in (False, True):
        for pair in (Pair(world, world.client, at["inbound" if proxied else "pod"], POD[family]),
                     Pair(world, world.pod, at["outbound" if proxied else "outside"],
                          OUTSIDE[family], uid=APP_UID),
                     Pair(world, world.pod, at["pod"], LOOPBACK[family], uid=APP_UID)):
            made.append(pair.half_close() if close else pair)
    return made


@pytest.mark.usefixtures("backend")
def test_every_kind_of_connection_lives_on(world, family):
    """Older than the rules, and through the proxy: the first apply, changed ones, a drain."""
    at = listeners(world, family)
    connections = every_kind(world, family, at, proxied=False)
    for options in ([], PLANS[0], PLANS[2]):
        sluice(world.pod, "apply", LONG, *options)
        world.beat()
        for pair in connections:
            pair.speak()
        connections += every_kind(world, family, at, proxied=True)
    for pair in connections:
        pair.speak()
    draining = subprocess.Popen([SLUICE, "remove", "--drain=60"], text=True,
                                stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                                env=environment(world.pod.environment),
                                preexec_fn=child_setup(world.pod))
    try:
        for _ in range(20):  # it waits meanwhile
            for pair in connections:
                pair.speak()
        assert draining.poll() is None
        for pair in connections:
            pair.near.close()
            pair.far.close()
        text, _ = draining.communicate(timeout=60)
    finally:
        if draining.poll() is None:
            draining.kill()
            draining.wait()
    assert draining.returncode == 0 and "removed" in text, text


@not_in_a_chroot
def test_nft_writes_no_file(world):
    """From a root that is read-only, /run and all."""
    script = 'mount -o remount,bind,ro / && mount -t tmpfs -o ro none /run && exec "$@"'
    for args in (["apply", "--backend=nft"], ["check"], ["remove", "--backend=nft"]):
        subprocess.run(["unshare", "-m", "sh", "-c", script, "--", SLUICE, *args], check=True,
                       capture_output=True, timeout=60, env=environment(),
                       preexec_fn=child_setup(world.pod))
