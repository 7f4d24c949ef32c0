# SPDX-License-Identifier: GPL-2.0-or-later
"""What /metrics says: families, labels, bounds."""
import socket
import threading

import pytest

from lib.metrics import Metrics
from lib.patience import PATIENCE
from lib.proc import wait_until
from lib.rawhttp import RawHttp
from lib.servers import Server
from lib.sluice import sluice
from lib.witness import LINGER_RST
from lib.world import CLIENT

# As design and docs have them: the labels of every sample of a family, and those it may have.
HTTP = {"http_request_method", "http_response_status_code", "network_protocol_version",
        "server_port"}
FAMILIES = {
    "http_server_request_duration_seconds": ("histogram", HTTP | {"url_scheme"}, {"error_type"}),
    "http_client_request_duration_seconds": ("histogram", HTTP | {"server_address"},
                                             {"error_type"}),
    "http_server_request_body_size_bytes": ("histogram", {"http_request_method", "server_port"},
                                            set()),
    "http_server_response_body_size_bytes": ("histogram", {"http_request_method", "server_port"},
                                             set()),
    "http_client_request_body_size_bytes": ("histogram", {"http_request_method", "server_port"},
                                            set()),
    "http_client_response_body_size_bytes": ("histogram", {"http_request_method", "server_port"},
                                             set()),
    "http_server_active_requests": ("gauge", {"http_request_method", "server_port"}, set()),
    "http_client_active_requests": ("gauge", {"http_request_method", "server_port"}, set()),
    "sluice_http_first_byte_seconds": ("histogram", {"direction", "server_port"}, set()),
    "sluice_connections_opened_total": ("counter", {"direction", "server_port"}, set()),
    "sluice_connections_active": ("gauge", {"direction", "server_port"}, set()),
    "sluice_connections_closed_total": (
        "counter", {"direction", "server_port", "protocol", "outcome"}, {"server_address"}),
    "sluice_connection_duration_seconds": (
        "histogram", {"direction", "server_port", "protocol", "outcome"}, {"server_address"}),
    "sluice_connect_duration_seconds": ("histogram", {"direction", "server_port"}, None),
    "sluice_tcp_rtt_seconds": ("histogram", {"direction", "server_address", "server_port"}, set()),
    "sluice_tcp_retransmits_total": ("counter", {"direction", "server_address", "server_port"},
                                     set()),
    "sluice_samples_limit": ("gauge", set(), set()),
    "sluice_samples_used": ("gauge", set(), set()),
    "sluice_names_limit": ("gauge", {"kind"}, set()),
    "sluice_names_used": ("gauge", {"kind"}, set()),
    "sluice_bytes_total": ("counter", {"direction", "way", "protocol", "server_port"}, set()),
    "sluice_build_info": ("gauge", {"version"}, None),
    "process_start_time_seconds": ("gauge", set(), set()),
    "process_resident_memory_bytes": ("gauge", set(), set()),
    "process_cpu_seconds_total": ("counter", set(), set()),
    "process_open_fds": ("gauge", set(), set()),
    "process_max_fds": ("gauge", set(), set()),
    "sluice_worker_restarts_total": ("counter", set(), set()),
    "sluice_access_log_lines_total": ("counter", set(), set()),
    "sluice_access_log_dropped_total": ("counter", set(), set()),
}
DURATION_BUCKETS = ["0.0005", "0.001", "0.0025", "0.005", "0.01", "0.025", "0.05", "0.075", "0.1",
                    "0.25", "0.5", "0.75", "1.0", "2.5", "5.0", "7.5", "10.0", "+Inf"]


def get(side, family=4, path="/hello", port=8080, host="a.example", method="GET"):
    http = RawHttp(side.connect(family, port))
    http.request(method, path, host=host)
    status, _ = http.response(method)
    http.close()
    return status


def samples(m, family):
    kind = m.types[family]
    names = [family] if kind != "histogram" else [f"{family}_{x}"
                                                  for x in ("bucket", "sum", "count")]
    return [(name, labels, value) for name in names for labels, value in m.find(name)]


def test_families_types_and_labels(side, proxy, nginx):
    nginx(side.server)
    assert get(side) == 200
    assert get(side, path="/broken") == 503
    m = proxy.settled()
    skip = "http_client" if side.http == "http_server" else "http_server"
    for family, (kind, needed, more) in FAMILIES.items():
        if family.startswith(skip):
            continue
        assert m.types.get(family) == kind, family
        found = samples(m, family)
        assert found, family
        for name, labels, _ in found:
            got = set(labels) - ({"le"} if name.endswith("_bucket") else set())
            assert needed <= got, (family, labels)
            assert more is None or got <= needed | more, (family, labels)


