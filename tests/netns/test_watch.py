# SPDX-License-Identifier: GPL-2.0-or-later
"""check --watch: drift is told when it comes and when it is over; --repair ends it."""
import math
import signal
import time

import pytest

from lib.proc import Process, wait_until
from lib.sluice import DONE, SLUICE, USAGE, environment, sluice


def watch(world, *args):
    process = world.keep(Process([SLUICE, "check", "--watch", *args], netns=world.pod,
                                 env=environment(world.pod.environment)), "end")
    process.wait_line("watching: ")
    return process


def delete_redirect(world, backend):
    """Takes one rule out, as somebody else would."""
    if backend == "nft":
        listed = world.pod.run(["nft", "-a", "list", "chain", "inet", "sluice", "outbound"])
        handle = next(line for line in listed.splitlines() if "out-redirect" in line).split()[-1]
        world.pod.nft(f"delete rule inet sluice outbound handle {handle}")
    else:
        rules = world.pod.run(["iptables-legacy", "-t", "nat", "-S", "SLUICE_OUTBOUND"])
        rule = next(line for line in rules.splitlines() if "out-redirect" in line)
        world.pod.run(["iptables-legacy", "-t", "nat", *rule.replace("-A", "-D", 1).split()])


def delete_everything(world, backend):
    if backend == "nft":
        world.pod.nft("delete table inet sluice")
    else:
        world.pod.run(["iptables-legacy", "-t", "nat", "-F"])


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_drift_is_told_as_it_comes_and_goes(world, backend, number):
    sluice(world.pod, "apply")
    process = watch(world)
    assert process.lines == ["watching: 0 differences now"]
    delete_redirect(world, backend)
    process.wait_line("drift: missing rule: ")
    assert "out-redirect" in process.output
    sluice(world.pod, "apply")
    process.wait_line("over: missing rule: ")
    process.signal(number)
    assert process.wait() == DONE
    drifts = [line.split(": ", 1)[1] for line in process.lines if line.startswith("drift: ")]
    overs = [line.split(": ", 1)[1] for line in process.lines if line.startswith("over: ")]
    assert sorted(drifts) == sorted(overs) and len(drifts) == 1, process.lines


def test_what_is_there_from_the_start_is_told(world, backend):
    del backend
    process = watch(world)
    assert process.lines[0].startswith("drift: missing "), process.lines
    sluice(world.pod, "apply")
    process.wait_line("over: missing ")


def test_it_only_tells(world, backend):
    sluice(world.pod, "apply")
    process = watch(world)
    delete_everything(world, backend)
    process.wait_line("drift: ")
    sluice(world.pod, "check", status=3)


def test_repair(world, backend):
    sluice(world.pod, "apply")
    process = watch(world, "--repair")
    for times, delete in enumerate((delete_redirect, delete_everything), 1):
        delete(world, backend)
        wait_until(lambda n=times: process.output.count("repaired: ") == n, "the repair")
        sluice(world.pod, "check")
    wait_until(lambda: process.output.count("drift: ") == process.output.count("over: "),
               "the end of all drift")


def test_routing_that_is_lost(world, backend):
    """Which nftables tells nobody of."""
    del backend
    mode = "--inbound-mode=tproxy"
    sluice(world.pod, "apply", mode)
    repairing = watch(world, mode, "--repair")
    for number, lose in enumerate((["-4", "rule", "del", "fwmark", "0x736d"],
                                 ["-6", "route", "flush", "table", "29549"]), 1):
        world.pod.run(["ip", *lose])
        wait_until(lambda n=number: repairing.output.count("repaired: ") == n, "the repair")
        sluice(world.pod, "check", mode)
    assert "drift: missing routing: IPv4" in repairing.output


def test_lo_that_goes_down_takes_the_routing_along(world, backend):
    """That of IPv6, on the kernels that we know."""
    del backend
    mode = "--inbound-mode=tproxy"
    sluice(world.pod, "apply", mode)
    process = watch(world, mode)
    world.pod.ip("link set lo down")
    world.pod.ip("link set lo up")
    process.wait_line("drift: missing routing: ")


def test_a_repair_that_does_not_last_is_not_repeated_without_a_pause(world):
    """Somebody deletes the table as fast as they can: we must not answer each time."""
    sluice(world.pod, "apply")
    process = watch(world, "--repair")
    began, repairs = time.monotonic(), 0
    while time.monotonic() < began + 3 or not repairs:
        world.pod.run(["nft", "delete", "table", "inet", "sluice"], ok=False)
        repairs = process.output.count("repaired: ")
    # The first two at once and after 250 ms, each further one after twice as long.
    assert repairs <= 3 + math.log2((time.monotonic() - began) / 0.25), process.lines
    wait_until(lambda: sluice(world.pod, "check", status=None).status == DONE, "peace")


def test_foreign_changes_are_told_to_nobody(world):
    sluice(world.pod, "apply")
    process = watch(world, "--repair")
    for n in range(20):
        world.pod.nft(f"table inet t{n} {{ }}")
    delete_redirect(world, "nft")
    process.wait_line("repaired: ")
    wait_until(lambda: process.output.count("over: "), "the end of the drift")
    assert process.output.count("drift: ") == 1, process.lines


def test_a_storm_of_changes_does_not_hide_drift(world):
    sluice(world.pod, "apply")
    process = watch(world)
    loop = "while :; do nft add table inet x; nft delete table inet x; done"
    storms = [world.keep(Process(["bash", "-c", loop], netns=world.pod), "end")
              for _ in range(3)]
    wait_until(lambda: "table inet x" in world.pod.ruleset(), "the storm")
    delete_redirect(world, "nft")
    process.wait_line("drift: missing rule: ")
    for storm in storms:
        storm.end()


def test_repair_needs_watch(world):
    sluice(world.pod, "check", "--repair", status=USAGE).one_error(USAGE, "--repair", "--watch")
