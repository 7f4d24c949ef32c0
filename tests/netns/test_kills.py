# SPDX-License-Identifier: GPL-2.0-or-later
"""SIGKILL at random instants of `apply` and `remove`, under a load.

In nftables the old plan or the new one is there, in the legacy tables so for each table; the load
never sees anything but the proxy while plans are swapped; the same command again always repairs.
`make check` kills a few times, `make soak` a thousand times a backend.
"""
import re
import subprocess
import time
from collections import Counter

import pytest

from lib.load import Load
from lib.proc import child_setup
from lib.randomly import generator, seed, times
from lib.ruleset import foreign, legacy_state, state
from lib.sluice import SLUICE, environment, sluice

LONG = "--heartbeat-timeout=60s"
PLANS = [[LONG, "--outbound-exclude-ports=1-79,200", "--exclude-uids=5,7"],
         [LONG, "--outbound-include-ports=80,300-400", "--proxy-uid=1337,1500"],
         [LONG, "--include-uids=0-2000", "--inbound-closed=redirect"]]
SWAPS, REMOVALS = times(40, 1300), times(20, 500)


def run_killed(pod, args, after):
    """Kills it after so many seconds; whether that was before its end."""
    p = subprocess.Popen([SLUICE, *args], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                         stderr=subprocess.DEVNULL, env=environment(pod.environment),
                         preexec_fn=child_setup(pod))
    time.sleep(after)
    p.kill()
    return p.wait() == -9


def anchored(rules):
    """What remove leaves while it ends connections: redirects that match nothing."""
    return re.search(r"dport 0 .*(REDIRECT|DNAT|redirect|dnat)", str(rules)) is not None


def parts(now, old, new):
    """What is neither of the old state nor of the new one."""
    if isinstance(now, dict):
        return {of: p for of, p in now.items() if p not in (old[of], new[of]) and not anchored(p)}
    return now if now not in (old, new) and not anchored(now) else None


class Stage:
    """Every plan's state, and the way from one to the other."""

    def __init__(self, world, name):
        self.pod, self.rng = world.pod, generator("kills", name, world.pod.environment)
        foreign(self.pod)
        self.load = Load(world)
        self.states = {}
        for options in PLANS:
            sluice(self.pod, "apply", *options)
            self.states[str(options)] = state(self.pod)
        sluice(self.pod, "remove")
        self.states["remove"] = state(self.pod)
        self.now = "remove"
        self.hits = Counter()
        self.window = 0.006  # seconds within which it is killed

    def go(self, args):
        """Kills it on its way, looks, and goes there."""
        to = "remove" if args == ["remove"] else str(args[1:])
        old, new = self.states[self.now], self.states[to]
        hit = run_killed(self.pod, args, self.rng.uniform(0, self.window))
        # So that about half of them are hit, however busy the machine is.
        self.window *= 1.1 if hit else 0.9
        now = state(self.pod, unused_sets=False)
        told = f"SLUICE_SEED={seed()} {self.now} -> {to}"
        assert not parts(now, old, new), (told, parts(now, old, new))
        outcome = "old" if now == old else "new" if now == new else "between"
        self.hits["killed" if hit else "ended", outcome] += 1
        sluice(self.pod, *args)
        assert state(self.pod) == new, told
        self.now = to


@pytest.mark.timeout(3600)
def test_apply_killed(world, backend):
    stage = Stage(world, "apply")
    sluice(stage.pod, "apply", *PLANS[0])
    stage.now = str(PLANS[0])
    world.stay_armed()
    stage.load.start(at_once=2, interval_us=500)
    for n in range(SWAPS):
        world.stay_armed()
        stage.go(["apply", *PLANS[(n + 1) % len(PLANS)]])
    made = stage.load.end()
    print(f"{backend}: {dict(stage.hits)}, {made} connections, odd ones {dict(stage.load.odd())}")
    assert stage.load.odd() == {}
    killed = Counter(outcome for (how, outcome) in stage.hits.elements() if how == "killed")
    assert killed["old"] and sum(killed.values()) > SWAPS / 10 and made > 100


@pytest.mark.timeout(3600)
def test_remove_killed(world, backend):
    """From and to nothing: the load meets the proxy or none, and resets, but nothing hangs."""
    stage = Stage(world, "remove")
    sluice(stage.pod, "apply", *PLANS[0])
    stage.load.start(at_once=2, interval_us=500)
    sluice(stage.pod, "remove")
    for n in range(REMOVALS):
        stage.go(["apply", *PLANS[n % len(PLANS)]])
        world.beat()
        stage.go(["remove"])
    made = stage.load.end()
    odd = stage.load.odd()
    print(f"{backend}: {dict(stage.hits)}, {made} connections, odd ones {dict(odd)}")
    assert set(odd) <= {"A", "O", "ECONNRESET", "ECONNABORTED"}, odd
    assert made > 100


def test_legacy_tables_are_read(world, backend):
    """The states of this file are made of something."""
    foreign(world.pod)
    sluice(world.pod, "apply", *PLANS[0])
    text = str(legacy_state(world.pod) if backend == "iptables" else state(world.pod))
    assert "out-redirect" in text and ("KUBE" in text or "theirs" in text)
