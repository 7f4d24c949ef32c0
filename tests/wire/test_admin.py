# SPDX-License-Identifier: GPL-2.0-or-later
"""The admin port, and how the proxy starts or says why not."""
import socket
import subprocess

import pytest

from lib.patience import PATIENCE
from lib.proc import child_setup
from lib.servers import http_connection
from lib.sluice import FAILED, PROXY, USAGE, environment
from lib.world import POD, PROXY_UID


@pytest.fixture
def admin(start_proxy):
    return start_proxy()


@pytest.mark.parametrize("path", ["/ready", "/live", "/metrics"])
def test_get(admin, family, path):
    status, headers, body = admin.get(path, family=family)
    assert status == 200 and headers["Content-Type"].startswith("text/plain")
    assert body


def test_from_another_machine(world, admin, family):
    for path in ("/ready", "/live", "/metrics"):
        c = http_connection(world.client, POD[family], 9901)
        c.request("GET", path)
        assert c.getresponse().status == 200
        c.close()


def test_head_has_no_body(admin):
    status, _, body = admin.get("/metrics", method="HEAD")
    assert status == 200 and body == b""


@pytest.mark.parametrize("path,method,status", [("/", "POST", 405), ("/nothing", "GET", 404),
                                                ("/metrics/", "GET", 404),
                                                ("/metrics", "POST", 405),
                                                ("/ready", "DELETE", 405),
                                                ("/nothing", "POST", 404)])
def test_what_there_is_not(admin, path, method, status):
    assert admin.get(path, method=method)[0] == status


def test_not_found_says_what_there_is(admin):
    _, _, body = admin.get("/nothing")
    listed = body.decode().split("there are\n")[1].split("\n")
    assert {"  /", "  /metrics", "  /flows", "  POST /quit"} <= set(listed)
    for line in filter(None, listed):
        *method, path = line.split()
        assert admin.get(path, method="HEAD")[0] == (405 if method else 200), line


def test_a_query_is_ignored(admin):
    assert admin.get("/metrics?name=a")[0] == 200


def raw(admin, data):
    """The answer to raw bytes, to its end."""
    with admin.netns.socket() as s:
        s.connect(("127.0.0.1", 9901))
        s.sendall(data)
        s.shutdown(socket.SHUT_WR)
        answer = b""
        while more := s.recv(65536):
            answer += more
        return answer


@pytest.mark.parametrize("data", [b"nonsense\r\n\r\n", b"GET\r\n\r\n", b"GET /metrics\r\n\r\n",
                                  b"\x16\x03\x01\x02\x00\x01\x00", b"GET /metrics HTTP/9.9\r\n\r\n",
                                  b"\r\n" * 100, b"GET /" + b"a" * 100000 + b" HTTP/1.1\r\n\r\n",
                                  b"GET /metrics HTTP/1.1\r\nA: " + b"b" * 100000 + b"\r\n\r\n"],
                         ids=["nonsense", "no-path", "http-0.9", "tls", "version", "empty",
                              "long-path", "long-header"])
def test_bad_requests(admin, data):
    try:
        answer = raw(admin, data)
        assert answer == b"" or answer.startswith((b"HTTP/1.1 4", b"HTTP/1.1 5", b"HTTP/1.0 4"))
    except ConnectionError:
        pass  # closed on it before it was read to its end
    assert admin.get("/live")[0] == 200


def test_a_request_in_pieces(admin):
    with admin.netns.socket() as s:
        s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        s.connect(("127.0.0.1", 9901))
        for byte in b"GET /live HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n":
            s.sendall(bytes([byte]))
        assert s.recv(1000).startswith(b"HTTP/1.1 200")


# Three times as many as there are places for: the last would wait for all their time limits.
MANY = 200


def half_requests(world, netns, address):
    """As many clients as MANY, none of which says all that it has to."""
    for _ in range(MANY):
        s = world.keep(netns.socket())
        s.connect((address, 9901))
        s.sendall(b"GET /metr")


