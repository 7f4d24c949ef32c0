# SPDX-License-Identifier: GPL-2.0-or-later
"""The forward proxy, and peers that say what nobody asked for, go early, or are told to go."""
import fcntl
import os
import signal
import socket
import struct
import termios
import threading

import pytest

from lib.patience import PATIENCE
from lib.proc import stopped, wait_until
from lib.servers import Server, read_all

from wire.conftest import PATIENT
from wire.test_forward import PORT, SWITCHING, Echo, authority, connect, http


@pytest.fixture
def proxy(start_proxy):
    return start_proxy()


def read_until(s, end):
    data = b""
    while not data.endswith(end):
        data += s.recv(1 << 16)
    return data


def unacknowledged(s):
    """Bytes that the peer's kernel has not taken yet."""
    return struct.unpack("i", fcntl.ioctl(s, termios.TIOCOUTQ, bytes(4)))[0]


@pytest.mark.parametrize("fields", ["", "Upgrade: x\r\n", "Connection: upgrade\r\n"])
@pytest.mark.parametrize("pipelined", [False, True])
def test_a_101_that_nobody_asked_for(world, proxy, family, fields, pipelined):
    """It is no answer: what the client says next is not for that server."""
    got = []

    def serve(s):
        got.append(s.recv(1000))
        s.sendall(SWITCHING)
        got.append(read_all(s))

    server = world.keep(Server(world.client, family, PORT, serve))
    s = connect(world, family)
    request = f"GET / HTTP/1.1\r\nHost: {authority(family)}\r\n{fields}\r\n".encode()
    s.sendall(request + (request.replace(b":8080", b":81") if pipelined else b""))
    answer = read_all(s)
    assert answer.startswith(b"HTTP/1.1 502 ") and answer.count(b"HTTP/1.1") == 1
    server.wait()
    assert got == [request, b""]


def test_an_upgrade_with_a_request_behind_it(world, proxy, family):
    """The server that would take the connection over would get what is for another."""
    got, sent = [], threading.Event()

    def serve(s):
        got.append(s.recv(1000))
        assert sent.wait(PATIENCE)
        s.sendall(SWITCHING)
        got.append(read_all(s))

    server = world.keep(Server(world.client, family, PORT, serve))
    s = connect(world, family)
    request = (f"GET / HTTP/1.1\r\nHost: {authority(family)}\r\nUpgrade: x\r\n"
               "Connection: upgrade\r\n\r\n").encode()
    s.sendall(request)
    wait_until(lambda: got, "the first request")
    s.sendall(request.replace(b":8080", b":81"))
    wait_until(lambda: unacknowledged(s) == 0, "the second request to arrive")
    sent.set()
    answer = read_all(s)
    assert answer.startswith(b"HTTP/1.1 502 ") and answer.count(b"HTTP/1.1") == 1
    server.wait()
    assert got == [request, b""]


def test_a_client_that_reads_when_it_has_sent_all(world, proxy, family):
    """From a server that reads and answers at once, more than all buffers on the way hold."""
    size = 30 << 20

    def serve(s):
        f = s.makefile("rb")
        while f.readline() != b"\r\n":
            pass
        s.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size)
        writer = threading.Thread(target=lambda: s.sendall(bytes(size)))
        writer.start()
        assert len(f.read(size)) == size
        writer.join()
        s.recv(1)

    world.keep(Server(world.client, family, PORT, serve))
    c = http(world, family)
    c.request("POST", "/", bytes(size), host=authority(family))
    assert c.response() == (200, bytes(size))


def test_a_client_that_goes_before_its_answer(world, proxy, family):
    """Its server is told while it works; a client that has only ended its side gets the answer."""
    told = threading.Event()

    def serve(s):
        s.recv(1000)
        assert s.recv(1000) == b""
        told.set()
        s.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")

    world.keep(Server(world.client, family, PORT, serve))
    request = f"GET / HTTP/1.1\r\nHost: {authority(family)}\r\n\r\n".encode()
    s = connect(world, family)
    s.sendall(request)
    wait_until(lambda: proxy.metrics().sum("http_client_active_requests") == 1, "the request")
    s.shutdown(socket.SHUT_WR)
    assert read_all(s).endswith(b"\r\n\r\nok")
    assert told.is_set()
    told.clear()
    s = connect(world, family)
    s.sendall(request)
    s.close()
    assert told.wait(PATIENCE)
    proxy.settled("outbound", 2)


