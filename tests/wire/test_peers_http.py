# SPDX-License-Identifier: GPL-2.0-or-later
"""Real clients of HTTP and TLS, each directly and through the proxy: the same answers, and exactly
what they count themselves: requests, statuses, bytes, connections, handshakes."""
import collections
import json
import re
import signal
import sys
import tempfile
from pathlib import Path

import pytest

from lib.peers import Twice, certificate, started, target
from lib.proc import Process, wait_until
from lib.servers import Nginx

FILE = b"0123456789" * 30000
LIB = Path(__file__).parent.parent / "lib"


@pytest.fixture
def twice(world, side, start_proxy):
    return Twice(world, side, start_proxy)


@pytest.fixture
def family(side):
    """Both, but not each way: what differs between them is shown elsewhere."""
    return {"inbound": 4, "outbound": 6}[side.direction]


@pytest.fixture
def shared():
    """A directory that the application's user can read."""
    with tempfile.TemporaryDirectory(prefix="sluice-shared-") as made:
        path = Path(made)
        path.chmod(0o755)
        (path / "file").write_bytes(FILE)
        yield path


@pytest.fixture
def server(world, side, shared, tmp_path):
    """nginx on 8080 (HTTP/1), 8081 (HTTP/2) and 8443 (TLS, both)."""
    made = certificate(shared)
    directory = tmp_path / "nginx"
    directory.mkdir()
    nginx = world.keep(Nginx(side.server, directory, certificate=made), "end")
    (nginx.root / "file").write_bytes(FILE)
    nginx.certificate = made[1]
    return nginx


def requests(m, side):
    counted = collections.Counter()
    for labels, value in m.find(f"{side.http}_request_duration_seconds_count"):
        counted[labels["http_request_method"], labels["http_response_status_code"],
                labels["network_protocol_version"]] += int(value)
    return counted


# ---- curl, HTTP/1 ----

TALLY = "\n%{json}\n"
CURL = [  # arguments, and paths
    (["--http1.1"], ["/hello", "/file", "/nothing", "/empty", "/broken", "/hello"]),
    (["--http1.0"], ["/hello", "/file"]),
    (["-I"], ["/file", "/nothing"]),
    ([], ["/moved"]),
    (["-r", "5-14"], ["/file"]),
    # Of a body that is sent with its head curl counts the bytes twice: let it wait.
    (["-d", "a=b&c=d", "-H", "Expect: 100-continue"], ["/post", "/post"]),
    (["--data-binary", "@FILE", "-H", "Expect: 100-continue"], ["/post"]),
    (["-X", "DELETE"], ["/hello"]),
    (["-X", "BREW"], ["/hello"]),
    (["-H", "Connection: close"], ["/hello", "/file"]),
    (["-H", "X-Long: " + "h" * 7000], ["/hello"]),
    (["-A", "", "-H", "Accept:"], ["/hello"]),
]


def test_curl(side, family, twice, server, shared):
    base = f"http://{target(side, family, 8080)}"

    def talk():
        out = []
        for args, paths in CURL:
            args = [a.replace("FILE", str(shared / "file")) for a in args]
            said = twice.run("curl", "-sS", "-g", "-w", TALLY, *args, *(base + p for p in paths))
            # Times, ports and the like differ; curl's body and counts may not.
            tallies = [json.loads(line) for line in said.splitlines() if line.startswith("{\"")]
            assert len(tallies) == len(paths), said
            bodies = [line for line in said.splitlines() if not line.startswith("{\"") and
                      not line.startswith("Date: ")]
            out.append((bodies, [[t[k] for k in (
                "http_code", "http_version", "method", "num_connects",
                "size_upload", "size_download", "size_header", "size_request", "errormsg")]
                for t in tallies]))
        return out

    told = [t for _, tallies in twice.told(talk) for t in tallies]
    wanted, connections, sent, received = collections.Counter(), 0, 0, 0
    for code, _, method, connects, up, down, header, request, _ in told:
        wanted[method if method != "BREW" else "_OTHER", str(code)] += 1
        connections += connects
        sent += up + request
        received += down + header
    m = twice.metrics(connections, {"http1": connections}, sent, received)
    counted = collections.Counter()
    for (method, code, _), value in requests(m, side).items():
        counted[method, code] += value
    assert counted == wanted


