# SPDX-License-Identifier: GPL-2.0-or-later
"""Ten thousand slow connections: bounded memory for each, given back, and nobody else slowed down."""
import pytest

from lib.proc import wait_until
from lib.randomly import times
from lib.sluice import sanitized, sluice
from lib.storm import Storm, StormServer
from lib.world import APP_UID, CLIENT, POD

KIB = 1 << 10
# Of each kind; three kinds at once.
COUNT = 300 if sanitized() else times(600, 3334)
SIZE = 96 * KIB
# Resident bytes a connection, at most: docs/operations.md.
BOUND = {"slow-send": 2 * KIB, "slow-read": 66 * KIB, "slow-half": 66 * KIB}


def resident(proxy):
    return proxy.metrics().sum("process_resident_memory_bytes")


def settled(proxy):
    """The metrics once all who wait in the queues have been accepted, and one round later."""
    def waiting():
        queues = proxy.netns.run(["ss", "-ltnH"]).splitlines()
        return sum(int(line.split()[1]) for line in queues)

    wait_until(lambda: waiting() == 0, "the queues to be empty")
    before = proxy.metrics().sum("sluice_loop_rounds_total")
    return wait_until(lambda: (m := proxy.metrics()).sum("sluice_loop_rounds_total") >= before + 2 and m,
                      "what was accepted to be counted")


@pytest.mark.timeout(600)
@pytest.mark.parametrize("inbound", [True, False], ids=["inbound", "outbound"])
def test_slow_connections(world, start_proxy, inbound):
    sluice(world.pod, "apply")
    proxy = start_proxy("--max-memory=2GiB")
    proxy.wait_armed()
    client, server = (world.client, world.pod) if inbound else (world.pod, world.client)
    address, identity = (POD if inbound else CLIENT)[4], {} if inbound else {"uid": APP_UID}
    client.sysctl("net/ipv4/ip_local_port_range", "10000 65535")
    # So that what a slow reader has not read stays with the proxy, and not in the kernel.
    world.pod.sysctl("net/ipv4/tcp_wmem", "4096 16384 16384")
    world.keep(StormServer(server, address, 80, SIZE), "end")
    world.keep(StormServer(server, address, 81), "end")

    def storm(kind, port, size=100, **more):
        return world.keep(Storm(client, kind, address, port, size=size, **more, **identity), "end")

    good = storm("keepalive", 81, at_once=2)
    wait_until(lambda: proxy.metrics().sum("sluice_connections_active", server_port=81) == 2,
               "those who behave")
    before, taken = resident(proxy), 2
    storms = []
    for kind, bound in BOUND.items():
        last = resident(proxy)
        # The last tenth must do for what comes until the kernel has noticed that the heart rests.
        held = storm(kind, 80, SIZE, count=COUNT, at_once=0, rate=1000)
        held.wait_line("held", timeout=240)
        storms.append(held)
        m = settled(proxy)
        had, taken = taken, m.sum("sluice_connections_active")
        print(f"{kind}: {taken - had:.0f} connections, "
              f"{(resident(proxy) - last) / max(taken - had, 1) / KIB:.1f} KiB each")
        if not sanitized():
            assert resident(proxy) - last < bound * (taken - had) + 256 * KIB
    # What is beyond 90 % of the limit went direct, and so did what came while the proxy starved.
    assert taken > COUNT
    print(f"{taken:.0f} of {len(BOUND) * COUNT + 2} at once")
    assert m.sum("sluice_backlog_bytes") <= 2 * 64 * KIB * taken
    for held in storms:
        held.popen.stdin.write("go on\n")
        held.tell_to_end()
    for held in storms:
        assert held.told(timeout=300) == {"requests": COUNT, "connections": COUNT, "bad": 0,
                                          "failed": 0}
    told = good.end_load()
    assert told["bad"] == told["failed"] == 0
    m = proxy.settled("inbound" if inbound else "outbound", taken)
    kind = "server" if inbound else "client"
    assert m.sum(f"http_{kind}_request_duration_seconds_count", server_port=80) == \
        m.sum("sluice_connections_opened_total", server_port=80) == taken - 2
    assert m.sum(f"http_{kind}_request_duration_seconds_count", server_port=81) == told["requests"]
    assert m.sum("sluice_backlog_bytes") == m.sum("sluice_observer_lost_total") == 0
    if not sanitized():
        wait_until(lambda: resident(proxy) < before + 1024 * KIB, "memory to be given back")
        print(f"resident: {before / KIB:.0f} KiB before, {resident(proxy) / KIB:.0f} after; "
              f"others: {told['requests']} requests meanwhile")
