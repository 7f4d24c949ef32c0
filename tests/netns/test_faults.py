# SPDX-License-Identifier: GPL-2.0-or-later
"""Every library call failing once, or being the last one, on both backends.

Refused: the old state stands, or the new one is complete; one line of error and exit 1; the same
command, run again, repairs. Killed in place of a call, or right behind it: in nftables the old
state or the new one, in the legacy tables so for each table. `make check` tries some errno of
each call, `make soak` all of them.
"""
import re
import subprocess
from collections import Counter

import pytest

from lib.native import build
from lib.proc import child_setup
from lib.randomly import generator, seed, times
from lib.ruleset import foreign, state
from lib.sluice import DONE, FAILED, SLUICE, Result, environment, sluice

OLD = ["--outbound-exclude-ports=1-100,200", "--exclude-uids=5",
       "--outbound-include-cidrs=10.0.0.0/8,fd00::/8"]
NEW = ["--outbound-exclude-ports=200,300-400", "--proxy-uid=1337,1500"]
# What is there, and what is done.
SCENARIOS = {
    "first": (["remove"], ["apply", *NEW]),
    "swap": (["apply", *OLD], ["apply", *NEW]),
    "remove": (["apply", *OLD], ["remove"]),
}
ERRORS = {
    "socket": "EMFILE ENFILE ENOMEM EPERM", "bind": "EADDRINUSE ENOMEM",
    "sendto": "ENOBUFS ENOMEM EPERM EINTR ECONNREFUSED", "sendmsg": "ENOBUFS ENOMEM",
    "recv": "ENOBUFS ENOMEM EINTR ECONNRESET", "recvfrom": "ENOBUFS", "recvmsg": "ENOBUFS ENOMEM",
    "setsockopt": "ENOMEM ENOENT EINVAL EPERM EAGAIN ENOPROTOOPT ELOOP",
    "getsockopt": "ENOMEM ENOENT EINVAL EPERM EAGAIN ENOPROTOOPT",
    "open": "EACCES EROFS EMFILE ENOSPC", "fopen": "EACCES EMFILE", "flock": "ENOLCK EINTR",
    "poll": "EINTR ENOMEM", "alloc": "ENOMEM",
}
NUMBERS = {"EPERM": 1, "ENOENT": 2, "EINTR": 4, "EAGAIN": 11, "ENOMEM": 12, "EACCES": 13,
           "EINVAL": 22, "ENFILE": 23, "EMFILE": 24, "ENOSPC": 28, "EROFS": 30, "ENOLCK": 37,
           "ELOOP": 40, "ENOPROTOOPT": 92, "EADDRINUSE": 98, "ECONNRESET": 104, "ENOBUFS": 105,
           "ECONNREFUSED": 111}
ALLOCATIONS, ERRNOS = times(8, 1000), times(1, 10)  # of several hundred; of each call's


def faulty(pod, args, fault, log=None):
    """Runs sluice with that fault."""
    env = {**pod.environment, "LD_PRELOAD": str(build("fault", "-shared")), "FAULT": fault}
    if log:
        env["FAULT_LOG"] = str(log)
    done = subprocess.run([SLUICE, *args], capture_output=True, text=True, check=False, timeout=60,
                          stdin=subprocess.DEVNULL, env=environment(env),
                          preexec_fn=child_setup(pod))
    return Result(done.returncode, done.stdout, done.stderr)


class Stage:
    """The old state and the new one, and how often each call is made on the way."""

    def __init__(self, pod, scenario, log):
        self.pod = pod
        self._setup, self.args = SCENARIOS[scenario]
        foreign(pod)
        self.reset()
        self.old = state(pod)
        faulty(pod, self.args, "", log)
        self.new = state(pod)
        assert self.old != self.new
        self.calls = {name: int(count) for name, count in
                      (line.split() for line in log.read_text().splitlines())}
        self.reset()

    def reset(self):
        sluice(self.pod, *self._setup)

    def again(self, told):
        """The same command without the fault; then as it was."""
        sluice(self.pod, *self.args)
        assert state(self.pod) == self.new, told
        self.reset()
        assert state(self.pod) == self.old, told


