# SPDX-License-Identifier: GPL-2.0-or-later
"""What a proxy on the way might soften, delay or cut, and must not: aborts while nothing can be
sent, long heads, destinations that never answer; and how the sockets on both sides are set."""
import ctypes
import errno
import os
import socket
import struct
import threading

import pytest

from lib.netns import libc
from lib.patience import PATIENCE
from lib.proc import wait_until
from lib.rawhttp import RawHttp
from lib.servers import Server, pattern
from lib.witness import LINGER_RST

PORT = 8500
SYS_PIDFD_OPEN, SYS_PIDFD_GETFD = 434, 438
TCP_KEEPIDLE, TCP_KEEPINTVL, TCP_KEEPCNT = 4, 5, 6


def reset(s):
    s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, LINGER_RST)
    s.close()


def fill(s, data=bytes(1 << 16)):
    """Sends until nothing more is taken; how much that was."""
    s.setblocking(False)
    sent = stalled = 0
    while stalled < 20:
        try:
            sent += s.send(data)
            stalled = 0
        except BlockingIOError:
            stalled += 1
            threading.Event().wait(0.01)
    s.settimeout(PATIENCE)
    return sent


def outcomes(proxy, side):
    return proxy.settled(side.direction).by("sluice_connections_closed_total", "outcome")


# ---- At a zero window ----

def test_a_client_that_reads_nothing_and_resets(side, family, proxy, world):
    """The server, which waits to send, learns of it."""
    full, met = threading.Event(), []

    def serve(s):
        fill(s)
        full.set()
        try:
            while True:
                s.sendall(bytes(1 << 16))
        except ConnectionError as e:
            met.append(type(e))

    server = world.keep(Server(side.server, family, PORT, serve))
    s = side.connect(family, PORT)
    assert full.wait(PATIENCE)
    reset(s)
    server.wait()
    assert met and met[0] in (ConnectionResetError, BrokenPipeError)
    assert outcomes(proxy, side) == {"reset_by_client": 1}


def test_a_server_that_reads_nothing_and_resets(side, family, proxy, world):
    """The same the other way; what the client sent and nobody took is gone, as ever."""
    go = threading.Event()
    world.keep(Server(side.server, family, PORT, lambda s: (go.wait(PATIENCE), reset(s))))
    with side.connect(family, PORT) as s:
        fill(s)
        go.set()
        with pytest.raises(ConnectionError):
            while True:
                s.sendall(bytes(1 << 16))
    assert outcomes(proxy, side) == {"reset_by_server": 1}


def test_a_server_that_resets_while_the_client_does_not_read(side, proxy, world):
    """An abort is an abort, however much is still on the way: never an end that looks whole."""
    gone = threading.Event()

    def serve(s):
        fill(s)
        reset(s)
        gone.set()

    world.keep(Server(side.server, 4, PORT, serve))
    with side.connect(4, PORT) as s:
        assert gone.wait(PATIENCE)
        with pytest.raises(ConnectionResetError):
            while s.recv(1 << 16):
                pass
            pytest.fail("the abort arrived as a FIN")
    assert outcomes(proxy, side) == {"reset_by_server": 1}


def test_a_window_that_opens_a_little_at_a_time(side, family, proxy, world):
    """A reader with the smallest of buffers gets everything, in order."""
    data = pattern(300000, 5)
    world.keep(Server(side.server, family, PORT, lambda s: s.sendall(data)))
    s = side.client.socket(family, uid=side.uid)
    with s:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)
        s.connect((side.address[family], PORT))
        got = bytearray()
        while more := s.recv(701):
            got += more
    assert got == data
    assert outcomes(proxy, side) == {"closed": 1}


# ---- Heads of 100,000 bytes ----

HEADS = {"one field": "X-Long: " + "h" * 100_000 + "\r\n",
         "many fields": "".join(f"X-{n}: {'v' * 90}\r\n" for n in range(1000))}


@pytest.mark.parametrize("head", HEADS)
def test_a_head_of_100000_bytes(side, family, proxy, world, head):
    fields = HEADS[head]
    answer = f"HTTP/1.1 200 OK\r\n{fields}Content-Length: 5\r\n\r\nhello".encode()
    seen = []

    def serve(s):
        for _ in range(3):
            data = b""
            while b"\r\n\r\n" not in data:
                data += s.recv(65536)
            seen.append(data)
            s.sendall(answer)

    server = world.keep(Server(side.server, family, PORT, serve))
    http = world.keep(RawHttp(side.connect(family, PORT)))
    for _ in range(3):
        http.request("GET", "/" + "p" * 20_000, headers=fields)
        assert http.response() == (200, b"hello")
    http.close()
    server.wait()
    assert len(set(seen)) == 1 and fields.encode() in seen[0] and len(seen[0]) > 110_000
    m = proxy.settled(side.direction)
    assert m.sum(f"{side.http}_request_duration_seconds_count",
                 http_response_status_code="200") == 3
    assert m.sum("sluice_bytes_total", way="to_server") == http.sent
    assert m.sum("sluice_bytes_total", way="to_client") == http.received == 3 * len(answer)
    assert m.sum("sluice_observer_lost_total") == 0


