# SPDX-License-Identifier: GPL-2.0-or-later
"""Applying: again, changed, from every source of options, by every way into a namespace."""
import os
import re
import threading

import pytest

from lib.machine import not_in_a_chroot
from lib.netns import Netns
from lib.proc import Process
from lib.sluice import DONE, DRIFT, FAILED, SLUICE, USAGE, environment, sluice
from lib.witness import Beat, ask
from lib.world import ANY, OUTSIDE, OUTSIDE_FAR, POD

LONG = "--heartbeat-timeout=60s"


def test_twice_is_once(world):
    first = sluice(world.pod, "apply")
    assert first.out.startswith("sluice: applied: ") and first.out.count("\n") == 1
    assert first.err == ""
    before = world.pod.ruleset()
    second = sluice(world.pod, "apply")
    assert second.out.startswith("sluice: nothing to change: ") and second.out.count("\n") == 1
    assert world.pod.ruleset() == before, "not even a handle may change"


def test_lists_in_another_order_are_the_same_plan(world):
    sluice(world.pod, "apply", "--outbound-exclude-ports=80,81,90-95", "--exclude-uids=5,6")
    before = world.pod.ruleset()
    again = sluice(world.pod, "apply", "--exclude-uids=5-6",
                   "--outbound-exclude-ports=93-95,80", "--outbound-exclude-ports=81,90-94")
    assert again.out.startswith("sluice: nothing to change: ")
    assert world.pod.ruleset() == before


def test_the_network_of_a_node_is_refused(world, family):
    """As a container whose pod has hostNetwork would find it, told so by its environment."""
    before = world.pod.ruleset()
    done = sluice(world.pod, "apply", env={"SLUICE_NODE_ADDRESS": POD[family]}, status=FAILED)
    assert "--node-address" in done.err and POD[family] in done.err and "hostNetwork" in done.err
    assert world.pod.ruleset() == before
    for elsewhere in (OUTSIDE[family], ""):
        sluice(world.pod, "apply", env={"SLUICE_NODE_ADDRESS": elsewhere})
        sluice(world.pod, "check")
    sluice(world.pod, "apply", "--node-address=web", status=USAGE)


@pytest.fixture
def pod(world):
    """A pod with all listeners, and servers outside."""
    for family in (4, 6):
        for port in (80, 81, 82):
            world.witness(world.client).listen(ANY[family], port)
            world.witness().listen(ANY[family], port)
    world.witness().listen_proxy()
    return world


@pytest.mark.usefixtures("backend")
def test_changed_options_replace_the_plan(pod, family):
    sluice(pod.pod, "apply", LONG, "--outbound-exclude-ports=80")
    pod.beat()
    assert pod.outbound(OUTSIDE[family], 80)["by"] == "app"
    assert pod.outbound(OUTSIDE[family], 81)["by"] == "outbound"
    sluice(pod.pod, "apply", LONG, "--outbound-exclude-ports=81")
    assert pod.outbound(OUTSIDE[family], 80)["by"] == "outbound", "armed, without another beat"
    assert pod.outbound(OUTSIDE[family], 81)["by"] == "app"
    sluice(pod.pod, "check", LONG, "--outbound-exclude-ports=81")
    sluice(pod.pod, "check", LONG, "--outbound-exclude-ports=80", status=DRIFT)


def test_a_swap_leaves_no_sets_behind(pod):
    for n in range(5):
        sluice(pod.pod, "apply", f"--outbound-exclude-ports={8000 + n}-{9000 + n}")
    swapped = pod.pod.run(["nft", "list", "sets"]).count("set ")
    sluice(pod.pod, "remove")
    sluice(pod.pod, "apply", "--outbound-exclude-ports=8000-9000")
    assert pod.pod.run(["nft", "list", "sets"]).count("set ") == swapped


