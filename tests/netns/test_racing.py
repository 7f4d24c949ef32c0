# SPDX-License-Identifier: GPL-2.0-or-later
"""Twenty `apply` of different plans at once, others who write at the same time, and a load.

Every state seen in between is a whole plan (nft: as nft dumps one generation; legacy: each table).
All plans redirect what the load connects to, and nobody beats again, so one answer that is not
the proxy's would show a connection that met neither plan, or a switch that was disarmed.
`make check` races a few times, `make soak` for two million connections a backend.
"""
import subprocess
import threading
import time

import pytest

from lib.load import Load
from lib.proc import child_setup
from lib.randomly import generator, times
from lib.ruleset import LEGACY, foreign, legacy_state, legacy_table, nft_state
from lib.sluice import SLUICE, environment, sluice

LONG = "--heartbeat-timeout=60s"
CONNECTIONS, SECONDS = times(10000, 2000000), times(20, 1500)
OVERTAKEN = "sluice: warning: the rules were changed again by somebody else right after\n"


def plan(n):
    """Twenty plans of as many sizes; uid 1000 and port 80 are redirected by all of them."""
    options = [LONG, f"--outbound-exclude-ports={100 + n}-{200 + n},{3000 + n},{4000 + n}",
               f"--inbound-exclude-ports={','.join(str(2000 + 2 * i) for i in range(n + 1))}"]
    if n % 2:
        options.append(f"--exclude-uids={5000 + n}")
    if n % 3 == 0:
        options.append("--include-uids=0-4000")
    if n % 2 == 0:
        options.append(f"--proxy-uid=1337,{6000 + n}")
    if n % 4 == 0:
        options.append("--inbound-closed=redirect")
    if n % 5 == 0:
        options.append(f"--outbound-exclude-cidrs=10.9.{n}.0/24,fd09:{n}::/32")
    return options


PLANS = [plan(n) for n in range(20)]


def ours(of):
    """The part of a state that is ours: others write at the same time."""
    if not isinstance(of, tuple):
        return of
    return tuple(line for line in of if "SLUICE_" in line)


def read(pod, backend):
    """Pieces that must each be whole, by name."""
    if backend == "nft":
        return {"nft": nft_state(pod, "table inet sluice", unused_sets=False)}
    return {of: ours(legacy_table(pod, *of)) for of in LEGACY}


class Watcher:
    """Reads the state again and again; keeps each that is new."""

    def __init__(self, pod, backend):
        self._pod, self._backend = pod, backend
        self._stop = threading.Event()
        self.seen, self.reads, self.error = {}, 0, None
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self):
        try:
            while not self._stop.is_set():
                for of, piece in read(self._pod, self._backend).items():
                    self.seen.setdefault(of, {})[str(piece)] = piece
                self.reads += 1
        except Exception as e:  # told by whoever waits for us
            self.error = e

    def end(self):
        self._stop.set()
        self._thread.join()


class Foreigner:
    """Adds one rule after the other, as other programs do."""

    def __init__(self, pod, backend):
        self._pod, self._backend = pod, backend
        self._stop = threading.Event()
        self.count, self.error = 0, None
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _add(self, n):
        if self._backend == "nft":
            self._pod.nft(f"add rule inet theirs out tcp dport {n} return\n")
            return
        # As iptables-legacy-restore does: it takes the lock and waits for it.
        rule = f"*nat\n-A KUBE -p tcp -m tcp --dport {n} -j RETURN\nCOMMIT\n"
        self._pod.run([f"{'ip6tables' if n % 2 else 'iptables'}-legacy-restore", "-n", "-w", "20"],
                      rule)

    def _run(self):
        try:
            while not self._stop.is_set() and self.count < 20000:
                self._add(10000 + self.count)
                self.count += 1
                time.sleep(0.002 + self.count / 50000)  # the more rules, the rarer
        except Exception as e:
            self.error = e

    def end(self):
        self._stop.set()
        self._thread.join()

    def lost(self):
        """Rules of theirs that are not there any more."""
        text = str(self._pod.ruleset() if self._backend == "nft" else legacy_state(self._pod))
        return [n for n in range(10000, 10000 + self.count) if f"dport {n} " not in text]


