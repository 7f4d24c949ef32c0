# SPDX-License-Identifier: GPL-2.0-or-later
"""HTTP/2 and gRPC of real programs through the proxy: what they count is what it measured."""
import collections
import json
import re
import sys
from pathlib import Path

import pytest
from h2.config import H2Configuration
from h2.connection import H2Connection

from lib.patience import PATIENCE
from lib.proc import Process, wait_until
from lib.servers import Server, listens
from lib.sluice import sanitized

PEER = Path(__file__).parent.parent / "lib" / "grpc_peer.py"
METHOD = "test.v1.Peer/"


def target(side, family, port):
    address = side.address[family]
    return f"[{address}]:{port}" if family == 6 else f"{address}:{port}"


@pytest.fixture
def run(world, side):
    """Runs a program on the client's side, as the application's user; its output."""
    def start(*argv):
        process = world.keep(Process(list(argv), netns=side.client, uid=side.uid), "end")
        assert process.wait(2 * PATIENCE) == 0, process.output
        return process.output
    return start


@pytest.fixture
def nghttpd(world, side, tmp_path):
    (tmp_path / "small").write_bytes(b"s" * 100)
    (tmp_path / "large").write_bytes(b"l" * 300000)
    for path in (tmp_path, tmp_path / "small", tmp_path / "large"):
        path.chmod(0o755)
    process = world.keep(Process(["nghttpd", "--no-tls", "-d", str(tmp_path), "8080"],
                                 netns=side.server), "end")
    wait_until(lambda: listens(side.server, 8080), "nghttpd to listen")
    return process


def check_requests(m, side, wanted, bodies):
    """`wanted`: {(method, status, version): count}; `bodies`: bytes of all responses."""
    counted = collections.Counter()
    for labels, value in m.find(f"{side.http}_request_duration_seconds_count"):
        assert "error_type" not in labels or labels["http_response_status_code"] == "404"
        counted[labels["http_request_method"], labels["http_response_status_code"],
                labels["network_protocol_version"]] += int(value)
    assert counted == wanted
    assert m.sum(f"{side.http}_response_body_size_bytes_sum") == bodies
    assert m.sum(f"{side.http}_active_requests") == 0
    assert m.sum("sluice_observer_lost_total") == 0
    assert m.by("sluice_connections_closed_total", "protocol", direction=side.direction).keys() \
        == {"http2"}


def test_nghttp(side, family, proxy, nghttpd, run):
    base = f"http://{target(side, family, 8080)}"
    output = run("nghttp", "-n", "-m", "20", f"{base}/small", f"{base}/large")
    assert "error" not in output.lower()
    m = proxy.settled(side.direction)
    check_requests(m, side, {("GET", "200", "2"): 40}, 20 * 300100)


def serve_upgrade(s):
    """One request of HTTP/1 that becomes stream 1 of HTTP/2: RFC 7540 sect. 3.2."""
    head = b""
    while b"\r\n\r\n" not in head:
        head += s.recv(65536)
    fields = dict(line.lower().split(b": ", 1) for line in head.split(b"\r\n")[1:-2])
    assert fields[b"upgrade"] == b"h2c"
    h2 = H2Connection(H2Configuration(client_side=False))
    h2.initiate_upgrade_connection(
        re.search(rb"(?i)http2-settings: (\S+)", head)[1])
    s.sendall(b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n")
    h2.send_headers(1, [(":status", "200"), ("content-length", "1000")])
    h2.send_data(1, b"u" * 1000, end_stream=True)
    s.sendall(h2.data_to_send())
    while data := s.recv(65536):
        h2.receive_data(data)
        s.sendall(h2.data_to_send())


def test_upgrade(world, side, family, proxy, run):
    world.keep(Server(side.server, family, 8080, serve_upgrade))
    output = run("curl", "-sS", "--http2", "-o", "/dev/null", "-w",
                 "%{http_version} %{http_code} %{size_download}",
                 f"http://{target(side, family, 8080)}/large")
    assert output == "2 200 1000"
    m = proxy.settled(side.direction)
    check_requests(m, side, {("GET", "200", "2"): 1}, 1000)


def test_continuation_and_padding(side, family, proxy, nghttpd, run):
    run("nghttp", "-n", "--continuation", "-b", "200", "-m", "5", "-H", "x-long: " + "y" * 9000,
        f"http://{target(side, family, 8080)}/small")
    m = proxy.settled(side.direction)
    check_requests(m, side, {("GET", "200", "2"): 5}, 500)


def test_h2load(side, family, proxy, nghttpd, run):
    output = run("h2load", "-n", "5000", "-c", "5", "-m", "10",
                 f"http://{target(side, family, 8080)}/small")
    assert re.search(r"5000 succeeded, 0 failed", output), output
    m = proxy.settled(side.direction, 5)
    check_requests(m, side, {("GET", "200", "2"): 5000}, 500000)
    assert m.sum("sluice_http_first_byte_seconds_count", direction=side.direction) == 5000


@pytest.fixture
def grpc_server(world, side):
    process = world.keep(Process([sys.executable, str(PEER), "server", "8080"],
                                 netns=side.server), "end")
    process.wait_line("ready")
    return process


def test_grpc(side, family, proxy, grpc_server, run):
    """Unary, all kinds of streams, errors, deadlines, cancellation, large messages."""
    rounds = 5
    told = json.loads(run(sys.executable, str(PEER), "client", target(side, family, 8080),
                          str(rounds)).splitlines()[-1])
    m = proxy.settled(side.direction)
    kind = "server" if side.direction == "inbound" else "client"
    counted = collections.Counter()
    for labels, value in m.find(f"rpc_{kind}_call_duration_seconds_count"):
        assert labels["rpc_system_name"] == "grpc"
        method = labels["rpc_method"].removeprefix(METHOD)
        status = labels.get("rpc_response_status_code", labels.get("error_type", "").upper())
        counted[f"{method} {status}"] += int(value)
        faults = {"DEADLINE_EXCEEDED", "UNIMPLEMENTED", "UNAVAILABLE", "CANCELLED"}
        fault = status != "OK" if kind == "client" else status in faults
        assert ("error_type" in labels) == fault, labels
    assert counted == told["calls"]
    for way, of in (("to_server", "sent"), ("to_client", "received")):
        messages = m.by("sluice_rpc_messages_total", "rpc_method", way=way)
        assert {k.removeprefix(METHOD): v for k, v in messages.items() if v} == \
            {k: v for k, v in told[of].items() if v}
    assert m.sum(f"{side.http}_request_duration_seconds_count") == 0
    assert m.sum("sluice_observer_lost_total") == 0
    assert m.by("sluice_connections_closed_total", "protocol", direction=side.direction) == {
        "grpc": m.sum("sluice_connections_opened_total", direction=side.direction)}


@pytest.fixture
def tls_server(world, side, tmp_path):
    key, certificate = tmp_path / "key.pem", tmp_path / "cert.pem"
    made = world.keep(Process(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt",
                    "ec_paramgen_curve:prime256v1", "-nodes", "-subj", "/CN=web.test", "-days", "2",
                    "-keyout", str(key), "-out", str(certificate)],
                               netns=side.server), "end")
    assert made.wait() == 0, made.output
    process = world.keep(Process(["openssl", "s_server", "-accept", "8443", "-key", str(key),
                                  "-cert", str(certificate), "-www", "-quiet", "-alpn", "h2"],
                                 netns=side.server), "end")
    wait_until(lambda: listens(side.server, 8443), "openssl to listen")
    return process


