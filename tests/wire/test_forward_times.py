# SPDX-License-Identifier: GPL-2.0-or-later
"""How long requests take through the forward proxy: what a server's name and connection cost is
their time as well, and so is all of it where there is no server in the end."""
import datetime
import json
import os
import shutil
import tempfile
import time
from pathlib import Path

import pytest

from lib.dns import A, AAAA
from lib.proc import wait_until
from lib.rawhttp import RawHttp
from lib.sluice import sluice
from lib.world import OUTSIDE, OUTSIDE_NEAR, PROXY_UID

from wire.conftest import PATIENT
from wire.test_forward import PORT, Echo, connect
from wire.test_forward_http2 import Client
from wire.test_host_mode import HOST_MODE, Zone

NAME = "web.example.org"
HELD = 0.3  # s that its name server takes, at least
DURATION = "http_client_request_duration_seconds"
# The time limit of a bucket that such a request must not be in.
BELOW = "0.25"


@pytest.fixture
def directory():
    """A directory that the proxy may write to."""
    path = Path(tempfile.mkdtemp(prefix="sluice-forward-times."))
    os.chown(path, PROXY_UID, PROXY_UID)
    yield path
    shutil.rmtree(path)


@pytest.fixture
def zone(world):
    return Zone(world)


@pytest.fixture(params=["asked for", "by host"])
def proxied(world, start_proxy, zone, directory, request):
    """A proxy, and how its clients get to it."""
    options = [zone.option, f"--access-log={directory / 'log'}"]
    if request.param == "asked for":
        return start_proxy(*options), lambda: connect(world)

    def redirected():
        s = world.keep(world.pod.socket(4, uid=1000))
        s.connect((OUTSIDE_NEAR[4], 99))
        return s

    sluice(world.pod, "apply", PATIENT)
    proxy = start_proxy(PATIENT, HOST_MODE, *options)
    proxy.wait_armed()
    return proxy, redirected


def ask_get(s):
    """Behind empty lines, in two pieces."""
    c = RawHttp(s)
    c.send(b"\r\n\r\nGET / HT")
    c.send(f"TP/1.1\r\nHost: {NAME}:{PORT}\r\n\r\n".encode())
    return lambda: c.response()[0]


def ask_connect(s):
    s.sendall(f"CONNECT {NAME}:{PORT} HTTP/1.1\r\nHost: {NAME}\r\n\r\n".encode())
    return lambda: int(s.makefile("rb").readline().split()[1])


def ask_http2(s):
    c = Client(s)
    stream = c.request(f"{NAME}:{PORT}")
    return lambda: int(c.answer(stream)[0])


def hold(zone, addresses):
    """Lets the name server take its time. Returns when the question was there, by both clocks."""
    wait_until(lambda: zone.asked(NAME), "the question")
    began = time.monotonic(), datetime.datetime.utcnow()
    time.sleep(HELD)
    if addresses is not None:
        zone.names[NAME] = addresses
    zone.release()
    return began


@pytest.mark.parametrize("ask,addresses,expected", [
    (ask_get, None, 502), (ask_get, [OUTSIDE[4]], 502), (ask_get, [OUTSIDE[4]], 200),
    (ask_get, ["127.0.0.1"], 403), (ask_connect, None, 502), (ask_connect, [OUTSIDE[4]], 200),
    (ask_http2, None, 502), (ask_http2, [OUTSIDE[4]], 502)],
    ids=["no-name", "refused", "answered", "forbidden", "connect-no-name", "connect", "h2-no-name",
         "h2-refused"])
def test_waiting_for_a_name(world, proxied, zone, directory, ask, addresses, expected):
    """In all that tells of it; and it is active meanwhile."""
    proxy, new = proxied
    if expected == 200:
        world.keep(Echo(world.client, 4, PORT))
    zone.holding = {A, AAAA}
    s = new()
    status = ask(s)
    # What comes of HTTP/2 meanwhile may be cancelled: it is seen later.
    wait_until(lambda: ask is ask_http2 or
               proxy.metrics().sum("http_client_active_requests") == 1, "an active request")
    began, at = hold(zone, addresses)
    assert status() == expected
    took = time.monotonic() - began
    s.close()
    m = proxy.settled("outbound", 1)
    assert m.sum(f"{DURATION}_count", http_response_status_code=str(expected)) == 1
    assert m.sum(f"{DURATION}_bucket", le=BELOW) == 0
    assert m.sum(f"{DURATION}_sum") >= HELD
    assert m.sum("http_client_active_requests") == 0
    e = proxy.envoy_metrics()
    assert e.sum("envoy_http_downstream_rq_time_sum",
                 envoy_http_conn_manager_prefix="egress_http") >= 1000 * HELD
    lines = wait_until(lambda: [json.loads(line) for line in
                                (directory / "log").read_text().splitlines() if line],
                       "a line of the log")
    assert lines[0]["status"] == expected
    assert lines[0]["duration_seconds"] >= lines[0]["first_byte_seconds"] >= HELD
    assert datetime.datetime.strptime(lines[0]["time"], "%Y-%m-%dT%H:%M:%S.%fZ") <= at
    assert took >= HELD
