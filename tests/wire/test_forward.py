# SPDX-License-Identifier: GPL-2.0-or-later
"""The forward proxy for clients that ask for it: HTTP_PROXY=http://127.0.0.1:9001, and no rules."""
import contextlib
import os
import socket
import subprocess
import threading
import time

import pytest

from lib.patience import PATIENCE
from lib.proc import Process, child_setup, wait_until
from lib.rawhttp import RawHttp
from lib.servers import Server, read_all
from lib.world import LOOPBACK, OUTSIDE, OUTSIDE_NEAR, POD

PORT = 8080


def literal(address):
    return f"[{address}]" if ":" in address else address


def authority(family, port=PORT, where=OUTSIDE):
    return f"{literal(where[family])}:{port}"


def connect(world, family=4, port=9001):
    s = world.keep(world.pod.socket(family, uid=1000))
    s.connect((LOOPBACK[family], port))
    return s


def http(world, family=4):
    return RawHttp(connect(world, family))


def curl(world, *args, env=None, ok=True):
    done = subprocess.run(["curl", "-sS", "--max-time", str(PATIENCE), *args], capture_output=True,
                          text=True, check=False, timeout=2 * PATIENCE, env=env,
                          preexec_fn=child_setup(world.pod, uid=1000))
    assert not ok or done.returncode == 0, done
    return done


class Echo(Server):
    """Answers each request with its name and the head that it got; counts connections."""

    def __init__(self, netns, family, port, name="echo", serve=None):
        self.name = name.encode()
        self.connections = 0
        self.heads = []
        super().__init__(netns, family, port, serve or self.answer)

    def answer(self, s):
        self.connections += 1
        f = s.makefile("rb")
        while True:
            head = b""
            while not head.endswith(b"\r\n\r\n"):
                line = f.readline()
                if not line:
                    return
                head += line
            self.heads.append(head)
            length = [int(line.split(b":")[1]) for line in head.split(b"\r\n")
                      if line.lower().startswith(b"content-length:")]
            body = f.read(length[0]) if length else b""
            text = self.name + b"\n" + head + body
            s.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(text), text))


@pytest.fixture
def proxy(start_proxy):
    return start_proxy()


@pytest.fixture
def echo(world):
    def start(family=4, port=PORT, name="echo", **kwargs):
        return world.keep(Echo(world.client, family, port, name, **kwargs))
    return start


def test_curl(world, proxy, nginx, family):
    """By option, by environment, through a tunnel; kept connections and not."""
    nginx(world.client)
    url = f"http://{authority(family)}/hello"
    via = f"http://{literal(LOOPBACK[family])}:9001"
    assert curl(world, "-x", via, url, url).stdout == "hello\nhello\n"
    assert curl(world, "-x", via, "--http1.0", url).stdout == "hello\n"
    assert curl(world, "-x", via, "--proxytunnel", url, url).stdout == "hello\nhello\n"
    assert curl(world, url, env={"http_proxy": via, "PATH": "/usr/bin"}).stdout == "hello\n"
    assert curl(world, "-x", via, "-d", "x" * 100000, f"http://{authority(family)}/post"
                ).stdout == "taken\n"
    assert curl(world, "-x", via, "-I", url).stdout.startswith("HTTP/1.1 200")
    m = proxy.settled("outbound", 6)
    assert m.sum("sluice_connections_opened_total", direction="outbound",
                 server_port=str(PORT)) == 6
    assert m.by("http_client_request_duration_seconds_count", "http_request_method") == {
        "GET": 4, "CONNECT": 1, "POST": 1, "HEAD": 1}
    assert m.by("sluice_connections_closed_total", "server_address") == {OUTSIDE[family]: 6}


