# SPDX-License-Identifier: GPL-2.0-or-later
"""verify: proves what is there, misses nothing that is not, and leaves nothing behind."""
import re
import signal

import pytest

from lib.patience import PATIENCE
from lib.proc import Process, stopped, wait_until
from lib.proxy import Proxy
from lib.sluice import DONE, DRIFT, FAILED, SLUICE, environment, sluice
from lib.world import OUTSIDE

OPTIONS = ["--outbound-exclude-ports=2200,8000-8999", "--outbound-exclude-cidrs=10.0.0.0/8,fd00::/8",
           "--exclude-uids=7-9", "--include-gids=1-3000", "--inbound-exclude-ports=2222",
           "--inbound-exclude-cidrs=172.16.0.0/12,fd12::/16"]
LINE = re.compile(r"(ok|FAILED|not tried) +(\S+): (.*)")


def outcomes(done):
    """Every check as (outcome, row, text)."""
    return [found.groups() for found in map(LINE.match, done.out.splitlines()) if found]


def rows(done, outcome):
    return {row for word, row, _ in outcomes(done) if word == outcome}


def traces(netns):
    """What verify could leave: links, addresses, routes, routing rules."""
    return [netns.run(["ip", *what]) for what in (
        ["-o", "link"], ["-o", "addr"], ["route", "show", "table", "all"], ["rule"],
        ["-6", "route", "show", "table", "all"], ["-6", "rule"])]


@pytest.fixture
def applied(world, backend):
    del backend
    sluice(world.pod, "apply", *OPTIONS)
    return world


def test_a_whole_plan_is_verified_without_a_trace(applied):
    before = traces(applied.pod)
    done = sluice(applied.pod, "verify", *OPTIONS)
    assert rows(done, "FAILED") == set(), done.out
    assert rows(done, "ok") >= {
        "rules", "beat", "out-redirect", "out-proxy", "out-local", "out-linklocal", "out-owner",
        "out-port-excl", "out-cidr-excl", "out-dead", "in-redirect", "in-own", "in-port-excl",
        "in-cidr-excl", "in-closed", "in-dead", "in-forward"}, done.out
    for row in ("out-redirect", "in-redirect", "out-cidr-excl"):
        texts = " ".join(text for word, r, text in outcomes(done) if (word, r) == ("ok", row))
        assert "IPv4" in texts and "IPv6" in texts, texts
    assert traces(applied.pod) == before
    sluice(applied.pod, "verify", *OPTIONS)


@pytest.mark.parametrize("options", [
    ["--outbound-include-cidrs=10.0.0.0/8,fd00::/8", "--outbound-include-ports=443",
     "--fail=closed", "--inbound-closed=redirect", "--inbound-include-ports=8080"],
    ["--inbound-mode=tproxy"],
    ["--outbound=off"],
    ["--inbound=off", "--proxy-gid=77", "--include-uids=500"],
], ids=["includes", "tproxy", "inbound", "outbound"])
def test_other_plans(world, backend, options):
    del backend
    sluice(world.pod, "apply", *options)
    done = sluice(world.pod, "verify", *options)
    assert len([1 for word, _, _ in outcomes(done) if word == "ok"]) >= 9, done.out


def test_three_at_once_take_turns(applied):
    """None takes another's listeners for a proxy."""
    before = traces(applied.pod)
    running = [applied.keep(Process([SLUICE, "verify", *OPTIONS], netns=applied.pod,
                                    env=environment(applied.pod.environment)), "end")
               for _ in range(3)]
    alone = sluice(applied.pod, "verify", *OPTIONS)
    for process in running:
        assert process.wait(2 * PATIENCE) == DONE, process.output
        assert process.lines[-1] == alone.out.splitlines()[-1], process.output
    assert "at work in this namespace: waiting" in alone.err + "".join(
        process.output for process in running)
    assert traces(applied.pod) == before


def test_nothing_applied_fails(world, backend):
    del backend
    done = sluice(world.pod, "verify", status=DRIFT)
    assert rows(done, "FAILED") >= {"rules", "beat", "out-redirect", "in-redirect"}, done.out


