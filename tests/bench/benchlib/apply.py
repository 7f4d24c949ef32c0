# SPDX-License-Identifier: GPL-2.0-or-later
"""`sluice apply` against what else puts rules up: whole processes, fresh namespaces."""

import contextlib
import json
import os
import re
from dataclasses import dataclass

from . import cidrs, netns, spawn
from .arena import Arena
from .stats import ratios, summarize

SIZES = (0, 100, 1000, 10000)
SMOKE_SIZES = (0, 10000)
PEERS = {"linkerd": (4143, 4140), "istio": (15006, 15001), "kuma": (15006, 15001)}
KINDS = ("nft", "legacy")  # what of the kernel a program speaks to
OURS = {"nft": "sluice", "legacy": "sluice, legacy"}
NFT, NFT_RESTORE, LEGACY_RESTORE = "nft -f", "iptables-nft-restore", "iptables-legacy-restore"


@dataclass
class Program:
    """One way to put a redirect up: the commands, one after the other."""

    kind: str
    commands: list
    inbound: range = range(9211, 9227)
    outbound: int = 9001
    beats: bool = True  # redirects only while the proxy's heartbeat is heard


def case_name(size):
    return f"{size} CIDRs" if size else "default"


def _plan(settings, size, options, form):
    path = f"{settings.work}/plan-{size}.{form}"
    with open(path, "w", encoding="ascii") as f:
        f.write(netns.run([settings.sluice, "plan", f"--format={form}", *options]))
    return path


def _programs(settings, size, options):
    """{name: Program} for the rules of `sluice plan` with these options."""
    p = settings.programs
    texts = [(family, _plan(settings, size, options, family))
             for family in ("iptables", "ip6tables")]
    restore = {kind: [[p[f"{family}-{kind}-restore"], "--noflush", path]
                      for family, path in texts] for kind in KINDS}
    return {
        OURS["nft"]: Program("nft", [[settings.sluice, "apply", "--backend=nft", *options]]),
        NFT: Program("nft", [[p["nft"], "-f", _plan(settings, size, options, "nft")]]),
        NFT_RESTORE: Program("nft", restore["nft"]),
        OURS["legacy"]: Program(
            "legacy", [[settings.sluice, "apply", "--backend=iptables", *options]]),
        LEGACY_RESTORE: Program("legacy", restore["legacy"]),
    }


def _peers(settings):
    """{name: Program}: sequences modelled on what others document, with their own rules."""
    out = {}
    for kind in KINDS:
        for peer, (inbound, outbound) in PEERS.items():
            script = os.path.join(settings.root, "tests", "bench", f"peer-{peer}")
            out[f"as {peer}, {kind}"] = Program(
                kind, [[script, kind]], range(inbound, inbound + 1), outbound, False)
    return out


def _cases(settings):
    """{size: {name: Program}}: the peers have no part in the cases with CIDRs."""
    out = {}
    sizes = SMOKE_SIZES if settings.smoke else SIZES
    for size in sizes if "apply" in settings.sections else sizes[:1]:
        options = []
        if size:
            path = cidrs.write(f"{settings.work}/cidrs-{size}", size)
            options = [f"--outbound-exclude-cidrs=@{path}"]
        out[size] = _programs(settings, size, options)
    if "peers" in settings.sections:
        out[0] |= _peers(settings)
    return out


def _nft_state(settings, ns):
    """What nft lists, without counters and handles."""
    return netns.run([settings.programs["nft"], "-s", "list", "ruleset"], ns=ns)


def _sizes(settings, ns):
    """(rules, elements) of the nft rules."""
    listing = netns.run([settings.programs["nft"], "-j", "list", "ruleset"], ns=ns)
    objects = json.loads(listing)["nftables"]
    return (sum("rule" in o for o in objects),
            sum(len(o["set"].get("elem", [])) for o in objects if "set" in o))


def _iptables_state(settings, kind, ns):
    """What iptables-save prints, without comments and counters, tables and chains in order."""
    lines = []
    for family in ("iptables", "ip6tables"):
        table = ""
        for line in netns.run([settings.programs[f"{family}-{kind}-save"]], ns=ns).splitlines():
            if line.startswith("*"):
                table = line
            elif line and line[0] in ":-":
                line = re.sub(r"\[\d+:\d+\]", "", line)
                lines.append((family, table, line.split()[1 if line[0] == "-" else 0], line))
    return sorted(lines, key=lambda line: line[:3])  # stable: the rules of a chain keep their order


def _state(settings, name, program, ns):
    """What this program left, comparable with that of the others that put up the same rules."""
    if name in (OURS["nft"], NFT):
        return "nft", _nft_state(settings, ns)
    return "iptables", _iptables_state(settings, program.kind, ns)


def _check_one(settings, name, program, arena, excluded):
    """Puts it up; what it left, its (rules, elements) if it is nft's, and what is wrong."""
    netns.within(arena.ns, lambda: spawn.run(program.commands))
    form = state = None
    if program.beats:
        form, state = _state(settings, name, program, arena.ns)
    sizes = _sizes(settings, arena.ns) if name == NFT else None
    return form, state, sizes, arena.complaints(program.inbound, program.outbound, program.beats,
                                                excluded)


def _check(settings, cases, problems):
    """Equal rules where they must be, and connections that prove a redirect.

    {size: (rules, elements) as nft counts them}. All namespaces are made first: the kernel takes
    up to a second to see that a link is up.
    """
    sizes = {}
    with contextlib.ExitStack() as stack:
        arenas = {(size, name): stack.enter_context(contextlib.closing(Arena(settings)))
                  for size, programs in cases.items() for name in programs}
        for size, programs in cases.items():
            left, wrong = {}, []
            for name, program in programs.items():
                form, state, found, complaints = _check_one(
                    settings, name, program, arenas[size, name], size > 0)
                wrong += [f"{name}: {c}" for c in complaints]
                if found:
                    sizes[size] = found
                if form and left.setdefault(form, state) != state:
                    wrong.append(f"{name}: not the same rules as the others")
            if not all(left.values()) or not sizes[size][0]:
                wrong.append("no rules are left to compare")
            problems += [f"apply, {case_name(size)}: {w}" for w in wrong]
    return sizes


def _summary(programs, runs, sizes, processes):
    """The figures of a case; each program's ratio is what sluice takes of it, round by round."""
    out = {"rules": sizes[0], "elements": sizes[1], "programs": {}}
    for name, program in programs.items():
        ours = runs[OURS[program.kind]]
        figures = {"kind": program.kind, "processes": processes[name]}
        for i, figure in enumerate(("cpu_ms", "wall_ms")):
            values = [r[i] / 1e6 for r in runs[name]]
            figures[figure] = summarize(values)
            figures[figure]["ratio"] = ratios([r[i] / 1e6 for r in ours], values)
        out["programs"][name] = figures
    return out


def measure(settings, problems):
    """{case: medians and ratios of CPU and wall time}, interleaved: A B C, C B A."""
    os.environ["XTABLES_LOCKFILE"] = f"{settings.work}/xtables.lock"  # nobody else's
    with netns.undisturbed(settings.proxy_cpu):
        cases = _cases(settings)
        sizes = _check(settings, cases, problems)
        processes = {name: spawn.count(p.commands) for name, p in cases[0].items()}
        out = {}
        for size, programs in cases.items():
            runs = {name: [] for name in programs}
            for number in range(settings.applies):
                for name in programs if number % 2 == 0 else reversed(programs):
                    netns.unshare_net()
                    runs[name].append(spawn.run(programs[name].commands))
            out[case_name(size)] = _summary(programs, runs, sizes[size], processes)
    return out