def test_every_sample_belongs_to_a_declared_family(side, proxy, nginx):
    nginx(side.server)
    get(side)
    m = proxy.settled()
    for name, _, _ in m.samples:
        stem = next((name[:-len(s)] for s in ("_bucket", "_sum", "_count")
                     if name.endswith(s) and m.types.get(name[:-len(s)]) == "histogram"), name)
        assert stem in m.types, name


def test_histograms_are_whole(side, proxy, nginx):
    nginx(side.server)
    for _ in range(3):
        get(side)
    m = proxy.settled()
    name = f"{side.http}_request_duration_seconds"
    buckets = [(labels["le"], value) for labels, value in m.find(f"{name}_bucket")]
    assert [le for le, _ in buckets] == DURATION_BUCKETS
    values = [value for _, value in buckets]
    assert values == sorted(values) and values[-1] == 3 == m.sum(f"{name}_count")
    assert 0 < m.sum(f"{name}_sum") < 30


def test_a_server_error_is_an_error_and_a_clients_mistake_is_not(side, proxy, nginx):
    nginx(side.server)
    for path in ("/hello", "/nothing", "/broken"):
        get(side, path=path)
    m = proxy.settled()
    errors = {labels["http_response_status_code"]: labels.get("error_type")
              for labels, _ in m.find(f"{side.http}_request_duration_seconds_count")}
    assert errors == {"200": None, "503": "503",
                      "404": "404" if side.direction == "outbound" else None}


def test_requests_without_an_answer(side, proxy, world):
    """The server closes, or resets, instead of answering."""
    world.keep(Server(side.server, 4, 8080, lambda s: s.recv(1000)))
    http = RawHttp(side.connect(4, 8080))
    http.request("GET", "/")
    assert http.socket.recv(1) == b""
    http.close()
    m = proxy.settled()
    found = m.find(f"{side.http}_request_duration_seconds_count")
    assert len(found) == 1
    labels, value = found[0]
    assert value == 1 and labels["error_type"] == "no_response"
    assert "http_response_status_code" not in labels
    assert m.sum(f"{side.http}_active_requests") == 0


def test_a_client_that_gives_up_is_no_fault_of_the_server(side, proxy, world):
    asked = threading.Event()
    world.keep(Server(side.server, 4, 8080, lambda s: (s.recv(1000), asked.set(), s.recv(1))))
    s = side.connect(4, 8080)
    s.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
    assert asked.wait(PATIENCE)
    s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, LINGER_RST)
    s.close()
    m = proxy.settled()
    assert m.by(f"{side.http}_request_duration_seconds_count", "error_type") == {"cancelled": 1}
    assert m.by("sluice_connections_closed_total", "outcome") == {"reset_by_client": 1}


def test_active_requests_and_connections_while_they_last(side, proxy, world):
    connected = []
    world.keep(Server(side.server, 4, 8080, lambda s: (connected.append(s.recv(1000)),
                                                       s.recv(1000))))
    http = world.keep(RawHttp(side.connect(4, 8080)))
    http.request("GET", "/")
    m = wait_until(lambda: (m := proxy.metrics()).sum(f"{side.http}_active_requests") and m,
                   "the request")
    assert m.sum(f"{side.http}_active_requests", http_request_method="GET") == 1
    assert m.sum("sluice_connections_active", direction=side.direction) == 1
    # Counted while flows live; a moment after they were passed on.
    wait_until(lambda: proxy.metrics().sum("sluice_bytes_total", way="to_server") == http.sent,
               "the bytes")


def test_unknown_methods_share_a_label(side, proxy, world):
    answer = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"

    def serve(s):
        while s.recv(1000):
            s.sendall(answer)

    world.keep(Server(side.server, 4, 8080, serve))
    http = world.keep(RawHttp(side.connect(4, 8080)))
    for method in ("BREW", "get", "PROPFIND", "GET"):
        http.request(method, "/")
        assert http.response()[0] == 200
    http.close()
    m = proxy.settled()
    assert m.by(f"{side.http}_request_duration_seconds_count", "http_request_method") == {
        "_OTHER": 3, "GET": 1}