def nft_rules(world):
    """(name of the chain, handle, row) of every rule."""
    chain, found = None, []
    for line in world.pod.run(["nft", "-a", "list", "table", "inet", "sluice"]).splitlines():
        started = re.match(r"\tchain (\S+) \{", line)
        rule = re.search(r'comment "([a-z-]+)" # handle (\d+)$', line)
        chain = started[1] if started else chain
        if rule:
            found.append((chain, rule[2], rule[1]))
    return found


# No connection shows these: what stays here is settled on its way out.
SILENT = {"in-local"}


@pytest.mark.timeout(300)
def test_every_missing_rule_is_noticed_by_a_connection(world):
    """On nftables: also without comparing rules at all."""
    options = OPTIONS
    sluice(world.pod, "apply", *options)
    for n, (_, _, row) in enumerate(nft_rules(world)):
        chain, handle, row = nft_rules(world)[n]
        world.pod.nft(f"delete rule inet sluice {chain} handle {handle}")
        done = sluice(world.pod, "verify", *options, status=DRIFT)
        noticed = rows(done, "FAILED")
        assert "rules" in noticed
        assert noticed - {"rules"} or row in SILENT, (row, done.out)
        sluice(world.pod, "apply", *options)


@pytest.mark.timeout(300)
@pytest.mark.parametrize("program", ["iptables-legacy", "ip6tables-legacy"])
def test_every_missing_legacy_rule_is_noticed(world, program):
    world.pod.environment["SLUICE_BACKEND"] = "iptables"
    sluice(world.pod, "apply")
    listed = world.pod.run([program, "-t", "nat", "-S"]).splitlines()
    places, counts = [], {}
    for line in listed:
        if line.startswith("-A "):
            chain = line.split()[1]
            counts[chain] = counts.get(chain, 0) + 1
            places.append((chain, counts[chain], line))
    assert len(places) > 12
    for chain, number, line in places:
        world.pod.run([program, "-t", "nat", "-D", chain, str(number)])
        done = sluice(world.pod, "verify", status=DRIFT)
        noticed = rows(done, "FAILED")
        assert "rules" in noticed
        assert noticed - {"rules"} or "in-local" in line, (line, done.out)
        sluice(world.pod, "apply")


def test_a_network_that_leads_nowhere_fools_nobody(applied):
    """Routes, or the lack of them, are neither redirects nor their lack."""
    applied.pod.run(["ip", "-6", "route", "del", "default"])
    applied.pod.ip("route del default", "link set eth0 down", "link set net1 down")
    sluice(applied.pod, "verify", *OPTIONS)
    sluice(applied.pod, "remove")
    done = sluice(applied.pod, "verify", *OPTIONS, status=DRIFT)
    assert {"out-redirect", "in-redirect"} <= rows(done, "FAILED"), done.out


def test_a_foreign_rule_that_takes_connections_is_noticed(applied):
    applied.pod.nat("output", "tcp dport 18206 redirect to :9", priority=-160)
    done = sluice(applied.pod, "verify", *OPTIONS, status=DRIFT)
    assert "out-redirect" in rows(done, "FAILED") and "rules" in rows(done, "ok"), done.out


def test_a_foreign_drop_is_noticed(applied):
    applied.pod.nft("table inet t { chain c { type filter hook output priority 10; "
                    "meta l4proto tcp drop; } }")
    done = sluice(applied.pod, "verify", *OPTIONS, status=DRIFT)
    assert "out-proxy" in rows(done, "FAILED"), done.out


def test_beside_a_living_proxy(applied):
    # Alive throughout, however busy the machine is.
    options = [*OPTIONS, "--heartbeat-timeout=20s"]
    sluice(applied.pod, "apply", *options)
    proxy = applied.keep(Proxy(applied.pod, options[-1]), "end")
    wait_until(lambda: "IPv4 yes, IPv6 yes" in sluice(applied.pod, "status").out,
               "both families to be armed")
    done = sluice(applied.pod, "verify", *options)
    assert {"out-redirect", "in-redirect", "out-proxy", "out-local", "in-closed"} <= \
        rows(done, "ok"), done.out
    assert "out-dead" in rows(done, "not tried"), done.out
    assert alive_and_serving(applied, proxy)
    sluice(applied.pod, "remove")
    done = sluice(applied.pod, "verify", *options, status=DRIFT)
    assert rows(done, "FAILED") > {"rules"}, done.out


