# SPDX-License-Identifier: GPL-2.0-or-later
"""status: what it says is so, what it cannot see it names, and it leaves no trace."""
import json

import pytest

from lib.proc import Process, wait_until
from lib.proxy import Proxy
from lib.sluice import sluice
from lib.world import OUTSIDE, POD


def status(world, **how):
    return json.loads(sluice(world.pod, "status", "--format=json", **how).out)


def test_nothing_is_there(world):
    found = status(world)
    assert not found["nftables"] and not found["legacy"] and found["neighbours"] == []
    assert found["unseen"] == [] and found["missing"] == []
    assert "none" in sluice(world.pod, "status").out


def test_it_says_which_backend_and_counts_by_row(world, backend, family):
    sluice(world.pod, "apply", "--outbound-exclude-ports=81", "--outbound-exclude-cidrs=" +
           ",".join(f"203.0.113.{n}" for n in range(2, 120, 2)) + ",2001:db8:1::/64")
    outside = world.witness(world.client)
    for port in (80, 81):
        outside.listen(OUTSIDE[family], port, "outside")
    world.witness().listen(POD[family], 80)
    assert status(world)["nftables" if backend == "nft" else "legacy"]
    before = status(world)["rows"]
    world.outbound(OUTSIDE[family], 80)
    world.outbound(OUTSIDE[family], 81)
    world.outbound(OUTSIDE[family], 81)
    world.outbound(OUTSIDE[family], 80, uid=1337)
    world.inbound(POD[family], 80)
    world.inbound(POD[family], 82)
    after = status(world)["rows"]
    grown = {row: after[row]["packets"] - before[row]["packets"] for row in after}
    wanted = {"out-dead": 1, "out-port-excl": 2, "out-proxy": 1, "in-dead": 1, "in-closed": 1,
              "out-redirect": 0, "in-redirect": 0, "out-cidr-excl": 0}
    assert {row: grown[row] for row in wanted} == wanted


def test_a_table_that_somebody_spoilt(world):
    """Both say what keeps the rules from doing what they say, and apply mends it."""
    sluice(world.pod, "apply", "--fail=closed", "--outbound-exclude-ports=22")
    found = status(world)
    assert found["dormant"] is False and found["dropping"] == []
    world.pod.nft("add chain inet sluice nat-output { policy drop; }")
    assert status(world)["dropping"] == ["nat-output"]
    assert "nat-output has POLICY DROP" in sluice(world.pod, "status").out
    ask = ["explain", "--live", f"--to={OUTSIDE[4]}:22"]
    assert sluice(world.pod, *ask).out.startswith("dropped: chain nat-output has policy drop")
    world.pod.nft("add table inet sluice { flags dormant; }")
    assert status(world)["dormant"] is True
    assert "DORMANT" in sluice(world.pod, "status").out
    ask[-1] = f"--to={OUTSIDE[4]}:80"
    assert sluice(world.pod, *ask).out == "direct: the table is dormant: no rule applies\n"
    sluice(world.pod, "apply", "--fail=closed", "--outbound-exclude-ports=22")
    assert status(world)["dormant"] is False and status(world)["dropping"] == []
    assert sluice(world.pod, *ask).out.startswith("to port 9001: ")


@pytest.mark.parametrize("options, fail", [
    ([], "open"), (["--fail=closed"], "closed"), (["--fail=closed", "--inbound=off"], "closed"),
    (["--fail=closed", "--outbound=off"], "closed"), (["--inbound=off"], "open"),
])
def test_says_what_fails(world, backend, options, fail):
    """Who finds that nothing answers is told that it is meant to be so."""
    del backend
    assert status(world)["fail"] == "open"
    sluice(world.pod, "apply", *options)
    assert status(world)["fail"] == fail
    assert ("; --fail=closed: " in sluice(world.pod, "status").out) == (fail == "closed")


def test_armed_ports_and_listeners(world, backend):
    del backend
    sluice(world.pod, "apply")
    found = status(world)
    assert found["armed"] == {"ipv4": "no", "ipv6": "no"}
    assert (found["inbound"]["first"], found["inbound"]["last"]) == (9211, 9226)
    assert found["outbound"]["first"] == 9001
    assert not found["inbound"]["listening"] and not found["outbound"]["listening"]
    assert "NOBODY listens" in sluice(world.pod, "status").out
    proxy = world.keep(Proxy(world.pod), "end")
    found = wait_until(lambda: [s for s in [status(world)] if s["armed"]["ipv6"] == "yes"],
                       "it to be armed")[0]
    assert found["armed"]["ipv4"] == "yes"
    assert found["inbound"]["listening"] and found["outbound"]["listening"]
    proxy.end()
    assert status(world)["armed"] == {"ipv4": "no", "ipv6": "no"} or \
        wait_until(lambda: status(world)["armed"] == {"ipv4": "no", "ipv6": "no"}, "disarming")