@pytest.mark.usefixtures("backend")
def test_environment_and_command_line(pod):
    env = {"SLUICE_OUTBOUND_EXCLUDE_PORTS": "80,81", "SLUICE_HEARTBEAT_TIMEOUT": "60s",
           "SLUICE_EXCLUDE_UIDS": "", "SLUICE_INBOUND": "off"}
    sluice(pod.pod, "apply", env=env)
    pod.beat()
    assert pod.outbound(OUTSIDE[4], 81)["by"] == "app"
    assert pod.outbound(OUTSIDE[4], 82)["by"] == "outbound"
    assert pod.inbound(POD[4], 80)["by"] == "app"
    sluice(pod.pod, "apply", "--outbound-exclude-ports=82", "--inbound=on", env=env)
    assert pod.outbound(OUTSIDE[4], 82)["by"] == "app"
    assert pod.outbound(OUTSIDE[4], 81)["by"] == "outbound", "the command line beats it"
    assert pod.inbound(POD[4], 80)["by"] == "inbound"


@pytest.mark.usefixtures("backend")
def test_lists_from_files(pod, tmp_path):
    ports = tmp_path / "ports"
    ports.write_text("# ports that stay direct\n80, 443\n\n8000-9000 # a range\n")
    cidrs = tmp_path / "cidrs"
    cidrs.write_text("203.0.113.0/24\n2001:db8:1::/64")
    sluice(pod.pod, "apply", LONG, f"--outbound-exclude-ports=@{ports}",
           "--outbound-exclude-ports=81", f"--outbound-exclude-cidrs=@{cidrs}")
    pod.beat()
    for port, by in ((80, "app"), (81, "app"), (82, "outbound")):
        assert pod.outbound(OUTSIDE[4], port)["by"] == by
    for family in (4, 6):
        assert pod.outbound(OUTSIDE_FAR[family], 82)["by"] == "app"


def many_cidrs():
    """10,000 disjoint blocks of both families, none of which touches another."""
    ipv4 = [f"20.{n // 128}.{n % 128 * 2}.0/24" for n in range(5000)]
    ipv6 = [f"2001:db9:{n * 2:x}::/48" for n in range(5000)]
    return ipv4 + ipv6


@pytest.mark.usefixtures("backend")
def test_ten_thousand_cidrs(pod, tmp_path):
    listed = tmp_path / "cidrs"
    listed.write_text("\n".join(many_cidrs()))
    option = f"--outbound-exclude-cidrs=@{listed}"
    sluice(pod.pod, "apply", LONG, option)
    sluice(pod.pod, "check", LONG, option)
    assert sluice(pod.pod, "apply", LONG, option).out.startswith("sluice: nothing to change: ")
    pod.beat()
    inside = ["20.0.0.1", "20.19.10.255", "20.39.14.0", "2001:db9::1", "2001:db9:270e:ffff::1"]
    beyond = ["19.255.255.255", "20.0.1.0", "20.39.15.0", "2001:db9:1::1", "2001:db9:270f::1"]
    pod.client.ip(*(f"addr add {a} dev lo" for a in inside + beyond))
    pod.wait_addresses()
    assert {a: pod.outbound(a, 80)["by"] for a in inside} == dict.fromkeys(inside, "app")
    assert {a: pod.outbound(a, 80)["by"] for a in beyond} == dict.fromkeys(beyond, "outbound")
    listed.write_text("\n".join(many_cidrs()[:-1]))
    sluice(pod.pod, "check", LONG, option, status=DRIFT)
    sluice(pod.pod, "apply", LONG, option)
    assert pod.outbound("2001:db9:270e:ffff::1", 80)["by"] == "outbound"


@pytest.mark.usefixtures("backend")
def test_a_thousand_port_ranges(pod, tmp_path):
    """Both ways, with a hole between two of them; one fewer is another plan."""
    ranges = ["79-80", "82"] + [f"{1000 + 50 * n}-{1020 + 50 * n}" for n in range(998)]
    listed = tmp_path / "ports"
    listed.write_text("\n".join(ranges))
    options = [f"--{way}-exclude-ports=@{listed}" for way in ("inbound", "outbound")]
    sluice(pod.pod, "apply", LONG, *options)
    sluice(pod.pod, "check", LONG, *options)
    assert sluice(pod.pod, "apply", LONG, *options).out.startswith("sluice: nothing to change: ")
    pod.beat()
    for port in (80, 82):
        assert pod.inbound(POD[4], port)["by"] == pod.outbound(OUTSIDE[6], port)["by"] == "app"
    assert pod.inbound(POD[4], 81)["by"] == "inbound"
    assert pod.outbound(OUTSIDE[6], 81)["by"] == "outbound"
    listed.write_text("\n".join(ranges[1:]))
    sluice(pod.pod, "check", LONG, *options, status=DRIFT)
    sluice(pod.pod, "apply", LONG, *options)
    assert pod.inbound(POD[4], 80)["by"] == "inbound"


