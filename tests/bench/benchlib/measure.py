# SPDX-License-Identifier: GPL-2.0-or-later
"""CPU time, memory, and how busy everybody else was."""

import os
import statistics
import time


def cpu_ns(pids):
    """Time on a CPU of all threads of these processes, in ns.

    From schedstat, which counts exactly; utime + stime of /proc/PID/stat is the same time, split
    by sampling and rounded to 10 ms. The kernel charges a softirq to the task that it interrupts
    or that raised it: what a write to loopback or veth makes the receiver's TCP do is in here.
    """
    total = 0
    for pid in pids:
        try:
            for task in os.listdir(f"/proc/{pid}/task"):
                with open(f"/proc/{pid}/task/{task}/schedstat", encoding="ascii") as f:
                    total += int(f.read().split()[0])
        except (FileNotFoundError, ProcessLookupError):
            pass
    return total


def memory_kib(pids):
    """(RSS, PSS) in KiB, added up over the processes."""
    rss = pss = 0
    for pid in pids:
        try:
            with open(f"/proc/{pid}/smaps_rollup", encoding="ascii") as f:
                for line in f:
                    if line.startswith("Rss:"):
                        rss += int(line.split()[1])
                    elif line.startswith("Pss:"):
                        pss += int(line.split()[1])
        except (FileNotFoundError, ProcessLookupError):
            pass
    return rss, pss


def _busy_ns():
    """(busy, steal) of all CPUs since boot, in ns."""
    with open("/proc/stat", encoding="ascii") as f:
        v = [int(x) for x in f.readline().split()[1:]]
    tick = 10**9 // os.sysconf("SC_CLK_TCK")
    return (v[0] + v[1] + v[2] + v[5] + v[6]) * tick, v[7] * tick


class Noise:
    """The part of both cores that was neither ours nor idle while we measured."""

    def __init__(self):
        self.shares = []

    def start(self):
        self._busy = _busy_ns()

    def stop(self, wall_ns, ours_ns):
        busy, steal = (b - a for a, b in zip(self._busy, _busy_ns()))
        other = max(0, busy - ours_ns) + steal
        self.shares.append(other / (wall_ns * os.cpu_count()))

    def summary(self):
        if not self.shares:
            return {}
        return {"median": statistics.median(self.shares), "max": max(self.shares)}


class Busy:
    """The part of all cores' time since then that went neither to us, our children, nor idle."""

    def __init__(self):
        self._wall = time.monotonic_ns()
        self._busy = _busy_ns()
        self._ours = sum(os.times()[:4])

    def others(self):
        wall = time.monotonic_ns() - self._wall
        busy, steal = (b - a for a, b in zip(self._busy, _busy_ns()))
        ours = (sum(os.times()[:4]) - self._ours) * 1e9
        return (max(0, busy - ours) + steal) / (wall * os.cpu_count())