def test_what_the_server_sees(world, proxy, echo, family):
    """A path and its host; the rest as it was, byte by byte."""
    server = echo(family)
    host = authority(family)
    c = http(world, family)
    c.send(f"PuT http://{host}/a%20b?c HTTP/1.1\r\nX-Case:  kept \r\nhOST:{host}\r\n"
           f"Proxy-Connection: keep-alive\r\nContent-Length: 3\r\nProxy-Authorization: x\r\n"
           f"Connection: keep-alive, X-Case\r\n\r\nabc".encode())
    status, body = c.response()
    assert status == 200
    assert body == (f"echo\nPuT /a%20b?c HTTP/1.1\r\nX-Case:  kept \r\nhOST:{host}\r\n"
                    "Content-Length: 3\r\nConnection: keep-alive, X-Case\r\n\r\nabc").encode()
    c.send(f"GET http://{host} HTTP/1.1\r\nHost: other.example\r\n\r\n".encode())
    assert c.response()[1] == f"echo\nGET / HTTP/1.1\r\nHost: {host}\r\n\r\n".encode()
    c.send(f"GET /x HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
    assert c.response()[1] == f"echo\nGET /x HTTP/1.1\r\nHost: {host}\r\n\r\n".encode()
    assert server.connections == 1


def test_two_servers_over_one_connection(world, proxy, echo, family):
    """Each request goes where it says; the answers come in order, pipelined or not."""
    one, two = echo(family, 8081, "one"), echo(family, 8082, "two")
    c = http(world, family)
    ports = (8081, 8082, 8082, 8081)
    for port in ports:
        c.request("GET", "/", host=authority(family, port))
        status, body = c.response()
        assert status == 200 and body.startswith(b"one" if port == 8081 else b"two")
    c.send(b"".join(f"POST /{n} HTTP/1.1\r\nHost: {authority(family, port)}\r\n"
                    f"Content-Length: 2\r\n\r\n{n:02}".encode()
                    for n, port in enumerate(ports)))
    for n, port in enumerate(ports):
        status, body = c.response()
        assert status == 200 and body.startswith(b"one" if port == 8081 else b"two")
        assert b"POST /%d " % n in body and body.endswith(b"%02d" % n)
    c.close()
    assert (one.connections, two.connections) == (3, 2)
    m = proxy.settled("outbound", 5)
    assert m.by("sluice_connections_opened_total", "server_port") == {"8081": 3, "8082": 2}
    assert m.by("http_client_request_duration_seconds_count", "server_port") == {
        "8081": 4, "8082": 4}
    assert m.sum("http_client_active_requests") == 0


@pytest.mark.parametrize("pieces", [1, 7, 1000])
def test_requests_and_answers_in_pieces(world, proxy, family, pieces):
    """However heads, chunks and trailers are cut."""
    answer = (b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n"
              b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
              b"5;a=b\r\nhello\r\n1\r\n!\r\n0\r\nTrailer: x\r\n\r\n")
    content = b"4\r\nwxyz\r\n0;last\r\nX: y\r\n\r\n"
    got = []

    def serve(s):
        for _ in range(2):
            data = b""
            while not data.endswith(content):
                data += s.recv(65536)
            got.append(data)
            for at in range(0, len(answer), pieces):
                s.sendall(answer[at:at + pieces])

    world.keep(Server(world.client, family, PORT, serve))
    host = authority(family)
    request = (f"POST / HTTP/1.1\r\nHost: {host}\r\nTransfer-Encoding: chunked\r\n\r\n".encode()
               + content)
    s = connect(world, family)
    s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    for _ in range(2):
        for at in range(0, len(request), pieces):
            s.sendall(request[at:at + pieces])
        data = b""
        while len(data) < len(answer):
            data += s.recv(65536)
        assert data == answer
    assert got == [request, request]


BAD = [b"GET / HTTP/1.1\r\n\r\n", b"GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n",
       b"GET / HTTP/1.1\r\nHost: a\r\n X: y\r\n\r\n", b"GET / HTTP/1.1\r\nHost : a\r\n\r\n",
       b"GET / HTTP/1.1\nHost: a\n\n", b"GET https://a/ HTTP/1.1\r\nHost: a\r\n\r\n",
       b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
       b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
       b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: identity\r\n\r\n",
       b"CONNECT a HTTP/1.1\r\nHost: a\r\n\r\n", b"\x16\x03\x01\r\n\r\n", b"hello\r\n"]


@pytest.mark.parametrize("request_", BAD)
def test_what_is_no_request_is_refused(world, proxy, request_):
    s = connect(world)
    s.sendall(request_)
    answer = read_all(s)
    assert answer.startswith(b"HTTP/1.1 400 Bad Request\r\n")
    assert b"\r\nConnection: close\r\n" in answer and answer.count(b"HTTP/1.1") == 1


def test_bad_chunks_end_the_connection(world, proxy, echo):
    """Nothing behind them is taken for a request."""
    server = echo()
    s = connect(world)
    host = authority(4)
    s.sendall(f"POST / HTTP/1.1\r\nHost: {host}\r\nTransfer-Encoding: chunked\r\n\r\n"
              f"1\nx\r\n0\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
    answer = read_all(s)
    assert answer.startswith(b"HTTP/1.1 400 ") and answer.count(b"HTTP/1.1") == 1
    assert not any(b"smuggled" in head for head in server.heads)


def test_a_head_that_is_too_large(world, proxy):
    s = connect(world)
    with contextlib.suppress(ConnectionError):
        s.sendall(b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"y" * 140000)
    assert read_all(s).startswith(b"HTTP/1.1 431 ")


def test_a_large_head_passes(world, proxy, echo):
    echo()
    c = http(world)
    c.request("GET", "/", host=authority(4), headers=f"X: {'y' * 100000}\r\n")
    status, body = c.response()
    assert status == 200 and b"y" * 100000 in body


FORBIDDEN = ["127.0.0.1", "127.8.9.10", "0.0.0.0", "0.1.2.3", "[::1]", "[::]",
             "[::ffff:127.0.0.1]", "[::ffff:a9fe:a9fe]", "[::127.0.0.1]",
             "[64:ff9b::127.0.0.1]", "[64:ff9b::a9fe:a9fe]", "[64:ff9b:1::127.0.0.1]",
             "[64:ff9b:1:7f00:0:100::]", "[2002:7f00:1::]", "169.254.169.254", "169.254.1.1",
             "[fe80::1]", "100.100.100.200", "[fd00:ec2::254]", "224.0.0.1", "[ff02::1]",
             "255.255.255.255"]


@pytest.mark.parametrize("way", ["CONNECT", "absolute", "host"])
def test_where_nobody_is_taken(world, proxy, way):
    """Not to this host in whatever spelling, its link, or its cloud; the connection goes on."""
    seen = world.keep(Server(world.pod, 4, PORT, lambda s: s.sendall(b"here")))
    pod = [POD[4], f"[{POD[6]}]", "10.78.0.2", f"[::ffff:{POD[4]}]", "10.77.0.255"]
    c = http(world)
    for host in FORBIDDEN + pod:
        target = {"CONNECT": f"{host}:{PORT}", "absolute": f"http://{host}:{PORT}/",
                  "host": "/"}[way]
        c.request("CONNECT" if way == "CONNECT" else "GET", target, host=f"{host}:{PORT}")
        status, body = c.response()
        assert status == 403, (host, status, body)
    c.close()
    assert len(seen._threads) == 1, "somebody was taken there"
    m = proxy.settled("outbound", len(FORBIDDEN + pod))
    assert m.by("sluice_connections_closed_total", "outcome") == {
        "forbidden": len(FORBIDDEN + pod)}


@pytest.mark.parametrize("port", [9001, 9211, 9226, 9901])
def test_our_own_ports_are_refused_anywhere(world, proxy, port):
    c = http(world)
    c.request("GET", "/", host=f"{OUTSIDE[4]}:{port}")
    assert c.response()[0] == 403
    c.request("CONNECT", f"{OUTSIDE[4]}:{port}", host="x")
    assert c.response()[0] == 403


def test_a_server_that_refuses(world, proxy, echo, family):
    """502, and the connection goes on."""
    echo(family)
    c = http(world, family)
    c.request("GET", "/", host=authority(family, 81))
    assert c.response()[0] == 502
    c.request("HEAD", "/", host=authority(family, 81))
    assert c.response("HEAD")[0] == 502
    c.request("CONNECT", authority(family, 81), host="x")
    assert c.response()[0] == 502
    c.request("GET", "/", host=authority(family))
    assert c.response()[0] == 200
    c.close()
    m = proxy.settled("outbound", 4)
    assert m.by("sluice_connections_closed_total", "outcome") == {"refused": 3, "closed": 1}
    assert m.by("http_client_request_duration_seconds_count", "http_response_status_code") == {
        "200": 1, "502": 3}


def test_a_server_that_is_not_reached(world, proxy):
    world.pod.ip("route add unreachable 192.0.2.0/24")
    c = http(world)
    c.request("GET", "/", host="192.0.2.1")
    assert c.response()[0] == 502
    world.pod.sysctl("net/ipv4/tcp_syn_retries", 1)
    world.client.nft("table ip t { chain c { type filter hook input priority 0; "
                     "tcp dport 82 drop; }; }")
    c.request("GET", "/", host=authority(4, 82))
    assert c.response()[0] == 504


@pytest.mark.parametrize("answer", [b"", b"ICY 200 OK\r\n\r\n", b"HTTP/1.1 200 OK\r\n"
                                    b"Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
                                    b"HTTP/1.1 200 OK\r\nX: y"])
def test_a_server_that_gives_no_answer(world, proxy, answer):
    world.keep(Server(world.client, 4, PORT, lambda s: (s.recv(1000), s.sendall(answer))))
    c = http(world)
    c.request("GET", "/", host=authority(4))
    assert c.response()[0] == 502


def test_a_server_that_says_more_than_an_answer(world, proxy, echo):
    """What nobody asked for reaches nobody: it might be taken for another's answer."""
    extra = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nfalse"
    good = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ntrue"
    world.keep(Server(world.client, 4, PORT, lambda s: (s.recv(1000), s.sendall(good + extra),
                                                        s.recv(1))))
    s = connect(world)
    request = b"GET / HTTP/1.1\r\nHost: %s\r\n\r\n" % authority(4).encode()
    s.sendall(request + request.replace(b"8080", b"8081"))
    assert read_all(s) == good


@pytest.mark.parametrize("reset", [False, True])
def test_how_a_server_ends_is_how_its_client_ends(world, proxy, family, reset):
    """Cut short with FIN or reset: what there was of the answer, and the same end."""
    head = b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\npart"
    passed = threading.Event()

    def serve(s):
        s.recv(1000)
        s.sendall(head)
        passed.wait(PATIENCE)
        if reset:
            s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            s.close()

    world.keep(Server(world.client, family, PORT, serve))
    s = connect(world, family)
    s.sendall(f"GET / HTTP/1.1\r\nHost: {authority(family)}\r\n\r\n".encode())
    data = b""
    while len(data) < len(head):
        data += s.recv(1000)
    assert data == head
    passed.set()
    if reset:
        with pytest.raises(ConnectionResetError):
            s.recv(1)
    else:
        assert s.recv(1) == b""


def test_an_answer_up_to_the_end(world, proxy, family):
    """Without a length it ends with the connection."""
    world.keep(Server(world.client, family, PORT, lambda s: (
        s.recv(1000), s.sendall(b"HTTP/1.0 200 OK\r\n\r\n" + b"x" * 300000))))
    c = http(world, family)
    c.request("GET", "/", host=authority(family))
    assert c.response() == (200, b"x" * 300000)


def test_an_idle_server_that_goes_takes_its_client_along(world, proxy, family):
    world.keep(Server(world.client, family, PORT, lambda s: (
        s.recv(1000), s.sendall(b"HTTP/1.1 204 x\r\n\r\n"))))
    c = http(world, family)
    c.request("GET", "/", host=authority(family))
    assert c.response()[0] == 204
    assert c.socket.recv(1) == b""
    c.close()
    m = proxy.settled("outbound", 1)
    assert m.by("sluice_connections_closed_total", "outcome") == {"closed": 1}


def test_large_content_both_ways(world, proxy, family):
    """More than all buffers on the way hold, with slow readers on both sides."""
    size = 8 << 20

    def serve(s):
        f = s.makefile("rb")
        while f.readline() != b"\r\n":
            pass
        time.sleep(0.3)
        data = f.read(size)
        s.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size + data)
        s.recv(1)

    world.keep(Server(world.client, family, PORT, serve))
    c = http(world, family)
    body = bytes(range(256)) * (size // 256)
    c.request("POST", "/", body, host=authority(family))
    time.sleep(0.3)
    assert c.response() == (200, body)


def test_an_answer_before_the_request_is_whole(world, proxy, family):
    """The answer arrives, also where the server takes no more and closes."""
    answer = b"HTTP/1.1 413 Too Large\r\nConnection: close\r\nContent-Length: 3\r\n\r\nno\n"
    world.keep(Server(world.client, family, PORT, lambda s: (
        s.recv(1000), s.sendall(answer), s.shutdown(socket.SHUT_WR), read_all(s))))
    s = connect(world, family)
    s.sendall(f"POST / HTTP/1.1\r\nHost: {authority(family)}\r\nContent-Length: 1000000\r\n\r\n"
              .encode() + b"x" * 1000)
    assert read_all(s) == answer


def test_tunnels(world, proxy, family):
    """Whoever speaks first, with what came along with the request, and ends as they are."""
    def serve(s):
        s.sendall(b"220 hello\r\n")
        while data := s.recv(1000):
            s.sendall(data.upper())
        s.sendall(b"bye")

    world.keep(Server(world.client, family, 25, serve))
    s = connect(world, family)
    host = authority(family, 25)
    s.sendall(f"CONNECT {host} HTTP/1.1\r\nHost: {host}\r\n\r\nearly".encode())
    data = b""
    want = b"HTTP/1.1 200 Connection established\r\n\r\n220 hello\r\nEARLY"
    while len(data) < len(want):
        data += s.recv(1000)
    assert data == want
    s.sendall(b"late")
    assert s.recv(1000) == b"LATE"
    s.shutdown(socket.SHUT_WR)
    assert read_all(s) == b"bye"


def test_websocket_upgrade(world, proxy, family):
    """From 101 on the bytes are the two peers' own."""
    def serve(s):
        s.recv(1000)
        s.sendall(SWITCHING + b"\x81\x05first")
        while data := s.recv(1000):
            s.sendall(data[::-1])

    world.keep(Server(world.client, family, PORT, serve))
    s = connect(world, family)
    s.sendall(f"GET / HTTP/1.1\r\nHost: {authority(family)}\r\nUpgrade: x\r\n"
              "Connection: upgrade\r\n\r\n".encode())
    data = b""
    while not data.endswith(b"first"):
        data += s.recv(1000)
    assert b"101" in data
    s.sendall(b"abc")
    assert s.recv(10) == b"cba"
    s.shutdown(socket.SHUT_WR)
    assert s.recv(1) == b""


SWITCHING = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n"


def test_tls_through_a_tunnel(world, proxy, family, tmp_path):
    subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2",
                    "-subj", "/CN=x", "-keyout", tmp_path / "key", "-out", tmp_path / "cert"],
                   check=True, capture_output=True)
    flag = "-4" if family == 4 else "-6"
    server = world.keep(Process(["openssl", "s_server", flag, "-accept", "8443", "-www", "-cert",
                                 str(tmp_path / "cert"), "-key", str(tmp_path / "key")],
                                netns=world.client), "end")
    server.wait_line("ACCEPT")
    done = curl(world, "-k", "-x", f"http://{literal(LOOPBACK[family])}:9001",
                f"https://{authority(family, 8443)}/")
    assert "Ciphers supported" in done.stdout


