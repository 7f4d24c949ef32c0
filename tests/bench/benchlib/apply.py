# SPDX-License-Identifier: GPL-2.0-or-later
"""`sluice apply` against `nft -f` of the same rules: whole processes, fresh namespaces."""

import json
import os
import time

from . import netns
from .stats import summarize

CIDRS = 10000


def _cidr_file(settings):
    """10,000 blocks, half of each family, no two of which touch."""
    path = f"{settings.work}/cidrs"
    with open(path, "w", encoding="ascii") as f:
        for i in range(CIDRS // 2):
            f.write(f"10.{i >> 8}.{i & 255}.0/25\n")
            f.write(f"fd00:{i:x}::/33\n")
    return path


def _commands(settings):
    """{case: {program: argv}}; the nft file is what `sluice plan` prints of the same options."""
    cases = {"default": [],
             f"{CIDRS} CIDRs": [f"--outbound-exclude-cidrs=@{_cidr_file(settings)}"]}
    commands = {}
    for number, (case, options) in enumerate(cases.items()):
        path = f"{settings.work}/plan-{number}.nft"
        with open(path, "w", encoding="ascii") as f:
            f.write(netns.run([settings.sluice, "plan", "--format=nft", *options]))
        commands[case] = {"sluice": [settings.sluice, "apply", *options],
                          "nft": [settings.programs["nft"], "-f", path]}
    return commands


def _run_once(argv):
    """In a fresh namespace: (CPU ns, wall ns). The fork is not counted, exec is."""
    netns.unshare_net()
    start = time.monotonic_ns()
    pid = os.posix_spawn(argv[0], argv, os.environ, file_actions=[
        (os.POSIX_SPAWN_OPEN, 1, "/dev/null", os.O_WRONLY, 0)])
    _, status, usage = os.wait4(pid, 0)
    wall = time.monotonic_ns() - start
    if status != 0:
        raise RuntimeError(f"{' '.join(argv)}: exit {os.waitstatus_to_exitcode(status)}")
    return int((usage.ru_utime + usage.ru_stime) * 1e9), wall


def _kernel_state(settings):
    """What nft lists of this namespace, without counters and handles, and (rules, elements)."""
    nft = settings.programs["nft"]
    text = netns.run([nft, "-s", "list", "ruleset"])
    objects = json.loads(netns.run([nft, "-j", "list", "ruleset"]))["nftables"]
    rules = sum("rule" in o for o in objects)
    return text, (rules, sum(len(o["set"].get("elem", [])) for o in objects if "set" in o))


def _compare(settings, commands, problems):
    """Both programs must leave the same in the kernel. Yields (case, (rules, elements))."""
    for case, programs in commands.items():
        states = {}
        for program, argv in programs.items():
            _run_once(argv)
            states[program] = _kernel_state(settings)
        if states["sluice"][0] != states["nft"][0] or not states["sluice"][1][0]:
            sizes = {program: state[1] for program, state in states.items()}
            problems.append(f"apply, {case}: not the same rules and elements: {sizes}")
        yield case, states["sluice"][1]


def measure(settings, problems):
    """{case: medians and ratios of CPU and wall time}, interleaved: sluice nft nft sluice."""
    home = os.open("/proc/self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    affinity = os.sched_getaffinity(0)
    try:
        os.sched_setaffinity(0, {settings.proxy_cpu})
        commands = _commands(settings)
        sizes = dict(_compare(settings, commands, problems))
        runs = {case: {p: [] for p in programs} for case, programs in commands.items()}
        for number in range(settings.applies):
            for case, programs in commands.items():
                order = sorted(programs, reverse=number % 2 == 0)
                for program in order:
                    runs[case][program].append(_run_once(programs[program]))
    finally:
        os.sched_setaffinity(0, affinity)
        netns.setns(home)
        os.close(home)
    return {case: _summary(runs[case], sizes[case]) for case in runs}


def _summary(runs, size):
    result = {"rules": size[0], "elements": size[1]}
    for program, values in runs.items():
        cpu, wall = zip(*values)
        result[program] = {"cpu_ms": summarize([v / 1e6 for v in cpu]),
                           "wall_ms": summarize([v / 1e6 for v in wall])}
    for figure in ("cpu_ms", "wall_ms"):
        result[f"{figure}_ratio"] = (result["sluice"][figure]["median"] /
                                     result["nft"][figure]["median"])
    return result
