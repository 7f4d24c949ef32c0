# SPDX-License-Identifier: GPL-2.0-or-later
"""/metrics as scrapers ask for it: both formats, compressed or not, with exemplars; as real parsers
and a slow reader see it."""
import gzip
import re
import shutil
import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as read_openmetrics
from prometheus_client.parser import text_string_to_metric_families as read_text

from lib.proc import Process
from lib.rawhttp import RawHttp
from lib.servers import Server
from lib.sluice import sluice

PEER = Path(__file__).parent.parent / "lib" / "grpc_peer.py"
PATIENT = "--heartbeat-timeout=20s"
OPENMETRICS = {"Accept": "application/openmetrics-text;version=1.0.0,text/plain;q=0.5"}
TRACE = "4bf92f3577b34da6a3ce929d0e0e47"
SPAN = "00f067aa0ba902b7"
# What changes by itself from one scrape to the next.
MOVING = re.compile(r"process_|sluice_(loop_rounds|connections_used|armed|dns|heartbeats)")


def traceparent(number, sampled=True):
    return f"traceparent: 00-{TRACE}{number:02x}-{SPAN}-{'01' if sampled else '00'}\r\n"


def page(proxy, headers=None, path="/metrics"):
    status, fields, body = proxy.get(path, headers=headers or {})
    assert status == 200
    return fields, body


def openmetrics(proxy):
    fields, body = page(proxy, OPENMETRICS)
    assert fields["Content-Type"] == "application/openmetrics-text; version=1.0.0; charset=utf-8"
    assert body.endswith(b"\n# EOF\n")
    return list(read_openmetrics(body.decode()))


def requests(side, *heads):
    http = RawHttp(side.connect(4, 8080))
    for fields in heads:
        http.request("GET", "/hello", headers=fields)
        assert http.response()[0] == 200
    http.close()


def exemplars(families, name):
    """The trace's last two digits by bucket."""
    found = {}
    for family in families:
        for s in family.samples:
            if s.exemplar:
                assert s.name.endswith("_bucket"), s
                assert set(s.exemplar.labels) == {"trace_id", "span_id"}
                assert s.exemplar.labels["trace_id"].startswith(TRACE)
                assert s.exemplar.labels["span_id"] == SPAN
                assert s.exemplar.value <= float(s.labels["le"]) and float(s.exemplar.timestamp) > 1.6e9
                if family.name == name:
                    found[s.labels["le"]] = s.exemplar.labels["trace_id"][-2:]
    return found


