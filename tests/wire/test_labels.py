# SPDX-License-Identifier: GPL-2.0-or-later
"""What options do to labels: routes, the older names of gRPC, what TCP says of a connection."""
import collections
import json
import os
import sys
import tempfile
from pathlib import Path

import pytest

from lib.proc import Process, wait_until
from lib.rawhttp import RawHttp
from lib.servers import Server, listens
from lib.sluice import sluice
from lib.world import CLIENT, POD

PEER = Path(__file__).parent.parent / "lib" / "grpc_peer.py"
PATIENT = "--heartbeat-timeout=20s"
ROUTES = ["/api/users/{id}", "/api/users/me", "/files/{path...}", "/"]


def armed(world, start_proxy, *options):
    sluice(world.pod, "apply", PATIENT)
    proxy = start_proxy(PATIENT, *options)
    proxy.wait_armed()
    return proxy


def paths(side, *targets):
    http = RawHttp(side.connect(4, 8080))
    for target in targets:
        http.request("GET", target)
        http.response()
    http.close()


def run(world, side, *argv):
    """Runs a program on the client's side; its output."""
    process = world.keep(Process(list(argv), netns=side.client, uid=side.uid), "end")
    assert process.wait() == 0, process.output
    return process.output


def by_route(side, metrics):
    return metrics.by(f"{side.http}_request_duration_seconds_count", "http_route")


def test_routes(world, side, start_proxy, nginx):
    proxy = armed(world, start_proxy, "--route=" + ",".join(ROUTES))
    nginx(side.server)
    paths(side, "/api/users/7", "/api/users/8?x=/api/users/me", "/api/users/me",
          "/api/users/%6De", "/files/a/b", "/files/", "/", "/?a", "http://pod.example/files/x",
          "/nowhere", "/api/users/", "/files", "/files/" + "x" * 300)
    assert by_route(side, proxy.settled(side.direction)) == {
        "/api/users/{id}": 3, "/api/users/me": 1, "/files/{path...}": 3, "/": 2, None: 4}


def test_routes_of_http2(world, side, start_proxy, nginx, tmp_path):
    """The same from HPACK, where a path may be an index, static or dynamic; out of a file."""
    with tempfile.NamedTemporaryFile("w") as listed:
        listed.write("\n".join(ROUTES) + "\n")
        listed.flush()
        os.chmod(listed.name, 0o644)
        proxy = armed(world, start_proxy, f"--route=@{listed.name}")
    world.keep(Process(["nghttpd", "--no-tls", "-d", str(tmp_path), "8080"],
                       netns=side.server), "end")
    wait_until(lambda: listens(side.server, 8080), "nghttpd to listen")
    address = side.address[4]
    urls = [f"http://{address}:8080{path}" for path in
            ("/", "/api/users/1", "/api/users/2?q", "/nowhere")]
    run(world, side, "nghttp", "-n", "-m2", *urls)
    assert by_route(side, proxy.settled(side.direction)) == {
        "/": 2, "/api/users/{id}": 4, None: 2}


def test_without_routes_no_path_is_a_label(side, proxy, nginx):
    nginx(side.server)
    paths(side, "/hello", "/api/users/7")
    assert by_route(side, proxy.settled()) == {None: 2}


@pytest.mark.parametrize("route, says", [
    ("users", "--route: 'users' does not begin with '/'"),
    ("/a/{id}x", "--route: '{id}x': a whole segment is {name}, or none of it"),
    ("/{a},/{b}", "--route: '/{b}' matches what '/{a}' matches"),
])
def test_routes_that_are_none(world, start_proxy, route, says):
    process = start_proxy(f"--route={route}", ready=False)
    assert process.wait() == 2
    assert process.output.splitlines() == [f"sluice-proxy: error: {says}"]


@pytest.mark.parametrize("semconv", ["otel", "beyla", "dup"])
def test_older_names_of_grpc(world, side, start_proxy, semconv):
    proxy = armed(world, start_proxy, f"--semconv={semconv}")
    server = world.keep(Process([sys.executable, str(PEER), "server", "8080"],
                                netns=side.server), "end")
    server.wait_line("ready")
    told = json.loads(run(world, side, sys.executable, str(PEER), "client",
                          f"{side.address[4]}:8080", "2").splitlines()[-1])["calls"]
    m = proxy.settled(side.direction)
    kind = "server" if side.direction == "inbound" else "client"
    old, new = f"rpc_{kind}_duration_seconds", f"rpc_{kind}_call_duration_seconds"
    assert (old in m.types) == (semconv != "otel") and (new in m.types) == (semconv != "beyla")
    names = {"OK": "0", "INVALID_ARGUMENT": "3", "DEADLINE_EXCEEDED": "4", "NOT_FOUND": "5",
             "UNIMPLEMENTED": "12", "UNAVAILABLE": "14", "CANCELLED": "missing"}
    counted = collections.Counter()
    for labels, value in m.find(f"{old}_count"):
        assert labels["rpc_system"] == "grpc" and labels["rpc_service"] == "test.v1.Peer"
        assert set(labels) == {"rpc_system", "rpc_service", "rpc_method", "rpc_grpc_status_code",
                               "server_port"} | ({"server_address"} if kind == "client" else set())
        counted[labels["rpc_method"], labels["rpc_grpc_status_code"]] += value
    expected = collections.Counter()
    for call, count in told.items():
        method, status = call.split()
        expected[method, names[status]] += count
    assert counted == (expected if semconv != "otel" else {})


def test_round_trips_and_retransmits(world, side, proxy):
    """The link loses the first two large segments; only the leg that crosses it is asked."""
    data = bytes(300000)
    world.client.run(["nft", "add table ip lossy; add chain ip lossy in { type filter hook "
                      "prerouting priority -300; }; add rule ip lossy in meta length > 1000 "
                      "limit rate 1/day burst 2 packets drop"])

    def serve(s):
        s.sendall(data)
        s.shutdown(1)
        while s.recv(1 << 16):
            pass

    world.keep(Server(side.server, 4, 8080, serve))
    for _ in range(3):
        with side.connect(4, 8080) as s:
            s.sendall(data)
            s.shutdown(1)
            got = 0
            while more := s.recv(1 << 16):
                got += len(more)
            assert got == len(data)
    m = proxy.settled(side.direction, opened=3)
    address = (POD if side.direction == "inbound" else CLIENT)[4]
    of = {"direction": side.direction, "server_address": address, "server_port": 8080}
    assert m.sum("sluice_tcp_rtt_seconds_count") == 3
    assert m.sum("sluice_tcp_rtt_seconds_count", **of) == 3
    assert 0 < m.sum("sluice_tcp_rtt_seconds_sum", **of) < 30
    assert 1 <= m.sum("sluice_tcp_retransmits_total", **of) < 100


def test_bounds_say_how_near_they_are(side, proxy, nginx):
    nginx(side.server)
    before = proxy.metrics()
    paths(side, "/hello")
    m = proxy.settled()
    assert before.sum("sluice_samples_used") == 0 < m.sum("sluice_samples_used")
    assert m.sum("sluice_samples_used") < m.sum("sluice_samples_limit") < 20000
    used = m.by("sluice_names_used", "kind")
    kind = "host" if side.direction == "outbound" else "address"
    assert {k: v for k, v in used.items() if v} == {kind: 1}
    assert set(used) == set(m.by("sluice_names_limit", "kind"))
    assert m.sum("sluice_names_limit", kind="host") == 100