def test_a_client_that_ends_behind_several_requests(world, proxy, family):
    """All are answered, of one server and of another, before either is told."""
    one = world.keep(Echo(world.client, family, 8081, "one"))
    world.keep(Echo(world.client, family, 8082, "two"))
    s = connect(world, family)
    s.sendall(b"".join(f"GET /{n} HTTP/1.1\r\nHost: {authority(family, port)}\r\n\r\n".encode()
                       for n, port in enumerate((8081, 8081, 8082))))
    s.shutdown(socket.SHUT_WR)
    answers = read_all(s)
    assert answers.count(b"one\nGET") == 2 and answers.count(b"two\nGET") == 1
    assert one.connections == 1


def test_many_requests_that_fail(world, start_proxy):
    """As many as are read at once, none of which waits for anything: they do not lie in each other."""
    proxy = start_proxy(stack=512 << 10)
    world.keep(Server(world.client, 4, PORT, lambda s: (
        read_until(s, b"x"), s.sendall(b"HTTP/1.1 204 x\r\n\r\n"), s.recv(1))))
    s = connect(world)
    s.sendall(f"POST / HTTP/1.1\r\nHost: {authority(4)}\r\nContent-Length: 1\r\n\r\n".encode())
    wait_until(lambda: proxy.metrics().sum("http_client_active_requests") == 1, "the request")
    s.sendall(b"x" + b"GET / HTTP/1.1\r\nHost:0.0.0.0\r\n\r\n" * 1900)
    s.shutdown(socket.SHUT_WR)
    answers = read_all(s)
    assert (answers[:13], answers.count(b"HTTP/1.1 403 ")) == (b"HTTP/1.1 204 ", 1900)


@pytest.mark.parametrize("method", ["GET", "CONNECT"])
def test_a_server_that_resets_before_anybody_looks(world, start_proxy, family, method):
    """It was reached, and is told as any that gives no answer, however late the proxy is."""
    gone = threading.Event()

    def serve(s):
        s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        s.close()
        gone.set()

    def state():
        return world.pod.run(["ss", "-tanH", f"dport = :{PORT}"]).split()[:1]

    # Its first SYN is lost: the connection comes about when the next one is sent.
    world.client.nft("table inet t { chain c { type filter hook input priority 0; "
                     f"tcp dport {PORT} drop; }}; }}")
    world.keep(Server(world.client, family, PORT, serve))
    proxy = start_proxy(PATIENT)
    s = connect(world, family)
    target = authority(family)
    s.sendall(f"{method} {'/' if method == 'GET' else target} HTTP/1.1\r\nHost: {target}\r\n\r\n"
              .encode())
    wait_until(lambda: state() == ["SYN-SENT"], "the proxy to connect")
    os.kill(proxy.worker, signal.SIGSTOP)
    try:
        wait_until(lambda: stopped(proxy.worker), "the worker to stop")
        world.client.run(["nft", "delete", "table", "inet", "t"])
        assert gone.wait(PATIENCE)
        wait_until(lambda: not state(), "the reset to arrive")
    finally:
        os.kill(proxy.worker, signal.SIGCONT)
    answer = read_until(s, b"\n")  # it is sent as one
    assert answer.startswith(b"HTTP/1.1 502 ") and b"error=http_protocol_error" in answer
    m = proxy.settled("outbound", 1)
    assert m.by("sluice_connections_closed_total", "outcome") == {"reset_by_server": 1}


def test_a_drain(world, start_proxy, family):
    """Clients that are kept are told to go: at once, or with the answer that they wait for."""
    proxy = start_proxy("--drain-timeout=200s")
    go = threading.Event()

    def serve(s):
        while data := s.recv(1000):
            assert b"/slow" not in data or go.wait(PATIENCE)
            s.sendall(b"HTTP/1.1 204 x\r\n\r\n")

    world.keep(Server(world.client, family, PORT, serve))
    idle, busy = http(world, family), http(world, family)
    for c in (idle, busy):
        c.request("GET", "/", host=authority(family))
        assert c.response()[0] == 204
    busy.request("GET", "/slow", host=authority(family))
    wait_until(lambda: proxy.metrics().sum("http_client_active_requests") == 1, "the request")
    proxy.signal(signal.SIGTERM)
    assert idle.socket.recv(1) == b""
    idle.close()
    go.set()
    assert busy.response()[0] == 204
    assert busy.socket.recv(1) == b""
    busy.close()
    assert proxy.wait() == 0
