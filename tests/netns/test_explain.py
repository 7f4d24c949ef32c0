# SPDX-License-Identifier: GPL-2.0-or-later
"""What `sluice explain` says of a connection is what the kernel does with it.

Random configurations, random connections: the verdict by who answers, the deciding row by the
counters of the rules as nft and iptables-legacy-save print them. A failure is made as small as it
gets and told as commands; SLUICE_SEED of that run makes it again.
"""
import itertools
import json
import re
import subprocess
from collections import Counter

import pytest

from lib.proc import child_setup
from lib.random_plan import arguments, configuration, connection, first_of, stage
from lib.randomly import generator, seed, times
from lib.sluice import SLUICE, environment, sluice
from lib.witness import Beat, ask

LONG = "--heartbeat-timeout=60s"
PARTS, CONFIGURATIONS, CONNECTIONS = 4, times(14, 250), 36
FAMILIES = (4, 6)


def explained(pod, config, questions, *more):
    """The answers to all questions, by one process."""
    done = subprocess.run([SLUICE, "explain", "--batch", "--format=json", *more,
                           *arguments(config)],
                          input="\n".join(questions) + "\n", capture_output=True, text=True,
                          check=False, timeout=60,
                          env=environment(pod.environment), preexec_fn=child_setup(pod))
    assert done.returncode == 0, done
    return [json.loads(line) for line in done.stdout.splitlines()]


def counted(pod):
    """Packets by row, of the rules that decide; a jump decides nothing."""
    if pod.environment["SLUICE_BACKEND"] == "nft":
        text = pod.run(["nft", "list", "table", "inet", "sluice"])
        found = re.findall(r'packets (\d+) bytes \d+ (?:return|redirect|dnat)[^"]* comment "(.*)"',
                           text)
    else:
        text = "".join(pod.run([f"{program}-legacy-save", "-c", "-t", "nat"])
                       for program in ("iptables", "ip6tables"))
        found = re.findall(r"^\[(\d+):\d+\] -A SLUICE_.* --comment (\S+) "
                           r"-j (?:RETURN|ACCEPT|REDIRECT|DNAT)\b", text, re.M)
        # A part of a long list is a chain of its own, named after the row.
        found += re.findall(r"^\[(\d+):\d+\] -A SLUICE_((?:in|out)-[a-z-]+)\.\d+ (?!.*--comment)"
                            r".*-j RETURN$", text, re.M)
    rows = Counter()
    for packets, row in found:
        rows[row] += int(packets)
    # What leaves through lo arrives there, too; the kernel asks the second chain only if the
    # first is not there, which differs by backend.
    del rows["in-local"]
    return +rows


class Pod:
    """The stage; programs one configuration after the other, with a proxy alive or dead."""

    def __init__(self, world):
        self.world = world
        self.netns = world.pod
        self.beating = ()
        self._source_ports = itertools.count(20000)
        stage(world)

    def program(self, config, alive):
        """In place of the one before, so that swaps are tested, too; `alive`: the families."""
        if not set(self.beating) <= set(alive):
            sluice(self.netns, "remove")
        sluice(self.netns, "apply", LONG, *arguments(config))
        self.beating = alive
        owner = {"uid": first_of(config, "proxy-uid", "1337")}
        beat = Beat(self.netns, port=first_of(config, "inbound-port", "9211"), **owner)
        for (s, to), family in zip(beat.sockets, FAMILIES):
            if family in alive:
                with pytest.raises(PermissionError):  # a rule has heard it
                    s.sendto(b"", to)
        beat.close()

    def connect(self, c):
        """Who answers, on which port, and what was the original destination."""
        port = next(self._source_ports)
        if c.direction == "inbound":
            return ask(self.world.client, c.to, c.port, source=(c.source, port))
        return ask(self.netns, c.to, c.port, uid=c.uid, gid=c.gid,
                   source=("::" if c.family == 6 else "0.0.0.0", port))