# ---- wrk ----

WRK = """
local asked = 0
function response()
    asked = asked + 1
    if asked == 500 then wrk.thread:stop() end
end
function done(summary)
    local e = summary.errors
    io.write(string.format("DONE %d %d %d\\n", summary.requests, summary.bytes,
                           e.connect + e.read + e.write + e.status + e.timeout))
end
"""


def test_wrk(side, family, twice, server, shared):
    """Four threads that stop after 500 answers each. (wrk itself would sleep on.)"""
    script = shared / "stop.lua"
    script.write_text(WRK)
    log = server.dir / "access.log"

    def talk():
        before = log.read_bytes().count(b"\n")
        wrk = Process(["wrk", "-t4", "-c4", "-d120s", "-s", str(script),
                       f"http://{target(side, family, 8080)}/hello"],
                      netns=side.client, uid=side.uid)
        try:
            wait_until(lambda: log.read_bytes().count(b"\n") >= before + 2000, "wrk's requests")
            wait_until(lambda: idle(wrk.pid), "its threads to end")
            wrk.signal(signal.SIGINT)
            assert wrk.wait() == 0, wrk.output
            return [int(n) for n in wrk.lines[-1].split()[1:]]
        finally:
            wrk.end()

    count, size, errors = twice.told(talk)
    assert (count, errors) == (2000, 0)
    # It tries each address once before it begins.
    m = twice.metrics(5, {"http1": 4, "tcp": 1}, None, size)
    assert requests(m, side) == {("GET", "200", "1.1"): 2000}


def idle(pid):
    """Whether only the thread that sleeps is left."""
    with open(f"/proc/{pid}/status", encoding="ascii") as f:
        return "Threads:\t1\n" in f.read()


# ---- h2load: HTTP/1 and HTTP/2 by nginx ----

@pytest.mark.parametrize("kind", ["h1", "h2c"])
def test_h2load(side, family, twice, server, kind):
    port, args = (8080, ["--h1"]) if kind == "h1" else (8081, ["-m", "20", "-p", "h2c"])

    def talk():
        out = twice.run("h2load", "-n", "2000", "-c", "4", *args,
                        f"http://{target(side, family, port)}/file")
        counts = re.search(r"requests: .*|status codes: .*", out)[0]
        total, heads, data = (int(n) for n in re.findall(r"\((\d+)\)",
                                                         re.search("traffic: .*", out)[0]))
        # In HTTP/2 content comes in as many frames as the windows allow in that moment, and a Date is
        # as long as its digits are in Huffman's code.
        return (counts, data, total, heads) if kind == "h1" else (counts, data, None, None)

    counts, data, total, _ = twice.told(talk)
    assert "2000 succeeded, 0 failed" in counts and data == 2000 * len(FILE)
    protocol = "http1" if kind == "h1" else "http2"
    m = twice.metrics(4, {protocol: 4}, None, total)
    assert requests(m, side) == {("GET", "200", "1.1" if kind == "h1" else "2"): 2000}
    assert m.sum(f"{side.http}_response_body_size_bytes_sum") == data


# ---- nghttp and nghttpd, grpcio with itself: what they measure is in test_http2.py ----

def test_nghttp(world, side, family, twice, shared):
    """The bytes of bodies, with a header block in several frames; and of all frames, counted."""
    started(world, side.server, 8080, ["nghttpd", "--no-tls", "-d", str(shared), "8080"])
    recorder = twice.recorder(family, 8080)
    counts = []

    def talk():
        out = twice.run("nghttp", "--continuation", "-H", "x-long: " + "y" * 9000,
                        f"http://127.0.0.1:{recorder.port}/file")
        # Windows are opened as reads come.
        counts.append(recorder.counted())
        return out, counts[-1][0]

    out, connections = twice.told(talk)
    assert (out.encode(), connections) == (FILE, 1)
    m = twice.metrics(1, {"http2": 1}, *counts[-1][1:])
    assert requests(m, side) == {("GET", "200", "2"): 1}