# ---- A destination that never answers ----

def test_a_destination_that_never_answers(world, proxy, family):
    """The kernel gives up, and so does the flow: by a reset, which is what is left to say."""
    where = {4: "192.0.2.1", 6: "2001:db8:ffff::1"}[family]
    world.client.ip(f"route add blackhole {where}")
    world.client.sysctl("net/ipv4/ip_forward", 1)
    world.client.sysctl("net/ipv6/conf/all/forwarding", 1)
    # As few tries as there can be; the default takes two minutes.
    world.pod.sysctl("net/ipv4/tcp_syn_retries", 1)
    with world.pod.socket(family, uid=1000) as s:
        s.connect((where, 80))
        s.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        with pytest.raises(ConnectionResetError):
            s.recv(1)
    m = proxy.settled()
    assert m.by("sluice_connections_closed_total", "outcome") == {"timeout": 1}


# ---- How sockets are set ----

def sockets_of(pid):
    """Copies of a process's connected TCP sockets."""
    pidfd = libc.syscall(SYS_PIDFD_OPEN, pid, 0)
    assert pidfd >= 0
    found = []
    try:
        for name in os.listdir(f"/proc/{pid}/fd"):
            try:
                if not os.readlink(f"/proc/{pid}/fd/{name}").startswith("socket:"):
                    continue
            except FileNotFoundError:
                continue  # closed since it was listed: an answered scrape, a timer
            fd = libc.syscall(SYS_PIDFD_GETFD, pidfd, int(name), 0)
            if fd < 0 and ctypes.get_errno() == errno.EBADF:
                continue
            assert fd >= 0, os.strerror(ctypes.get_errno())
            s = socket.socket(fileno=fd)
            if s.type == socket.SOCK_STREAM and s.family in (socket.AF_INET, socket.AF_INET6) and \
                    not s.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
                found.append(s)
            else:
                s.close()
    finally:
        os.close(pidfd)
    return found


def options(pid):
    """How each of them is set."""
    told = []
    for s in sockets_of(pid):
        with s:
            linger = s.getsockopt(socket.SOL_SOCKET, socket.SO_LINGER, 8)
            told.append({
                "nodelay": s.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY),
                "inline": s.getsockopt(socket.SOL_SOCKET, socket.SO_OOBINLINE),
                "linger": struct.unpack("ii", linger),
                "keepalive": s.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) and tuple(
                    s.getsockopt(socket.IPPROTO_TCP, name)
                    for name in (TCP_KEEPIDLE, TCP_KEEPINTVL, TCP_KEEPCNT))})
    return told


def test_both_legs_send_at_once_and_are_kept_alive(side, family, proxy, world):
    """No delay by Nagle; probes that keep what is on the way awake; a worker's death is a reset."""
    ended = threading.Event()
    world.keep(Server(side.server, family, PORT, lambda s: (s.sendall(b"x"), ended.wait(PATIENCE))))
    with side.connect(family, PORT) as s:
        assert s.recv(1) == b"x"
        born = {"nodelay": 1, "inline": 1, "linger": (1, 0)}
        for leg in (legs := options(proxy.worker)):
            assert {name: leg[name] for name in born} == born
        assert len(legs) == 2
        # Flows that end soon are spared the probes: they begin a little later.
        wait_until(lambda: options(proxy.worker) == 2 * [{**born, "keepalive": (25, 25, 127)}],
                   "keepalive on both legs")
    ended.set()


def test_the_server_knows_its_client_before_a_byte_was_sent(side, family, proxy, world):
    """Nothing is waited for to find out what is spoken: both ends may be silent for ever."""
    connected, go = threading.Event(), threading.Event()
    world.keep(Server(side.server, family, PORT, lambda s: (connected.set(), go.wait(PATIENCE),
                                                            s.sendall(b"at last"))))
    with side.connect(family, PORT) as s:
        assert connected.wait(PATIENCE), "the server was not connected to"
        m = proxy.metrics()
        assert m.sum("sluice_bytes_total", direction=side.direction) == 0
        go.set()
        assert s.recv(100) == b"at last"
    ended = proxy.settled(side.direction).by("sluice_connections_closed_total", "protocol")
    assert ended == {"tcp": 1}
