# SPDX-License-Identifier: GPL-2.0-or-later
"""/flows: every living flow, once, with what it has done."""
import json
import socket
import threading

import pytest

from lib.proc import wait_until
from lib.servers import Server, http_connection
from lib.sluice import sluice
from lib.world import CLIENT, POD


def flows(proxy, query="", **kwargs):
    status, headers, body = proxy.get("/flows" + query, **kwargs)
    assert status == 200 and headers["Content-Type"] == "application/json"
    return json.loads(body)


def text(address):
    host, port = address[:2]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


@pytest.fixture
def echo(world):
    """A server that says back what it hears: on port 7 of the side's server."""
    def start(netns, family):
        def serve(s):
            while data := s.recv(65536):
                s.sendall(data)
        world.keep(Server(netns, family, 7, serve))
    return start


def test_what_a_flow_has_done(side, proxy, family, echo):
    echo(side.server, family)
    with side.connect(family, 7) as s:
        for piece in (b"x" * 1000, b"y" * 234):
            s.sendall(piece)
            got = b""
            while len(got) < len(piece):
                got += s.recv(65536)
        passed = {"to_server": 1234, "to_client": 1234}
        # What has arrived was sent a moment before it is counted.
        listed = wait_until(lambda: [x for x in [flows(proxy, family=family)]
                                     if x["flows"][0]["bytes"] == passed],
                            "all bytes to be counted")[0]
        assert listed["truncated"] is False and listed["listed"] == 1
        flow, = listed["flows"]
        assert flow.pop("age_seconds") >= 0 and flow.pop("id") > 0
        destination = text((side.address[family], 7))
        assert flow == {"direction": side.direction, "protocol": "tcp", "state": "open",
                        "client": text(s.getsockname()), "destination": destination,
                        "upstream": destination, "bytes": passed,
                        "requests": 0}
        s.shutdown(socket.SHUT_WR)
        assert s.recv(1) == b""
    wait_until(lambda: flows(proxy)["flows"] == [], "the flow to be gone")


def test_requests_are_counted(side, proxy, nginx):
    nginx(side.server)
    c = http_connection(side.client, side.address[4], 8080, uid=side.uid)
    for n in range(1, 4):
        c.request("GET", "/")
        c.getresponse().read()
        flow, = wait_until(lambda n=n: [f for f in flows(proxy)["flows"] if f["requests"] == n],
                           "the request to be counted")
        assert flow["protocol"] == "http1"
    c.close()


def test_a_connect_under_way(world, proxy):
    """No answer from there: it is told, and is no upstream yet."""
    world.client.run(["nft", "add table ip hole; add chain ip hole in "
                      "{ type filter hook input priority 0; }; "
                      "add rule ip hole in tcp dport 81 drop"])
    s = world.keep(world.pod.socket(uid=1000))
    s.connect((CLIENT[4], 81))
    flow, = wait_until(lambda: flows(proxy)["flows"], "the flow")
    assert flow["state"] == "connecting" and flow["upstream"] is None
    assert flow["destination"] == f"{CLIENT[4]}:81"


@pytest.fixture
def crowd(world, echo, start_proxy):
    """500 flows of two threads that stay: (proxy, the clients' sockets by address)."""
    sluice(world.pod, "apply", "--heartbeat-timeout=20s")
    proxy = start_proxy("--heartbeat-timeout=20s", "--threads=2")
    proxy.wait_armed()
    echo(world.pod, 4)
    held = {}
    for _ in range(500):
        s = world.keep(world.client.socket())
        s.connect((POD[4], 7))
        s.sendall(b"x")
        assert s.recv(1) == b"x"
        held[text(s.getsockname())] = s
    return proxy, held


def test_many_while_others_come_and_go(world, crowd):
    """Those that stay are listed exactly once, whatever happens around them."""
    proxy, held = crowd
    ending = threading.Event()

    def churn():
        while not ending.is_set():
            with world.client.socket() as s:
                s.connect((POD[4], 7))
                s.sendall(b"x")
                s.recv(1)

    churners = [threading.Thread(target=churn) for _ in range(2)]
    for t in churners:
        t.start()
    try:
        for _ in range(20):
            listed = flows(proxy)
            clients = [f["client"] for f in listed["flows"]]
            assert len(clients) == len(set(clients)) == listed["listed"]
            assert set(held) <= set(clients)
            ids = [f["id"] for f in listed["flows"]]
            assert len(ids) == len(set(ids))
    finally:
        ending.set()
        for t in churners:
            t.join()