def test_a_client_that_resets_ends_its_server(world, proxy, family):
    ended = threading.Event()

    def serve(s):
        with contextlib.suppress(ConnectionError):
            s.recv(1000)
            s.recv(1)
        ended.set()

    world.keep(Server(world.client, family, PORT, serve))
    s = connect(world, family)
    s.sendall(f"GET / HTTP/1.1\r\nHost: {authority(family)}\r\n\r\n".encode())
    wait_until(lambda: proxy.metrics().sum("sluice_connections_active") == 1, "the server")
    s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    s.close()
    assert ended.wait(PATIENCE)
    m = proxy.settled("outbound", 1)
    assert m.by("sluice_connections_closed_total", "outcome") == {"reset_by_client": 1}


def test_other_machines_are_not_served(world, start_proxy, family):
    """With --virtual-interfaces the outbound port is open to all: it is no proxy for them."""
    proxy = start_proxy("--virtual-interfaces=veth+")
    for netns, address in ((world.client, POD), (world.pod, POD)):
        with netns.socket(family) as s:
            with pytest.raises(ConnectionResetError):
                s.connect((address[family], 9001))
                s.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
                s.recv(1)
    m = proxy.settled("outbound", 2)
    assert m.by("sluice_connections_closed_total", "outcome") == {"loop": 2}


def test_many_connections_leave_nothing(world, proxy, nginx):
    """Descriptors and memory of the forward proxy are given back."""
    nginx(world.client)
    before = len(os.listdir(f"/proc/{proxy.worker}/fd"))
    for _ in range(3):
        clients = [http(world) for _ in range(100)]
        for n, c in enumerate(clients):
            c.request("GET", "/hello", host=authority(4, where=(OUTSIDE, OUTSIDE_NEAR)[n % 2]))
        for c in clients:
            assert c.response()[0] == 200
        for c in clients:
            c.close()
        proxy.settled("outbound")
    wait_until(lambda: len(os.listdir(f"/proc/{proxy.worker}/fd")) == before, "the descriptors")


def test_curl_is_told_of_failures(world, proxy):
    done = curl(world, "-x", "http://127.0.0.1:9001", "-o", "/dev/null", "-w",
                "%{http_code} %{header_json}", f"http://{authority(4, 81)}/")
    assert done.stdout.startswith("502 ")
    assert "sluice-proxy; error=connection_refused" in done.stdout