@pytest.mark.parametrize("where", ["pod", "client"])
def test_silent_clients_block_nobody(world, admin, where):
    half_requests(world, getattr(world, where), POD[4] if where == "client" else "127.0.0.1")
    assert admin.get("/live")[0] == 200
    assert admin.get("/metrics")[0] == 200
    c = http_connection(world.client, POD[4], 9901)
    c.request("GET", "/ready")
    assert c.getresponse().status == 200
    c.close()


def test_loopback_keeps_its_places(world, admin):
    """However many others come: a probe's kept connection is not what goes."""
    kept = [http_connection(admin.netns, "127.0.0.1", 9901) for _ in range(8)]
    try:
        for _ in range(2):
            for c in kept:
                c.request("GET", "/live")
                answer = c.getresponse()
                assert answer.status == 200 and answer.read()
            half_requests(world, world.client, POD[4])
    finally:
        for c in kept:
            c.close()


def test_the_admin_port_is_counted_nowhere(admin):
    for _ in range(5):
        admin.get("/metrics")
    m = admin.metrics()
    assert m.sum("sluice_connections_opened_total") == 0
    assert m.find("http_server_request_duration_seconds_count") == []


def run(world, *args, caps=(), env=None):
    """A start that is meant to fail: (status, output of both streams)."""
    done = subprocess.run([PROXY, *args], capture_output=True, text=True, timeout=PATIENCE, check=False,
                          env=environment(env),
                          preexec_fn=child_setup(world.pod, uid=PROXY_UID, caps=caps))
    return done.returncode, done.stdout, done.stderr


def one_error(done, status, *parts):
    got, out, err = done
    assert got == status and out == "", done
    assert err.count("\n") == 1 and err.startswith("sluice-proxy: error: "), done
    for part in parts:
        assert part in err, done


@pytest.mark.parametrize("address,port", [("0.0.0.0", 9211), ("::", 9226), ("127.0.0.1", 9001),
                                          ("::1", 9001), ("0.0.0.0", 9901)])
def test_a_taken_port(world, address, port):
    world.keep(world.pod.listen(address, port))
    one_error(run(world), FAILED, str(port))
    with world.pod.socket() as s:
        assert s.connect_ex(("127.0.0.1", 9212)), "nothing may be left behind"


def test_transparent_without_net_raw(world):
    one_error(run(world, "--transparent=on"), FAILED, "CAP_NET_RAW")


@pytest.mark.parametrize("option,named", [
    ("--inbound-port=0", "--inbound-port"), ("--inbound-port=70000", "--inbound-port"),
    ("--inbound-port=65530", "--inbound-port"), ("--outbound-port=9212", "port"),
    ("--admin-port=9001", "port"), ("--threads=0", "--threads"), ("--threads=x", "--threads"),
    ("--max-samples=1", "--max-samples"), ("--max-connections=-1", "--max-connections"),
    ("--heartbeat-interval=500ms", "--heartbeat"), ("--heartbeat-timeout=5", "--heartbeat-timeout"),
    ("--drain-timeout=soon", "--drain-timeout"), ("--keepalive-count=128", "--keepalive-count"),
    ("--log-level=loud", "--log-level"), ("--transparent=maybe", "--transparent"),
    ("--bogus", "--bogus"), ("-v", "-v"), ("operand", "operand"),
    ("--service-name=", "--service-name")])
def test_bad_options(world, option, named):
    one_error(run(world, option), USAGE, named)


def test_bad_environment(world):
    one_error(run(world, env={"SLUICE_THREADS": "none"}), USAGE, "SLUICE_THREADS")


@pytest.mark.parametrize("option", ["--help", "--version"])
def test_help_and_version(world, option):
    status, out, err = run(world, option)
    assert status == 0 and out and not err


def test_a_pod_without_ipv6(world, start_proxy):
    """No address of that family, not even ::1: the other serves."""
    for interface in ("all", "default", "lo"):
        world.pod.sysctl(f"net/ipv6/conf/{interface}/disable_ipv6", 1)
    proxy = start_proxy()
    assert proxy.get("/ready")[0] == 200


def test_other_ports(world, start_proxy):
    p = start_proxy("--inbound-port=7000", "--outbound-port=7100", "--admin-port=7200")
    assert any("inbound 7000-7015, outbound 7100, admin 7200" in line for line in p.lines)
    assert p.get("/live", port=7200)[0] == 200