def test_limits(crowd):
    proxy, held = crowd
    for limit in (0, 1, 64, 65, 499):
        listed = flows(proxy, f"?a=b&limit={limit}")
        assert listed["listed"] == len(listed["flows"]) == limit and listed["truncated"]
    listed = flows(proxy, f"?limit={len(held)}")
    assert listed["listed"] == len(held) and not listed["truncated"]
    assert proxy.get("/flows?limit=-1")[0] == 400
    assert proxy.get("/flows", method="HEAD")[2] == b""
    assert proxy.get("/flows", method="POST")[0] == 405


def test_an_old_client(crowd):
    """HTTP/1.0 knows no chunks: the end of the connection is the end."""
    proxy, held = crowd
    with proxy.netns.socket() as s:
        s.connect(("127.0.0.1", 9901))
        s.sendall(b"GET /flows HTTP/1.0\r\nHost: localhost\r\n\r\n")
        answer = b""
        while more := s.recv(65536):
            answer += more
    head, body = answer.split(b"\r\n\r\n", 1)
    assert b"chunked" not in head and b"Connection: close" in head
    assert json.loads(body)["listed"] == len(held)


def test_readers_that_stall(world, crowd):
    """They keep the places of readers, and nothing else; who hangs up frees one."""
    proxy, held = crowd
    stalled = []
    for _ in range(4):
        s = world.keep(proxy.netns.socket())
        s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
        s.connect(("127.0.0.1", 9901))
        # More than fits in between, however large the server's buffer is.
        s.sendall(b"GET /flows HTTP/1.1\r\nHost: localhost\r\n\r\n" * 60)
        stalled.append(s)
    status, _, body = wait_until(lambda: (a := proxy.get("/flows"))[0] == 503 and a, "places taken")
    assert b"try again" in body
    assert proxy.get("/live")[0] == 200
    assert len(proxy.metrics().find("sluice_connections_active")) > 0
    for s in stalled:
        s.close()
    listed = wait_until(lambda: (a := proxy.get("/flows"))[0] == 200 and a, "a place")
    assert json.loads(listed[2])["listed"] == len(held)


def answers(data):
    """The contents of chunked answers, one behind the other."""
    while data:
        data = data.split(b"\r\n\r\n", 1)[1]
        body, size = b"", 1
        while size:
            line, data = data.split(b"\r\n", 1)
            size = int(line, 16)
            body, data = body + data[:size], data[size + 2:]
        yield json.loads(body)


def test_flows_that_end_under_a_reader(world, crowd):
    """Where it had got to ends, and all behind it: it goes on with what is left, which is none."""
    proxy, held = crowd
    s = world.keep(proxy.netns.socket())
    s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
    s.connect(("127.0.0.1", 9901))
    request = b"GET /flows HTTP/1.1\r\nHost: localhost\r\n"
    s.sendall((request + b"\r\n") * 60 + request + b"Connection: close\r\n\r\n")
    worker = proxy.worker
    s.recv(1000, socket.MSG_PEEK)  # the first list has begun
    for c in held.values():
        c.close()
    wait_until(lambda: proxy.metrics().sum("sluice_connections_active") == 0, "all to end")
    data = b""
    while more := s.recv(1 << 20):
        data += more
    lists = list(answers(data))
    assert len(lists) == 61 and proxy.worker == worker
    assert all(x["listed"] == len(x["flows"]) <= len(held) for x in lists)
    assert lists[-1]["listed"] == 0


def test_not_for_everybody(world, start_proxy, family):
    proxy, path = start_proxy(), "/flows"
    assert proxy.get(path, family=family)[0] == 200
    status, _, body = proxy.get(path, family=family, host="evil.example")
    assert status == 403 and b"Host" in body
    status, _, body = proxy.get(path, family=family, netns=world.client)
    assert status == 403 and b"--admin-open" in body
    opened = proxy.stop() == 0 and start_proxy("--admin-open")
    assert opened.get(path, family=family, netns=world.client)[0] == 200