def test_grpcio(world, side, family, twice):
    """Calls of every kind end as they do directly; every byte of them is counted."""
    peer = [sys.executable, str(LIB / "grpc_peer.py")]
    started(world, side.server, 8080, [*peer, "server", "8080"])
    recorder = twice.recorder(family, 8080)
    counts = []

    def talk():
        told = json.loads(twice.run(*peer, "client", f"127.0.0.1:{recorder.port}",
                                    "3").splitlines()[-1])
        counts.append(recorder.counted())
        return told

    told = twice.told(talk)
    connections, *counted = counts[-1]
    m = twice.metrics(connections, {"grpc": connections}, *counted)
    kind = "server" if side.direction == "inbound" else "client"
    calls = m.sum(f"rpc_{kind}_call_duration_seconds_count")
    assert calls == sum(told["calls"].values())


# ---- TLS: curl and nginx, openssl with itself ----

def handshakes(m):
    return {tuple(labels.get(k) for k in ("sni", "alpn", "version")): value
            for labels, value in m.find("sluice_tls_handshakes_total")}


def test_curl_over_tls(side, family, twice, server):
    """HTTP/1 and HTTP/2 in TLS 1.2 and 1.3, whose names and versions are what is seen of them."""
    recorder = twice.recorder(family, 8443)
    counts = []
    kinds = [["--http1.1", "--tls-max", "1.2"], ["--http1.1"], ["--http2", "--tls-max", "1.2"],
             ["--http2"], ["--no-alpn"]]

    def talk():
        out = []
        for kind in kinds:
            out.append(twice.run(
                "curl", "-sS", *kind, "--cacert", server.certificate, "--connect-to",
                f"web.test:443:127.0.0.1:{recorder.port}", "-w",
                "%{http_code} %{http_version} %{num_connects} %{ssl_verify_result}",
                "https://web.test/hello", "https://web.test/file"))
        # Not each handshake is as long as another.
        counts.append(recorder.counted())
        return out, counts[-1][0]

    out, connections = twice.told(talk)
    assert connections == len(kinds) and [o.count("200 2") for o in out] == [0, 0, 2, 2, 0]
    m = twice.metrics(connections, {"tls": connections}, *counts[-1][1:])
    assert handshakes(m) == {("web.test", "http/1.1", "1.2"): 1, ("web.test", "http/1.1", "1.3"): 1,
                             ("web.test", "h2", "1.2"): 1, ("web.test", "h2", "1.3"): 1,
                             ("web.test", None, "1.3"): 1}
    if side.direction == "outbound":
        assert m.sum("sluice_connections_closed_total", server_address="web.test") == connections


def test_openssl(world, side, family, twice, shared):
    """Both ends OpenSSL's own: versions, with and without SNI, and a file to the end."""
    _, cert = certificate(shared)
    started(world, side.server, 8444, [
        "sh", "-c", 'cd "$1" && exec openssl s_server -accept 8444 -key key.pem -cert cert.pem '
        "-alpn h2,http/1.1 -WWW -quiet", "sh", str(shared)])
    recorder = twice.recorder(family, 8444)
    counts = []
    kinds = [(version, name) for version in ("-tls1_2", "-tls1_3")
             for name in (["-servername", "Web.Test"], ["-noservername"])]

    def talk():
        out = [twice.run("openssl", "s_client", "-quiet", "-ign_eof", version, *name,
                         "-alpn", "h2,http/1.1", "-CAfile", cert,
                         "-connect", f"127.0.0.1:{recorder.port}",
                         stdin="GET /file HTTP/1.0\r\n\r\n") for version, name in kinds]
        counts.append(recorder.counted())
        return out, counts[-1][0]

    out, connections = twice.told(talk)
    assert connections == 4 and all(FILE.decode() in o for o in out)
    m = twice.metrics(4, {"tls": 4}, *counts[-1][1:])
    assert handshakes(m) == {(name, "h2", version): 1 for name in ("web.test", None)
                             for version in ("1.2", "1.3")}