def test_the_network_namespace_of_a_process(pod):
    sleeper = pod.keep(Process(["sleep", "600"], netns=pod.pod), "end")
    here = pod.netns()
    sluice(here, "apply", LONG, f"--netns={sleeper.pid}")
    pod.beat()
    assert pod.inbound(POD[4], 80)["by"] == "inbound"
    assert "sluice" not in here.ruleset()
    sluice(here, "check", LONG, f"--netns={sleeper.pid}")
    sluice(here, "remove", f"--netns={sleeper.pid}")
    assert "sluice" not in pod.pod.ruleset()


def test_the_network_namespace_at_a_path(pod):
    here = pod.netns()
    sluice(here, "apply", LONG, f"--netns={pod.pod.path}")
    pod.beat()
    assert pod.inbound(POD[6], 80)["by"] == "inbound"
    assert "sluice" not in here.ruleset()
    sluice(here, "remove", f"--netns={pod.pod.path}")
    assert "sluice" not in pod.pod.ruleset()


@not_in_a_chroot
@pytest.mark.parametrize("options,who", [([], "user 1337"),
                                         (["--proxy-uid=0", "--exclude-gids=0,7"], "group 7")])
def test_an_owner_that_the_user_namespace_has_not(world, options, who, tmp_path):
    """As under 'unshare -r', which maps root alone: the legacy tables know nobody else."""
    sleeper = world.keep(Process(["unshare", "-r", "-n", "sh", "-c", "echo in; exec sleep 600"]),
                         "end")
    sleeper.wait_line("in")
    userns = os.open(f"/proc/{sleeper.pid}/ns/user", os.O_RDONLY)
    world.stack.callback(os.close, userns)
    pod = world.keep(Netns(os.open(f"/proc/{sleeper.pid}/ns/net", os.O_RDONLY)))
    lock = tmp_path / "lock"
    lock.touch()
    pod.environment.update(XTABLES_LOCKFILE=str(lock))
    done = sluice(pod, "apply", LONG, "--backend=iptables", *options, userns=userns, status=None)
    done.one_error(FAILED, f"this user namespace has no {who}, ")
    sluice(pod, "apply", LONG, "--backend=iptables", "--proxy-uid=0", userns=userns)


@not_in_a_chroot
@pytest.mark.parametrize("carrier", ["nft", "iptables"])
def test_in_a_user_namespace(world, carrier, tmp_path):
    """As in a pod with hostUsers: false. Its root is uid 100000 outside; 1337 is 101337."""
    sleeper = world.keep(Process(["unshare", "-U", "-n", "sh", "-c", "echo in; exec sleep 600"]),
                         "end")
    sleeper.wait_line("in")
    for name in ("gid_map", "uid_map"):
        with open(f"/proc/{sleeper.pid}/{name}", "w", encoding="ascii") as f:
            f.write("0 100000 65536")
    userns = os.open(f"/proc/{sleeper.pid}/ns/user", os.O_RDONLY)
    world.stack.callback(os.close, userns)
    pod = world.keep(Netns(os.open(f"/proc/{sleeper.pid}/ns/net", os.O_RDONLY)))
    lock = tmp_path / "lock"
    lock.touch()
    lock.chmod(0o666)
    for parent in list(lock.parents)[:-2]:
        parent.chmod(0o755)
    pod.environment.update(SLUICE_BACKEND=carrier, XTABLES_LOCKFILE=str(lock))
    world.client.ip(f"link add u0 type veth peer name eth0 netns {pod.path}",
                    "link set u0 up", "addr add 10.79.0.1/24 dev u0")
    pod.ip("link set eth0 up", "addr add 10.79.0.2/24 dev eth0",
           "route add default via 10.79.0.1")
    world.witness(world.client).listen("0.0.0.0", 80)
    w = world.witness(pod)
    w.listen("0.0.0.0", 80)
    w.listen_proxy()
    sluice(pod, "apply", LONG, userns=userns)
    sluice(pod, "check", LONG, userns=userns)
    assert world.keep(Beat(pod, 1337))() == [False, False]
    assert world.keep(Beat(pod, 101337))() == [True, True]
    assert world.inbound("10.79.0.2", 80)["by"] == "inbound"
    assert ask(pod, OUTSIDE[4], 80, uid=101000)["by"] == "outbound"
    assert ask(pod, OUTSIDE[4], 80, uid=101337)["by"] == "app"
    sluice(pod, "remove", userns=userns)
    assert "sluice" not in pod.ruleset()