def test_other_protocols_are_no_http(side, proxy, world):
    """Binary, a TLS hello, silence: counted as connections of their protocol, and unharmed."""
    hello = bytes.fromhex("160301002f0100002b0303") + bytes(32) + bytes.fromhex(
        "000002130101000000")
    talks = [b"\x00\x01\x02\x03binary", hello, b"*1\r\n$4\r\nPING\r\n", b""]

    def serve(s):
        s.sendall(s.recv(1000))

    world.keep(Server(side.server, 4, 8080, serve))
    for data in talks:
        with side.connect(4, 8080) as s:
            s.sendall(data)
            s.shutdown(1)
            assert s.recv(1000) == data
    m = proxy.settled(opened=4)
    assert m.by("sluice_connections_closed_total", "protocol") == {"tcp": 3, "tls": 1}
    assert m.find(f"{side.http}_request_duration_seconds_count") == []
    assert m.sum("sluice_observer_lost_total") == 0


def test_nonsense_is_lost_once_and_passes(side, proxy, world):
    """What begins like HTTP and is none: one count with a reason, all bytes through."""
    answer = b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabcd"
    world.keep(Server(side.server, 4, 8080, lambda s: (s.recv(1000), s.sendall(answer))))
    with side.connect(4, 8080) as s:
        s.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        got = b""
        while more := s.recv(1000):
            got += more
    assert got == answer
    m = proxy.settled()
    assert m.by("sluice_observer_lost_total", "reason") == {"ambiguous_length": 1}


def hosts(world, count):
    """Requests with that many different Host values over one connection."""
    with world.pod.socket(uid=1000) as s:
        s.connect((CLIENT[4], 8080))
        http = RawHttp(s)
        for n in range(count):
            http.request("GET", "/hello", host=f"host{n}.example")
            assert http.response()[0] == 200


def test_invented_hosts_are_bounded(world, proxy, nginx):
    nginx(world.client)
    hosts(world, 300)
    m = proxy.settled()
    names = m.by("http_client_request_duration_seconds_count", "server_address")
    assert sum(names.values()) == 300
    assert names.pop("_OTHER") == 200
    assert len(names) == 100 and set(names.values()) == {1}


@pytest.mark.parametrize("extra", [0, 4000])
def test_samples_are_bounded_and_totals_exact(world, start_proxy, nginx, extra):
    sluice(world.pod, "apply", "--heartbeat-timeout=20s")
    proxy = start_proxy("--heartbeat-timeout=20s", f"--max-samples={1000 + extra}")
    proxy.wait_armed()
    nginx(world.client)
    hosts(world, 90)
    m = proxy.settled()
    names = m.by("http_client_request_duration_seconds_count", "server_address")
    assert sum(names.values()) == 90, "totals must stay exact"
    overflow = m.sum("sluice_series_overflow_total")
    if extra:
        assert "_OTHER" not in names and overflow == 0
    else:
        assert names["_OTHER"] > 10 and overflow > 0
        assert len(m.samples) < 1400, "the bound, and what is outside it"
    hosts(world, 10)
    again = proxy.settled().by("http_client_request_duration_seconds_count", "server_address")
    assert all(again[name] >= value for name, value in names.items()), "a counter went back"


def test_the_service_is_named_on_every_series(world, start_proxy, nginx):
    sluice(world.pod, "apply", "--heartbeat-timeout=20s")
    proxy = start_proxy("--heartbeat-timeout=20s", "--service-name=web",
                        "--service-namespace=shop")
    proxy.wait_armed()
    nginx(world.pod)
    with world.client.socket() as s:
        s.connect(("10.77.0.2", 8080))
        http = RawHttp(s)
        http.request("GET", "/hello")
        http.response()
    m = proxy.settled()
    for name in ("http_server_request_duration_seconds_count", "sluice_bytes_total",
                 "sluice_connections_opened_total", "target_info"):
        assert m.find(name), name
        assert m.find(name) == m.find(name, service_name="web", service_namespace="shop")


@pytest.mark.parametrize("threads", [1, 2])
def test_threads_are_summed(world, start_proxy, nginx, threads):
    sluice(world.pod, "apply", "--heartbeat-timeout=20s")
    proxy = start_proxy("--heartbeat-timeout=20s", f"--threads={threads}")
    proxy.wait_armed()
    nginx(world.pod)
    for _ in range(100):
        with world.client.socket() as s:
            s.connect(("10.77.0.2", 8080))
            http = RawHttp(s)
            http.request("GET", "/hello")
            assert http.response()[0] == 200
    m = proxy.settled(opened=100)
    assert m.sum("http_server_request_duration_seconds_count") == 100
    assert m.sum("sluice_connections_closed_total", outcome="closed") == 100


def test_the_parser_is_strict():
    for bad in ("a{b=\"c\"} x\n", "a{b=c} 1\n", "a 1\na 2\n", "a 1", "a{b=\"c\",b=\"d\"} 1\n"):
        with pytest.raises((AssertionError, ValueError)):
            Metrics(bad)
