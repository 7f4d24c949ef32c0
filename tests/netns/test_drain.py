# SPDX-License-Identifier: GPL-2.0-or-later
"""`remove --drain`: nothing new is redirected, and what is proxied may come to its own end."""
import fcntl

import pytest

from lib.patience import PATIENCE
from lib.proc import Process, wait_until
from lib.proxy import Proxy
from lib.sluice import SLUICE, environment, sluice
from lib.world import ANY, CLIENT, LOOPBACK, POD

# The proxy is alive until it is killed: a busy machine may let it starve for longer than the default.
ALIVE = "--heartbeat-timeout=20s"

pytestmark = pytest.mark.usefixtures("backend")


@pytest.fixture(params=["redirect", "tproxy"])
def mode(request):
    return f"--inbound-mode={request.param}"


class Held:
    """Connections through the proxy, one each way, that nobody has ended."""

    def __init__(self, world, family, mode):
        self.world, self.family = world, family
        sluice(world.pod, "apply", mode, ALIVE)
        self.proxy = world.keep(Proxy(world.pod, mode, ALIVE,
                                      caps=("net_raw",)), "end")
        wait_until(lambda: self.proxy.metrics().sum("sluice_armed"), "the redirect to be armed")
        self.pairs = [self._connect(world.client, world.pod, POD), self._connect(
            world.pod, world.client, CLIENT)]
        assert self.opened() == 2

    def opened(self):
        return self.proxy.metrics().sum("sluice_connections_opened_total")

    def _connect(self, netns, server, to):
        listener = self.world.keep(server.listen(ANY[self.family], 80))
        c = self.world.keep(netns.socket(self.family))
        c.connect((to[self.family], 80))
        s = self.world.keep(listener.accept()[0])
        for end in (c, s):
            end.settimeout(PATIENCE)
        return c, s

    def work(self):
        for c, s in self.pairs:
            c.sendall(b"x")
            assert s.recv(1) == b"x"
            s.sendall(b"y")
            assert c.recv(1) == b"y"

    def end(self):
        for pair in self.pairs:
            for s in pair:
                s.close()


def start_remove(world, seconds):
    return world.keep(Process([SLUICE, "remove", f"--drain={seconds}"], netns=world.pod,
                              env=environment(world.pod.environment)), "end")


def rules(pod):
    """What there is of ours, of either backend, and the routing."""
    text = pod.ruleset() + pod.run(["iptables-legacy-save"]) + pod.run(["ip6tables-legacy-save"]) \
        + pod.run(["ip", "rule"]) + pod.run(["ip", "-6", "rule"])
    return [line for line in text.splitlines()
            if "table inet sluice" in line or "SLUICE_" in line or "29549" in line]


def wait_anchored(pod):
    wait_until(lambda: "in-anchor" in pod.ruleset() + pod.run(["iptables-legacy-save"]),
               "the anchor")


def test_it_ends_with_the_last_connection(world, family, mode):
    held = Held(world, family, mode)
    removing = start_remove(world, 60)
    wait_anchored(world.pod)
    world.witness().listen(ANY[family], 81)
    assert world.inbound(POD[family], 81)["by"] == "app"
    assert held.opened() == 2  # that one went direct
    held.work()
    assert removing.popen.poll() is None
    held.end()
    assert removing.wait() == 0
    assert removing.lines == ["sluice: removed: the rules"]
    assert rules(world.pod) == []


def test_what_takes_too_long_is_reset(world, family, mode):
    held = Held(world, family, mode)
    removing = start_remove(world, "1s")
    wait_anchored(world.pod)
    held.work()
    assert removing.wait() == 0
    for pair in held.pairs:
        for end in pair:
            with pytest.raises(ConnectionError):
                end.recv(1)
    assert rules(world.pod) == []


def test_whoever_applies_meanwhile_keeps_the_plan(world, family, mode):
    held = Held(world, family, mode)
    removing = start_remove(world, 60)
    wait_anchored(world.pod)
    sluice(world.pod, "apply", mode, ALIVE)
    held.work()
    held.end()
    assert removing.wait() == 1
    assert removing.lines == ["sluice: error: somebody changed the rules while connections were "
                              "draining: nothing was removed"]
    sluice(world.pod, "check", mode, ALIVE)


def test_a_drain_that_fails_says_how_to_go_on(world, family, mode, backend, tmp_path):
    """Of the legacy tables: the lock was given up meanwhile, and somebody has it now."""
    if backend != "iptables":
        return
    held = Held(world, family, mode)
    lock = tmp_path / "lock"
    removing = world.keep(Process(
        [SLUICE, "remove", "--drain=60", "--lock-timeout=50ms"], netns=world.pod,
        env=environment({**world.pod.environment, "XTABLES_LOCKFILE": str(lock)})), "end")
    wait_anchored(world.pod)
    with lock.open("w") as f:
        fcntl.flock(f, fcntl.LOCK_EX)
        held.end()
        assert removing.wait() == 1
    assert len(removing.lines) == 1 and "--lock-timeout" in removing.lines[0]
    assert "rules which match nothing are left ('sluice remove', run again" in removing.lines[0]
    assert rules(world.pod) != []
    sluice(world.pod, "remove")
    assert rules(world.pod) == []


def test_a_drain_that_was_cut_short_can_be_run_again(world, family, mode):
    held = Held(world, family, mode)
    removing = start_remove(world, 60)
    wait_anchored(world.pod)
    removing.end()
    held.work()
    sluice(world.pod, "remove")
    for pair in held.pairs:
        for end in pair:
            with pytest.raises(ConnectionError):
                end.recv(1)
    assert rules(world.pod) == []


def test_it_waits_for_nothing_where_there_is_nothing(world):
    world.keep(world.pod.listen(LOOPBACK[4], 80))
    sluice(world.pod, "apply")
    sluice(world.pod, "remove", "--drain=600")
    assert rules(world.pod) == []