def test_a_port_that_is_taken_is_told_with_its_owner(applied):
    """The proxy's own, which is no fault, and anybody else's."""
    options = [*OPTIONS, "--heartbeat-timeout=20s"]
    sluice(applied.pod, "apply", *options)
    proxy = applied.keep(Proxy(applied.pod, options[-1]), "end")
    wait_until(lambda: "IPv4 yes, IPv6 yes" in sluice(applied.pod, "status").out,
               "both families to be armed")
    with applied.pod.socket(4) as other:
        other.bind(("0.0.0.0", 2222))
        other.listen()
        done = sluice(applied.pod, "verify", *options)
    untried = {row: text for word, row, text in outcomes(done)
               if word == "not tried" and "IPv4" in text}
    assert "the proxy serves port 9901 itself (--admin-port)" in untried["in-own"], done.out
    assert "somebody listens on port 2222 here already" in untried["in-port-excl"], done.out
    assert "Address already in use" not in done.out
    assert proxy.get("/ready")[0] == 200


def alive_and_serving(world, proxy):
    witness = world.witness(world.client)
    witness.listen(OUTSIDE[4], 80, "outside")
    answer = world.outbound(OUTSIDE[4], 80)
    return answer["by"] == "outside" and proxy.get("/ready")[0] == 200


def test_without_the_privilege_for_a_namespace(applied):
    """As in a container: what cannot be tried is named, the rest is tried."""
    before = traces(applied.pod)
    done = sluice(applied.pod, "verify", *OPTIONS, uid=0, gid=0,
                  caps=["net_admin", "net_raw", "setuid", "setgid"])
    assert {"out-redirect", "out-proxy", "out-cidr-excl"} <= rows(done, "ok"), done.out
    assert "in-redirect" not in rows(done, "ok")
    assert re.search(r"not tried +inbound: .*CAP_SYS_ADMIN", done.out)
    assert traces(applied.pod) == before


def start(world):
    """One that stands still amid its work, by SIGSTOP."""
    def at_work():
        return len(world.pod.run(["ip", "rule"]).splitlines()) > 3

    def caught():
        process = world.keep(Process([SLUICE, "verify", *OPTIONS], netns=world.pod,
                                     env=environment(world.pod.environment)), "end")
        while process.popen.poll() is None:
            if not at_work():
                continue
            process.signal(signal.SIGSTOP)
            wait_until(lambda: process.popen.poll() is not None or stopped(process.pid), "it to stop")
            if process.popen.poll() is None and at_work():
                return process
            process.signal(signal.SIGCONT)
        return None  # it was quicker than we are

    return wait_until(caught, "verify to be met at its work")


def test_where_nothing_can_be_tried_nothing_is_verified(applied):
    done = sluice(applied.pod, "verify", *OPTIONS, uid=0, gid=0, caps=["net_admin", "net_raw"],
                  status=FAILED)
    assert "CAP_SETUID" in done.out and "no connection could be tried" in done.err


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupted_it_cleans_up(applied, number):
    before = traces(applied.pod)
    process = start(applied)
    process.signal(number)
    process.signal(signal.SIGCONT)
    assert process.wait() == FAILED
    assert traces(applied.pod) == before
    assert sluice(applied.pod, "verify", *OPTIONS).status == DONE


def test_killed_it_leaves_nothing_that_the_next_run_does_not_take(applied):
    before = traces(applied.pod)
    process = start(applied)
    process.signal(signal.SIGKILL)
    process.wait()
    sluice(applied.pod, "verify", *OPTIONS)
    wait_until(lambda: traces(applied.pod) == before, "the namespace of the killed run to go")
