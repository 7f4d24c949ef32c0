# SPDX-License-Identifier: GPL-2.0-or-later
"""--admin-listen: the admin server at more addresses, 8001 among them, as a replaced set-up had it."""
import contextlib
import http.client
import subprocess

import pytest

from lib.patience import PATIENCE
from lib.proc import wait_until
from lib.sluice import PROXY, environment, sluice
from lib.world import LOOPBACK, POD

PATIENT = "--heartbeat-timeout=20s"


def scrape(netns, family, address, port, path):
    connection = http.client.HTTPConnection(address, port)
    connection.sock = netns.socket(family)
    with contextlib.closing(connection):
        connection.sock.connect((address, port))
        connection.request("GET", path)
        response = connection.getresponse()
        return response.status, response.read().decode()


@pytest.mark.parametrize("excluded", [True, False], ids=["excluded", "redirected"])
def test_as_it_was_scraped(world, family, start_proxy, excluded):
    """From outside, by either family. Not excluded, scrapes pass through the proxy, and count."""
    sluice(world.pod, "apply", PATIENT, *(["--inbound-exclude-ports=8001"] if excluded else []))
    p = start_proxy(PATIENT, "--admin-listen=0.0.0.0:8001,[::]:8001")
    p.wait_armed()
    for path, part in (("/stats/prometheus", "envoy_server_live 1"), ("/metrics", "sluice_armed"),
                       ("/ready", "ready")):
        status, body = scrape(world.client, family, POD[family], 8001, path)
        assert status == 200 and part in body
    # Who comes through the proxy is not taken for somebody inside the pod.
    assert scrape(world.client, family, POD[family], 8001, "/flows")[0] == 403
    wait_until(lambda: p.metrics().sum("sluice_connections_opened_total", direction="inbound") ==
               (0 if excluded else 4), "the scrapes to be counted, or not")
    # What there was before is there still.
    assert p.get("/live")[0] == 200


def test_one_address(world, start_proxy):
    """Only there, and more than one of them."""
    start_proxy(f"--admin-listen={LOOPBACK[4]}:8001,[{LOOPBACK[6]}]:8002,{POD[4]}:8003")
    assert scrape(world.pod, 4, LOOPBACK[4], 8001, "/flows")[0] == 200
    assert scrape(world.pod, 6, LOOPBACK[6], 8002, "/live")[0] == 200
    assert scrape(world.client, 4, POD[4], 8003, "/live")[0] == 200
    for port in (8001, 8002):
        with pytest.raises(ConnectionRefusedError):
            scrape(world.client, 4, POD[4], port, "/live")


def fails(netns, *args):
    """(exit status, what it says) of a proxy that does not start."""
    with netns.entered():
        done = subprocess.run([PROXY, *args], capture_output=True, text=True, timeout=PATIENCE,
                              env=environment(), check=False)
    return done.returncode, done.stderr


@pytest.mark.parametrize("value, said", [
    ("8001", "an address with a port"),
    (":8001", "an address with a port"),
    ("0.0.0.0", "an address with a port"),
    ("0.0.0.0:0", "an address with a port"),
    ("0.0.0.0:70000", "an address with a port"),
    ("localhost:8001", "an address with a port"),
    (",".join(f"127.0.0.1:{8001 + n}" for n in range(9)), "more than 8"),
    ("0.0.0.0:9215", "inbound range"),
    ("127.0.0.1:9001", "outbound port"),
    ("127.0.0.1:9901", "--admin-port"),
])
def test_bad_values(world, value, said):
    status, stderr = fails(world.pod, f"--admin-listen={value}")
    assert status == 2
    assert stderr.startswith("sluice-proxy: error: --admin-listen: ") and said in stderr
    assert stderr.count("\n") == 1


def test_target_is_no_admin_port(world):
    """Or whoever connects to the pod would be taken for somebody inside it."""
    status, stderr = fails(world.pod, "--admin-listen=127.0.0.1:8001",
                           "--inbound-target=127.0.0.1:8001")
    assert status == 2 and "--inbound-target" in stderr


def test_what_cannot_be_had(world):
    """A port that is taken, an address that is not here: one line, and nothing stays open."""
    with world.pod.listen("0.0.0.0", 8001):
        status, stderr = fails(world.pod, "--admin-listen=0.0.0.0:8001")
        assert status == 1 and "--admin-listen: 0.0.0.0:8001 is taken" in stderr
    status, stderr = fails(world.pod, "--admin-listen=[fd00::77]:8001")
    assert status == 1 and "--admin-listen: [fd00::77]:8001: cannot listen" in stderr