@pytest.fixture(params=SCENARIOS)
def staged(request, world, backend, tmp_path):
    """`backend` is where the world says so."""
    assert world.pod.environment["SLUICE_BACKEND"] == backend
    return Stage(world.pod, request.param, tmp_path / "calls"), generator("faults", backend,
                                                                          request.param)


def attempts(calls, rng):
    """Of each call each number, with one errno or, in a long run, several."""
    for call, count in calls.items():
        numbers = range(1, count + 1)
        if call == "alloc":
            numbers = sorted(rng.sample(numbers, min(count, ALLOCATIONS)))
        for n in numbers:
            errors = ERRORS[call].split()
            for error in rng.sample(errors, min(len(errors), ERRNOS)):
                yield f"{call}:{n}:{NUMBERS[error]}", error


def said_truly(error, changed):
    """Whether an error says that the change was made if, and only if, it was."""
    said = "is in place" in error or "are gone" in error
    return said == changed or "is not known" in error


@pytest.mark.timeout(3600)
def test_refused(staged):
    stage, rng = staged
    outcomes = Counter()
    for fault, error in attempts(stage.calls, rng):
        told = (f"SLUICE_SEED={seed()}", stage.args, fault, error)
        done = faulty(stage.pod, stage.args, fault)
        now = state(stage.pod)
        if done.status == DONE:  # tried again, or of no consequence
            assert now == stage.new, (told, done)
            assert done.err.count("\n") <= 1, (told, done)
        else:
            assert done.one_error(FAILED), told
            assert now in (stage.old, stage.new), (told, done)
            assert said_truly(done.err, now == stage.new), (told, done)
        outcomes[done.status, now == stage.new] += 1
        stage.again((told, done))
    print(dict(outcomes))
    assert outcomes[FAILED, False] > 15, outcomes


@pytest.mark.parametrize("call", ["socket", "sendto", "setsockopt"])
@pytest.mark.parametrize("staged", ["remove"], indirect=True)
def test_refused_from_then_on(staged, call):
    """Where it cannot go back either, what is left does nothing, and is said how to get rid of."""
    stage, _ = staged
    for n in range(1, stage.calls[call] + 1):
        done = faulty(stage.pod, stage.args, f"{call}:{n}:{NUMBERS['ENOMEM']}+")
        now = state(stage.pod)
        if now not in (stage.old, stage.new):
            assert whole(now, stage.old, stage.new), (call, n, done, now)
            assert "run again" in done.one_error(FAILED).err, (call, n, done)
        stage.again((call, n, done))


def whole(now, old, new):
    """Whether nothing is in part: per ruleset, or per legacy table."""
    if isinstance(now, dict):
        return all(now[of] in (old[of], new[of]) or anchored(now[of]) for of in now)
    return now in (old, new) or anchored("".join(now))


def anchored(rules):
    """What remove leaves while it ends connections: redirects that match nothing."""
    return re.search(r"dport 0 .*(REDIRECT|DNAT|redirect|dnat)", str(rules)) is not None


@pytest.mark.timeout(3600)
@pytest.mark.parametrize("when", ["kill", "killed"])
def test_killed(staged, when):
    stage, _ = staged
    seen = []
    calls = {c: n for c, n in stage.calls.items() if c in ("sendto", "setsockopt", "flock")}
    for call, count in calls.items():
        for n in range(1, count + 1):
            done = faulty(stage.pod, stage.args, f"{call}:{n}:{when}")
            if done.status == DONE:  # it took fewer calls this time
                stage.reset()
                break
            assert done.status == -9, done
            now = state(stage.pod, unused_sets=False)
            assert whole(now, stage.old, stage.new), (stage.args, call, n, when, now)
            seen.append(now)
            stage.again((call, n, when))
    assert stage.old in seen and (stage.new in seen or when == "kill")