@pytest.mark.parametrize("version", ["1_2", "1_3"])
def test_tls(side, family, proxy, tls_server, run, version):
    run("openssl", "s_client", f"-tls{version}", "-connect", target(side, family, 8443),
        "-servername", "Web.Test", "-alpn", "h2,http/1.1")
    m = proxy.settled(side.direction)
    [(labels, value)] = m.find("sluice_tls_handshakes_total")
    assert value == 1
    assert labels == {"direction": side.direction, "sni": "web.test", "alpn": "h2",
                      "version": version.replace("_", "."), "server_port": "8443"}
    assert m.by("sluice_connections_closed_total", "protocol", direction=side.direction) == {
        "tls": 1}
    if side.direction == "outbound":
        assert m.sum("sluice_connections_closed_total", server_address="web.test") == 1


def frame(kind, flags, stream, payload=b""):
    return len(payload).to_bytes(3, "big") + bytes([kind, flags]) + stream.to_bytes(4, "big") + \
        payload


PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + frame(4, 0, 0)
RESETS = 20000


def flood(kind):
    """Bytes of a client that means harm, and what is counted of it."""
    if kind == "rapid reset":
        return b"".join(frame(1, 5, n, b"\x82\x84\x86") + frame(3, 0, n, b"\0\0\0\x08")
                        for n in range(1, 2 * RESETS, 2)), None
    if kind == "continuation":
        return frame(1, 0, 1, b"\x82") + frame(9, 0, 1, b"\x82" * 100) * 20000, "header_too_large"
    if kind == "bomb":
        return frame(1, 0, 1, b"\x40\x01a\x7f\x81\x1e" + b"A" * 4000) + \
            frame(9, 0, 1, b"\xbe" * 16000) * 100, "header_too_large"
    return b"".join(frame(1, 5, n, b"\x82\x84\x86") for n in range(1, 20000, 2)), \
        "too_many_requests"


@pytest.mark.parametrize("kind", ["rapid reset", "continuation", "bomb", "streams"])
def test_floods(world, side, proxy, kind):
    """Passed on to the last byte, counted, and gone without a trace in memory."""
    data, reason = flood(kind)
    got = []

    def swallow(s):
        total = 0
        while part := s.recv(1 << 20):
            total += len(part)
        got.append(total)

    world.keep(Server(side.server, 4, 8080, swallow))
    before = None
    for n in range(1, 6):
        with side.connect(4, 8080) as s:
            s.sendall(PREFACE + data)
        wait_until(lambda n=n: len(got) == n, "the flood to have passed")
        m = proxy.metrics()
        before = before or m.sum("process_resident_memory_bytes")
    assert got == [len(PREFACE + data)] * 5
    m = proxy.settled(side.direction, 5)
    # Address Sanitizer keeps what is freed for a while.
    assert m.sum("process_resident_memory_bytes") < before + (4 << 20) or sanitized()
    assert m.by("sluice_observer_lost_total", "reason") == ({reason: 5} if reason else {})
    assert m.sum(f"{side.http}_active_requests") == 0
    cancelled = m.sum(f"{side.http}_request_duration_seconds_count", error_type="cancelled")
    assert cancelled == (5 * RESETS if kind == "rapid reset" else 0)
