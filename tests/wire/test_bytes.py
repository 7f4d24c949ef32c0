# SPDX-License-Identifier: GPL-2.0-or-later
"""Bytes in are bytes out: by checksum, both ways, with slow readers and half-closes."""
import socket
import threading
import time

import pytest

from lib.patience import PATIENCE
from lib.servers import Server, digest, pattern, read_all
from lib.sluice import sanitized

MIB = 1 << 20
SIZES = [1, 1000, 65536, MIB + 1, 100 * MIB]
PORT = 8500


def exchange(s, size, seed, first, slow):
    """One end: sends `size` bytes and its FIN, and reads to the other's, in either order."""
    def send():
        s.sendall(pattern(size, seed))
        s.shutdown(socket.SHUT_WR)

    def read():
        return digest(read_all(s, pause=0.02 if slow else 0, pause_until=min(size, MIB)))

    if first == "send":
        send()
        return read()
    got = read()
    send()
    return got


@pytest.mark.parametrize("first", ["client", "server"])
@pytest.mark.parametrize("size", SIZES)
def test_one_way_then_the_other(side, proxy, size, first, world):
    """Who goes first half-closes, and still gets everything that the other sends after that."""
    got = []

    def serve(s):
        got.append(exchange(s, size, 1, "send" if first == "server" else "read", slow=False))

    server = world.keep(Server(side.server, 4, PORT, serve))
    with side.connect(4, PORT) as s:
        answer = exchange(s, size, 2, "send" if first == "client" else "read", slow=False)
        assert answer == digest(pattern(size, 1))
    m = proxy.settled(side.direction)
    server.wait()
    assert got == [digest(pattern(size, 2))]
    for way in ("to_server", "to_client"):
        assert m.sum("sluice_bytes_total", direction=side.direction, way=way) == size
    assert m.by("sluice_connections_closed_total", "outcome") == {"closed": 1}


@pytest.mark.parametrize("slow", ["client", "server", "both", "none"])
def test_both_ways_at_once(side, family, proxy, slow, world):
    size = 8 * MIB
    got = []

    def serve(s):
        got.append(duplex(s, size, 1, slow in ("server", "both")))

    server = world.keep(Server(side.server, family, PORT, serve))
    with side.connect(family, PORT) as s:
        assert duplex(s, size, 2, slow in ("client", "both")) == digest(pattern(size, 1))
    m = proxy.settled(side.direction)
    server.wait()
    assert got == [digest(pattern(size, 2))]
    for way in ("to_server", "to_client"):
        assert m.sum("sluice_bytes_total", direction=side.direction, way=way) == size


def duplex(s, size, seed, slow):
    """Sends and reads at the same time; the digest of what came."""
    if slow:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 17)

    def send():
        s.sendall(pattern(size, seed))
        s.shutdown(socket.SHUT_WR)

    sender = threading.Thread(target=send)
    sender.start()
    try:
        return digest(read_all(s, pause=0.005 if slow else 0, pause_until=MIB))
    finally:
        sender.join(PATIENCE)


def test_a_stalled_reader_holds_the_sender_back(side, proxy, world):
    """Backpressure reaches the sender, and the proxy's memory does not grow with it."""
    hold, done = threading.Event(), []

    def serve(s):
        hold.wait(PATIENCE)
        done.append(digest(read_all(s)))

    server = world.keep(Server(side.server, 4, PORT, serve))
    data = pattern(64 * MIB)
    with side.connect(4, PORT) as s:
        s.setblocking(False)
        sent = stalled = 0
        while stalled < 20:
            try:
                sent += s.send(data[sent:sent + MIB])
                stalled = 0
            except BlockingIOError:
                stalled += 1
                threading.Event().wait(0.01)
        assert sent < len(data), "64 MiB went into thin air"
        rss = resident(proxy.worker)
        hold.set()
        s.settimeout(PATIENCE)
        s.sendall(data[sent:])
        s.shutdown(socket.SHUT_WR)
        assert s.recv(1) == b""
    server.wait()
    assert done == [digest(data)]
    assert rss < 64 * MIB or sanitized()


def resident(pid):
    with open(f"/proc/{pid}/statm", encoding="ascii") as f:
        return int(f.read().split()[1]) * 4096


def test_many_small_messages_keep_their_order(side, family, proxy, world):
    """A conversation: each side answers what it got, one byte to a few thousand."""
    def serve(s):
        while data := s.recv(1 << 16):
            s.sendall(data)

    world.keep(Server(side.server, family, PORT, serve))
    with side.connect(family, PORT) as s:
        for n in [1, 2, 3, 1447, 1448, 1449, 4096, 7] * 40:
            message = pattern(n, n % 7)
            s.sendall(message)
            answer = b""
            while len(answer) < n:
                answer += s.recv(1 << 16)
            assert answer == message


def http_messages(start, size, chunk):
    """Three messages: bodies in chunks, by length, in chunks; an observer reads them all."""
    data = pattern(size, 3)
    parts = [start, b"Transfer-Encoding: chunked\r\n\r\n"]
    for at in range(0, size, chunk):
        piece = data[at:at + chunk]
        parts.append(b"%x\r\n%b\r\n" % (len(piece), piece))
    chunked = b"".join([*parts, b"0\r\n\r\n"])
    return [chunked, start + b"Content-Length: %d\r\n\r\n" % size + data, chunked]


def read_exactly(s, size, slow):
    got = bytearray()
    while len(got) < size:
        data = s.recv(min(1 << 16, size - len(got)))
        assert data, "an early end"
        got += data
        if slow:
            time.sleep(0.003)
    return digest(got)


@pytest.mark.parametrize("slow", ["client", "server"])
@pytest.mark.parametrize("chunk", [1000, 40000])
def test_http_bodies_with_a_slow_reader(side, proxy, slow, chunk, world):
    """Bytes that the observer looks at go another way through the proxy than those it skips."""
    size = 2 * MIB
    requests = http_messages(b"POST / HTTP/1.1\r\nHost: a\r\n", size, chunk)
    responses = http_messages(b"HTTP/1.1 200 OK\r\n", size, chunk)
    got = []

    def serve(s):
        if slow == "server":
            s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 17)
        for request, response in zip(requests, responses, strict=True):
            got.append(read_exactly(s, len(request), slow == "server"))
            s.sendall(response)

    server = world.keep(Server(side.server, 4, PORT, serve))
    with side.connect(4, PORT) as s:
        if slow == "client":
            s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 17)
        for request, response in zip(requests, responses, strict=True):
            s.sendall(request)
            assert read_exactly(s, len(response), slow == "client") == digest(response)
    server.wait()
    assert got == [digest(r) for r in requests]
    m = proxy.settled(side.direction)
    assert m.sum(f"{side.http}_request_duration_seconds_count") == 3
    assert m.sum(f"{side.http}_request_body_size_bytes_sum") == 3 * size
    assert m.sum(f"{side.http}_response_body_size_bytes_sum") == 3 * size
    assert m.sum("sluice_observer_lost_total") == 0
