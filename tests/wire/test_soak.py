# SPDX-License-Identifier: GPL-2.0-or-later
"""All kinds of traffic at once, as fast as it goes: memory and descriptors stay flat, counts exact.

SOAK_SECONDS says for how long; `make soak` for ten minutes.
"""
import os
import statistics
import time

import pytest

from lib.proc import children
from lib.randomly import times
from lib.sluice import sanitized, sluice
from lib.storm import HELLO, Storm, StormServer
from lib.world import APP_UID, CLIENT, POD

SECONDS = int(os.environ.get("SOAK_SECONDS") or times(8 if sanitized() else 15, 600))
PATIENT = "--heartbeat-timeout=20s"
KIB = 1 << 10
SIZES = {80: 100, 81: 16 * KIB, 82: 1 << 20}
# Kind, port, connections at once, connections a second (0: any), and what an echo begins with.
LOADS = [("keepalive", 80, 4, 0), ("keepalive", 81, 2, 0), ("keepalive", 82, 1, 0),
         ("new", 80, 2, 100), ("abort", 80, 2, 50), ("half", 80, 2, 50), ("new", 82, 1, 10),
         ("http2", 80, 2, 0), ("grpc", 80, 2, 0), ("echo", 80, 2, 50), ("echo", 80, 2, 50, HELLO)]
HTTP1 = ("keepalive", "new", "abort", "half")


def answer(port):
    return len(f"HTTP/1.1 200 OK\r\nContent-Length: {SIZES[port]}\r\n\r\n") + SIZES[port]


class Watch:
    """What the proxy's processes have: [(seconds, resident KiB, descriptors)]."""

    def __init__(self, proxy):
        self.proxy, self.began, self.samples = proxy, time.monotonic(), []

    def look(self):
        resident = descriptors = 0
        for pid in (self.proxy.pid, *children(self.proxy.pid)):
            with open(f"/proc/{pid}/statm", encoding="ascii") as f:
                resident += int(f.read().split()[1]) * 4
            descriptors += len(os.listdir(f"/proc/{pid}/fd"))
        now = time.monotonic() - self.began
        self.samples.append((now, resident, descriptors))
        return now

    def thirds(self, what):
        """The medians of the first and the last third, without the warm-up."""
        rest = [s[what] for s in self.samples[len(self.samples) // 5:]]
        third = len(rest) // 3
        return statistics.median(rest[:third]), statistics.median(rest[-third:])


class Direction:
    """The loads of one direction."""

    def __init__(self, world, name, proxy):
        inbound = name == "inbound"
        client, server = (world.client, world.pod) if inbound else (world.pod, world.client)
        address = (POD if inbound else CLIENT)[4]
        self.name, self.kind, self.loads = name, "server" if inbound else "client", []
        for port, size in SIZES.items():
            world.keep(StormServer(server, address, port, size), "end")
        for kind, port, at_once, rate, *first in LOADS:
            storm = Storm(client, kind, address, port, at_once=at_once, rate=rate,
                          size=3000 if kind == "echo" else SIZES[port],
                          first=first[0] if first else "00", uid=None if inbound else APP_UID)
            self.loads.append((world.keep(storm, "end"), kind, port, bool(first)))

    def end(self):
        for storm, *_ in self.loads:
            storm.tell_to_end()
        self.told = [(storm.told(), kind, port, tls) for storm, kind, port, tls in self.loads]
        for told, kind, port, _ in self.told:
            print(f"{self.name} {kind} {port}: {told}", flush=True)
            assert told["bad"] == told["failed"] == 0 and told["requests"] > 0
        return sum(told["connections"] for told, *_ in self.told)

    def requests(self, *kinds, port=None, what="requests"):
        return sum(told[what] for told, kind, p, _ in self.told
                   if kind in kinds and port in (None, p))

    def check(self, m):
        """The proxy counted what the clients did."""
        where = {"direction": self.name}
        http = f"http_{self.kind}_request_duration_seconds_count"
        assert m.by(http, "network_protocol_version") == {
            "1.1": self.requests(*HTTP1), "2": self.requests("http2")}
        assert m.sum(http, http_response_status_code=200) == m.sum(http)
        assert m.by(f"rpc_{self.kind}_call_duration_seconds_count",
                    "rpc_response_status_code") == {"OK": self.requests("grpc")}
        assert m.sum("sluice_rpc_messages_total", way="to_server", **where) == \
            self.requests("grpc")
        for port in SIZES:
            assert m.sum("sluice_bytes_total", way="to_client", protocol="http1",
                         server_port=port, **where) == \
                self.requests(*HTTP1, port=port) * answer(port)
            assert m.sum("sluice_connections_opened_total", server_port=port, **where) == \
                sum(told["connections"] for told, _, p, _ in self.told if p == port)
        tls = sum(told["connections"] for told, *_, is_tls in self.told if is_tls)
        assert m.sum("sluice_tls_handshakes_total", sni="soak.test", version="1.3",
                     **where) == tls
        total = sum(told["connections"] for told, *_ in self.told)
        aborted = self.requests("abort", what="connections")
        assert m.by("sluice_connections_closed_total", "outcome", **where) == {
            "closed": total - aborted, "reset_by_client": aborted}


@pytest.mark.timeout(SECONDS + 300)
def test_soak(world, start_proxy):
    sluice(world.pod, "apply", PATIENT)
    proxy = start_proxy(PATIENT)
    proxy.wait_armed()
    watch = Watch(proxy)
    watch.look()
    _, _, idle_descriptors = watch.samples.pop()
    directions = [Direction(world, name, proxy) for name in ("inbound", "outbound")]
    told = 0
    while (now := watch.look()) < SECONDS:
        if now >= told:
            told += max(SECONDS / 20, 1)
            _, resident, descriptors = watch.samples[-1]
            m = proxy.metrics()
            print(f"{now:4.0f} of {SECONDS} s: {resident} KiB, {descriptors} descriptors, "
                  f"{m.sum('sluice_connections_opened_total'):.0f} connections", flush=True)
        time.sleep(SECONDS / 600)
    opened = sum(d.end() for d in directions)
    m = proxy.settled(opened=opened)
    for d in directions:
        d.check(m)
    assert m.sum("sluice_observer_lost_total") == m.sum("sluice_series_overflow_total") == 0
    assert m.sum("sluice_worker_restarts_total") == m.sum("sluice_backlog_bytes") == 0
    watch.look()
    _, resident, descriptors = watch.samples.pop()
    first, last = watch.thirds(1)
    most = [max(s[2] for s in part) for part in
            (watch.samples[:len(watch.samples) // 2], watch.samples[len(watch.samples) // 2:])]
    print(f"resident: {first:.0f} KiB, later {last:.0f}, at the end {resident}; "
          f"descriptors: {idle_descriptors} idle, at most {most[0]}, later {most[1]}, "
          f"at the end {descriptors}")
    # A flow has two sockets and, at most, two pipes; some end while others begin.
    at_once = 2 * sum(load[2] for load in LOADS)
    assert most[1] <= max(most[0], idle_descriptors + 6 * at_once) + 64
    assert descriptors <= idle_descriptors + 2 * 16, "no more than a pool of pipes"
    if not sanitized():
        assert last <= first + 512 and resident <= first + 512