@pytest.mark.usefixtures("backend")
def test_twenty_that_race(pod):
    """All succeed, and one of their plans is there, whole; the switch is as it was."""
    sluice(pod.pod, "apply", LONG)
    pod.beat()
    plans = [f"--outbound-exclude-ports={2000 + n}-3000" for n in range(20)]
    env = environment({**pod.pod.environment, "SLUICE_LOCK_TIMEOUT": "2m"})
    racing = [pod.keep(Process([SLUICE, "apply", LONG, plan], netns=pod.pod, env=env), "end")
              for plan in plans]
    assert [(p.wait(), p.output) for p in racing if p.wait() != 0] == []
    holding = [plan for plan in plans
               if sluice(pod.pod, "check", LONG, plan, status=None).status == DONE]
    assert len(holding) == 1
    assert pod.inbound(POD[4], 80)["by"] == "inbound"


@pytest.mark.usefixtures("backend")
def test_no_connection_meets_neither_plan(pod):
    """Plans are swapped while connections are made; both redirect all of them. (One beat is enough,
    but where the machine takes long.)"""
    answers, stop = [], threading.Event()

    def connect():
        while not stop.is_set():
            answers.append(pod.inbound(POD[4], 80)["by"])

    sluice(pod.pod, "apply", LONG)
    pod.stay_armed()
    threads = [threading.Thread(target=connect) for _ in range(2)]
    for t in threads:
        t.start()
    try:
        for n in range(150):
            sluice(pod.pod, "apply", LONG, f"--inbound-exclude-ports={1000 + n}-2000")
            pod.stay_armed()
    finally:
        stop.set()
        for t in threads:
            t.join()
    assert len(answers) > 500
    assert [a for a in answers if a != "inbound"] == []


@pytest.mark.usefixtures("backend")
def test_what_it_says(world, backend):
    """Numbers and their nouns; the first plan is applied, another one changes it."""
    bare = ["--inbound=off"]
    first = sluice(world.pod, "apply", *bare, "--outbound-exclude-ports=1-10,22").out
    count = re.match(r"sluice: applied: (\d+) rules", first)[1]
    assert (", 1 set of 2 ranges, " in first) == (backend == "nft"), first
    assert sluice(world.pod, "check", *bare, "--outbound-exclude-ports=1-10,22").out == \
        f"sluice: the kernel holds the plan: {count} rules" + \
        ("\n" if backend == "nft" else " in the legacy tables\n")
    second = sluice(world.pod, "apply", *bare, "--exclude-uids=5-9").out
    assert second.startswith("sluice: changed: ")
    assert (", 1 set of 1 range, " in second) == (backend == "nft"), second
    third = sluice(world.pod, "apply", *bare).out
    assert third.startswith("sluice: changed: ") and "set" not in third
    assert sluice(world.pod, "remove").out == "sluice: removed: the rules\n"
    assert sluice(world.pod, "apply", *bare).out.startswith("sluice: applied: ")


@pytest.mark.usefixtures("backend")
def test_check_with_other_options_says_how_to_ask(world, backend):
    """Only where that can be it: not without a plan, nor when somebody else had a hand in it."""
    hint = "the same --config, as apply"
    assert hint not in sluice(world.pod, "check", status=DRIFT).err
    sluice(world.pod, "apply", "--exclude-uids=5", "--outbound=off")
    done = sluice(world.pod, "check", status=DRIFT)
    assert done.err.count("\n") == 1 and hint in done.err
    sluice(world.pod, "apply")
    world.pod.run(["nft", "insert", "rule", "inet", "sluice", "outbound", "accept"]
                  if backend == "nft" else
                  ["iptables-legacy", "-t", "nat", "-I", "SLUICE_OUTBOUND", "-j", "ACCEPT"])
    assert sluice(world.pod, "check", status=DRIFT).err == ""