@pytest.fixture
def whole(world, backend):
    """What each plan looks like, from a namespace of its own."""
    twin = world.netns()
    twin.environment = dict(world.pod.environment)
    foreign(twin)
    pieces = {}
    for options in PLANS:
        sluice(twin, "apply", *options)
        for of, piece in read(twin, backend).items():
            pieces.setdefault(of, []).append(piece)
    assert len(set(map(str, next(iter(pieces.values()))))) > (15 if backend == "nft" else 0)
    return pieces


def race(pod, order):
    """All of them at once; each has to end well, and soon."""
    env = environment({**pod.environment, "SLUICE_LOCK_TIMEOUT": "2m"})
    running = [subprocess.Popen([SLUICE, "apply", *PLANS[n]], stdin=subprocess.DEVNULL, text=True,
                                stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=env,
                                preexec_fn=child_setup(pod)) for n in order]
    try:
        ended = [(*p.communicate(timeout=120), p.returncode) for p in running]
    finally:
        for p in running:
            if p.poll() is None:
                p.kill()
                p.wait()
    # That another one of us came right after is worth a warning, and no error.
    assert [e for e in ended if e[2] or e[1].replace(OVERTAKEN, "")] == []


@pytest.mark.timeout(3600)
def test_twenty_at_once(world, backend, whole):
    pod, rng = world.pod, generator("racing", backend)
    foreign(pod)
    load = Load(world)
    sluice(pod, "apply", *PLANS[0])
    world.stay_armed()  # well within the time-out: in a short run there is one beat
    load.start()
    watcher, foreigner = Watcher(pod, backend), Foreigner(pod, backend)
    started = time.monotonic()
    rounds = 0
    try:
        while rounds < 3 or (load.made() < CONNECTIONS and time.monotonic() < started + SECONDS):
            race(pod, rng.sample(range(20), 20))
            rounds += 1
            assert any(read(pod, backend) == {of: pieces[n] for of, pieces in whole.items()}
                       for n in range(20)), "the last one's plan as a whole"
            world.stay_armed()
            assert (watcher.error, foreigner.error) == (None, None)
    finally:
        watcher.end()
        foreigner.end()
    made = load.end()
    seen = {of: len(pieces) for of, pieces in watcher.seen.items()}
    print(f"{backend}: {rounds} rounds of 20, {made} connections, {dict(load.odd())} odd ones, "
          f"{watcher.reads} states read, different ones {seen}, {foreigner.count} foreign changes, "
          f"{time.monotonic() - started:.0f} s")
    assert (watcher.error, foreigner.error) == (None, None)
    for of, pieces in watcher.seen.items():
        parts = [piece for piece in pieces.values() if piece not in whole[of]]
        assert parts == [], (of, parts[0])
    assert load.odd() == {} and load.odd_by_count == 0
    assert foreigner.lost() == []
    assert any(sluice(pod, "check", *options, status=None).status == 0 for options in PLANS)
    assert made >= 1000 and watcher.reads >= 5 and foreigner.count >= 5 and max(seen.values()) > 3


@pytest.mark.timeout(3600)
def test_no_connection_meets_an_empty_set(world, backend, tmp_path):
    """Long lists, where a set that is not filled yet is not so for long enough to be met."""
    listed = tmp_path / "cidrs"
    listed.write_text("198.51.100.0/24\n2001:db8::/48\n" + "".join(
        f"20.{n >> 7}.{n % 128 * 2}.0/24\n2001:db9:{2 * n:x}::/48\n" for n in range(2000)))
    plans = [[LONG, f"--outbound-include-cidrs=@{listed}", f"--exclude-uids={n}"] for n in (5, 6)]
    load = Load(world)
    sluice(world.pod, "apply", *plans[0])
    world.stay_armed()
    load.start(at_once=4)
    for n in range(times(12, 400)):
        world.stay_armed()
        # Without the set in between, so that it is made anew.
        sluice(world.pod, "apply", LONG)
        sluice(world.pod, "apply", *plans[n % 2])
    made = load.end()
    print(f"{backend}: {made} connections, odd ones {dict(load.odd())}")
    assert load.odd() == {} and made > 500