def test_both_formats_say_the_same(side, proxy, nginx):
    nginx(side.server)
    requests(side, "", "")
    proxy.settled()
    fields, text = page(proxy)
    assert fields["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
    assert fields["Vary"] == "Accept, Accept-Encoding"

    def samples(families):
        # Neither parser keeps how `le` is spelt; the unit tests compare the lines.
        return {(s.name, *sorted(s.labels.items())): s.value for f in families
                for s in f.samples if not MOVING.match(s.name)}

    theirs = samples(read_text(text.decode()))
    assert theirs == samples(openmetrics(proxy)) and len(theirs) > 100


def test_no_request_without_a_sampled_trace_is_an_example(side, proxy, nginx):
    nginx(side.server)
    name = f"{side.http}_request_duration_seconds"
    requests(side, "", traceparent(1, sampled=False), traceparent(2).upper(),
             traceparent(3).replace("00-", "ff-"))
    proxy.settled()
    assert not exemplars(openmetrics(proxy), name)
    requests(side, traceparent(0x12), "")
    proxy.settled(opened=2)
    assert list(exemplars(openmetrics(proxy), name).values()) == ["12"]
    assert b"trace_id" not in page(proxy)[1]


def test_a_bucket_has_one_example(side, proxy, nginx):
    nginx(side.server)
    requests(side, *(traceparent(n) for n in range(1, 60)))
    proxy.settled()
    found = exemplars(openmetrics(proxy), f"{side.http}_request_duration_seconds")
    assert "3b" in found.values() and len(found) <= 18


def test_examples_of_grpc(world, side, start_proxy):
    """By both names; the peer sends traceparent with its calls where it is told one."""
    sluice(world.pod, "apply", PATIENT)
    proxy = start_proxy(PATIENT, "--semconv=dup")
    proxy.wait_armed()
    world.keep(Process([sys.executable, str(PEER), "server", "8080"], netns=side.server),
               "end").wait_line("ready")
    client = world.keep(Process(
        [sys.executable, str(PEER), "client", f"{side.address[4]}:8080", "1",
         f"traceparent=00-{TRACE}77-{SPAN}-01"], netns=side.client, uid=side.uid), "end")
    assert client.wait() == 0, client.output
    proxy.settled(side.direction)
    families = openmetrics(proxy)
    kind = "server" if side.direction == "inbound" else "client"
    for name in (f"rpc_{kind}_call_duration_seconds", f"rpc_{kind}_duration_seconds"):
        assert set(exemplars(families, name).values()) == {"77"}, name


@pytest.mark.parametrize("path", ["/metrics", "/stats/prometheus"])
def test_gzip(side, proxy, nginx, path):
    nginx(side.server)
    requests(side, "")
    proxy.settled()
    fields, plain = page(proxy, path=path)
    assert "Content-Encoding" not in fields
    fields, packed = page(proxy, {"Accept-Encoding": "gzip;q=0.5, br"}, path)
    assert fields["Content-Encoding"] == "gzip" and len(packed) < len(plain) / 3
    assert ("Content-Length" in fields) == (path != "/metrics"), "streamed"
    moving = re.compile(rb"^.*(" + MOVING.pattern.encode() + rb"|_server_).*$", re.M)
    assert moving.sub(b"", gzip.decompress(packed)) == moving.sub(b"", plain)
    fields, body = page(proxy, {"Accept-Encoding": "gzip;q=0, identity"}, path)
    assert "Content-Encoding" not in fields and len(body) > 3 * len(packed)


def test_gzip_of_openmetrics_and_of_a_head(proxy):
    headers = {**OPENMETRICS, "Accept-Encoding": "gzip"}
    fields, packed = page(proxy, headers)
    assert fields["Content-Encoding"] == "gzip" and gzip.decompress(packed).endswith(b"# EOF\n")
    status, fields, body = proxy.get("/metrics", method="HEAD", headers=headers)
    assert status == 200 and fields["Content-Encoding"] == "gzip" and body == b""


def test_promtool_finds_no_fault(world, side, start_proxy, nginx):
    sluice(world.pod, "apply", PATIENT)
    proxy = start_proxy(PATIENT, "--semconv=dup", "--service-name=web", "--route=/hello")
    proxy.wait_armed()
    nginx(side.server)
    requests(side, "")
    proxy.settled()
    done = subprocess.run([shutil.which("promtool"), "check", "metrics"], input=page(proxy)[1],
                          capture_output=True, check=False, timeout=60)
    assert done.returncode == 0 and not done.stdout + done.stderr, done


def many_series(side, ports):
    """A series of requests for each of these ports: some 20 lines each."""
    def serve(s):
        while s.recv(4096):
            s.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")

    for port in ports:
        server = Server(side.server, 4, port, serve)
        http = RawHttp(side.connect(4, port))
        http.request("GET", "/")
        http.response()
        http.close()
        server.close()


def test_who_reads_slowly_holds_nobody_up(side, proxy, nginx):
    """Scrapers that take a byte now and then, others that take everything: every request goes on,
    new series included, which are made under the registry's only lock."""
    nginx(side.server)
    many_series(side, range(20000, 20060))
    stop, scrapes = threading.Event(), []

    def slow():
        with proxy.netns.socket() as s:
            s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
            s.connect(("127.0.0.1", 9901))
            s.sendall(b"GET /metrics HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
            while not stop.wait(0.05) and s.recv(1):
                pass

    def fast():
        while not stop.is_set():
            scrapes.append(len(page(proxy, {**OPENMETRICS, "Accept-Encoding": "gzip"})[1]))

    threads = [threading.Thread(target=f) for f in (slow, slow, fast)]
    for t in threads:
        t.start()
    try:
        for n in range(300):
            requests(side, traceparent(n % 256), "X: y\r\n")
        many_series(side, range(21000, 21060))
    finally:
        stop.set()
        for t in threads:
            t.join()
    assert scrapes
    m = proxy.settled(side.direction, opened=420)
    assert m.sum(f"{side.http}_request_duration_seconds_count", server_port=8080) == 600