def rows_are_counted(config):
    """Not where rules before the one that looks for a SYN see every packet of a connection."""
    return config.get("inbound-mode") != ["tproxy"] and "drop-invalid" not in config


def fits(c, said, answer):
    """Whether the answer is the one that the explanation promises."""
    if said["verdict"] == "redirect":
        first, last = said["ports"]
        return answer["by"] == "pod" and first <= answer["port"] <= last and \
            answer["original"] == [c.to.partition("%")[0], c.port]
    if not c.listening:
        return answer["by"] == "refused"
    place = ("pod" if c.local else "vm") if c.direction == "inbound" else \
        ("pod" if c.local else "outside")
    return (answer["by"], answer.get("port")) == (place, c.port)


def disagreement(pod, config, alive, c):
    """Makes this one connection under this configuration; what does not fit, or ""."""
    pod.program(config, alive)
    question = c.question(c.family in alive)
    before = counted(pod.netns)
    answer = pod.connect(c)
    rows = counted(pod.netns) - before
    for more in ([], ["--live"]):
        said = explained(pod.netns, {} if more else config, [question], *more)[0]
        expected = Counter([said["row"]] if said["row"] else [])
        if not fits(c, said, answer) or (rows_are_counted(config) and rows != expected):
            return f"sluice apply {LONG} {' '.join(arguments(config))}\n" \
                   f"sluice explain {' '.join(more or arguments(config))} {question}\n" \
                   f"says {said}\nthe kernel: {answer}, rows {dict(rows)}"
    return ""


def smaller(config):
    """Every configuration with one option, or one value, less."""
    for name, values in config.items():
        yield {k: v for k, v in config.items() if k != name}
        for i in range(len(values) if len(values) > 1 else 0):
            yield {**config, name: values[:i] + values[i + 1:]}


def shrunk(pod, config, alive, c, tries=50):
    """The message of the smallest configuration found that still disagrees."""
    told, candidates = disagreement(pod, config, alive, c), smaller(config)
    for _ in range(tries):
        candidate = next(candidates, None)
        if candidate is None:
            break
        worse = disagreement(pod, candidate, alive, c)
        if worse:
            told, candidates = worse, smaller(candidate)
    return told


def judge(pod, config, alive, connections):
    """All of them at once: the rows are compared as a whole, and one by one where they differ."""
    pod.program(config, alive)
    before = counted(pod.netns)
    questions = [c.question(c.family in alive) for c in connections]
    plan, live = explained(pod.netns, config, questions), \
        explained(pod.netns, {}, questions, "--live")
    answers = [pod.connect(c) for c in connections]
    rows = counted(pod.netns) - before
    suspects = [c for c, said, also, answer in zip(connections, plan, live, answers)
                if not fits(c, said, answer) or
                (said["verdict"], said["row"]) != (also["verdict"], also["row"])]
    expected = Counter(said["row"] for said in plan if said["row"])
    if not rows_are_counted(config):
        rows = expected
    if suspects or rows != expected:
        for c in suspects + connections:
            told = shrunk(pod, config, alive, c)
            assert not told, f"SLUICE_SEED={seed()}\n{told}"
        assert not suspects and rows == expected, \
            f"SLUICE_SEED={seed()}: only together: {config} {alive} {connections}"
    return expected


@pytest.mark.timeout(3600)
@pytest.mark.parametrize("part", range(PARTS))
def test_the_kernel_agrees(world, backend, part):
    pod, met = Pod(world), Counter()
    for n in range(CONFIGURATIONS):
        rng = generator("explain", part, n)
        config = configuration(rng)
        alive = rng.choice(((4, 6), (4, 6), (4, 6), (4,), (6,), ()))
        met += judge(pod, config, alive, [connection(rng) for _ in range(CONNECTIONS)])
    print(f"{backend}: {sum(met.values())} connections:",
          dict(met))
    redirected = met["out-redirect"] + met["in-redirect"]
    assert redirected > 0.05 * sum(met.values()) and len(met) > 12, "a test of next to nothing"