@pytest.mark.parametrize("program,where", [
    ("iptables-nft", "nftables ip nat"), ("ip6tables-nft", "nftables ip6 nat"),
    ("iptables-legacy", "legacy IPv4 nat"), ("ip6tables-legacy", "legacy IPv6 nat")])
@pytest.mark.parametrize("chain,owner", [
    ("ISTIO_OUTPUT", "Istio"), ("PROXY_INIT_OUTPUT", "Linkerd"), ("MESH_OUTPUT", "Kuma"),
    ("KUBE-SERVICES", "kube-proxy"), ("DOCKER", "Docker")])
def test_it_knows_who_else_redirects(world, program, where, chain, owner):
    world.pod.run([program, "-t", "nat", "-N", chain])
    world.pod.run([program, "-t", "nat", "-A", "OUTPUT", "-j", chain])
    sluice(world.pod, "apply")
    hooks = [n for n in status(world)["neighbours"] if n["hook"] and "OUTPUT" in n["where"]]
    assert len(hooks) == 1, hooks
    assert hooks[0]["where"].startswith(where) and owner in hooks[0]["owners"]
    assert hooks[0]["priority"] == -100 and hooks[0]["rules"] == 1
    assert ("iptables-nft" in hooks[0]["owners"]) == ("nft" in program)
    assert owner in sluice(world.pod, "status").out


def test_it_names_zones_and_exemptions_of_others(world):
    world.pod.nft("table inet t { chain c { type filter hook prerouting priority -300; "
                  "udp dport 7 notrack; tcp dport 7 ct zone set 5; tcp dport 8 accept; } }")
    world.pod.run(["iptables-legacy", "-t", "raw", "-A", "OUTPUT", "-p", "udp", "-j", "CT",
                   "--notrack"])
    found = {n["where"]: n["what"] for n in status(world)["neighbours"]}
    assert "legacy IPv4 raw, chain OUTPUT" in found
    whats = [n["what"] for n in status(world)["neighbours"] if "inet t" in n["where"]]
    assert sorted(whats) == ["conntrack zone", "notrack"]


def tables(world):
    with world.pod.entered():
        names = []
        for family in ("ip", "ip6"):
            with open(f"/proc/thread-self/net/{family}_tables_names", encoding="ascii") as f:
                names.append(f.read())
    return names


def test_looking_leaves_no_trace(world):
    """No legacy table is made, no rule, and nobody who listens to nftables is told a thing."""
    sluice(world.pod, "apply")
    before = world.pod.ruleset(), tables(world)
    monitor = world.keep(Process(["stdbuf", "-oL", "nft", "monitor"], netns=world.pod), "end")

    def told():
        world.pod.nft("table inet first { }")
        world.pod.nft("delete table inet first")
        return monitor.lines

    wait_until(told, "nft to listen")
    status(world)
    world.pod.nft("table inet last { }")
    monitor.wait_line("last")
    assert not [line for line in monitor.lines if "sluice" in line], monitor.lines
    assert all("first" in line or "last" in line or line.startswith("#")
               for line in monitor.lines), monitor.lines
    world.pod.nft("delete table inet last")
    assert (world.pod.ruleset(), tables(world)) == before


def test_without_privileges_it_says_what_it_cannot_see(world):
    sluice(world.pod, "apply")
    done = sluice(world.pod, "status", uid=65534, gid=65534, caps=[])
    assert done.err == "" and "CAP_NET_ADMIN" in done.out and "not seen:" in done.out
    assert "conntrack" in done.out
    found = status(world, uid=65534, gid=65534, caps=[])
    assert len(found["unseen"]) >= 3 and not found["nftables"]


def test_net_admin_alone_sees_nftables(world):
    sluice(world.pod, "apply")
    found = status(world, uid=65534, gid=65534, caps=["net_admin"])
    assert found["nftables"] and found["rows"]["out-redirect"]["packets"] == 0
    assert all("legacy" in why for why in found["unseen"]), found["unseen"]
