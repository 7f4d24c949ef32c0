# SPDX-License-Identifier: GPL-2.0-or-later
"""The forward proxy's connections: clients that go while their host is sought, and drains."""
import os
import signal
import socket
import threading

import pytest

from lib.dns import DnsServer, ResolvConf
from lib.patience import PATIENCE
from lib.proc import wait_until
from lib.servers import Server, read_all
from lib.witness import LINGER_RST
from lib.world import CLIENT

from wire.test_forward import authority, connect, http
from wire.test_forward_ends import unacknowledged
from wire.test_forward_http2 import (DATA, GOAWAY, HEADERS, SETTINGS, UNKNOWN, WHOLE, Client, Raw, frame,
                                     goaway, lasts, request, trailers)

END_STREAM, END_HEADERS = 1, 4
RST_STREAM = 3
CANCEL = (8).to_bytes(4, "big")
EVERY = 2**31 - 1
OK = b"\x88"

DEAF = 82  # the port whose SYNs are dropped


@pytest.fixture
def deaf(world):
    """The host answers no SYN to one port, until hears() is called."""
    class Deaf:
        host = authority(4, DEAF)

        def __init__(self):
            world.client.nft("table ip deaf { chain c { type filter hook input priority 0; "
                             f"tcp dport {DEAF} drop; }}; }}")

        @staticmethod
        def hears():
            world.client.nft("delete table ip deaf")

    return Deaf()


def sought(proxy):
    """Until the host of one request is looked up or connected to."""
    wait_until(lambda: proxy.metrics().sum("sluice_connections_active", direction="outbound") == 1,
               "the host to be sought")


def descriptors(proxy):
    return len(os.listdir(f"/proc/{proxy.worker}/fd"))


def reset(s):
    s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, LINGER_RST)
    s.close()


def outcomes(m):
    return m.by("sluice_connections_closed_total", "outcome")


def durations(m):
    return m.by("http_client_request_duration_seconds_count", "error_type")


def ask(world, where, version=1):
    """A client that has sent a request, and has no bytes to read."""
    s = connect(world)
    if version == 1:
        s.sendall(f"GET / HTTP/1.1\r\nHost: {where}\r\n\r\n".encode())
    else:
        s.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + frame(SETTINGS) + request(1, where))
        assert s.recv(9, socket.MSG_WAITALL) == frame(SETTINGS)
    return s


@pytest.mark.parametrize("where, end", [
    ("deaf.example", "reset"), (authority(4, DEAF), "reset"), (authority(4, DEAF), "fin")])
@pytest.mark.parametrize("version", [1, 2])
def test_a_client_that_goes_while_its_host_is_sought(world, start_proxy, deaf, where, version, end):
    """While it is looked up, or connected to: nobody waits for what nobody wants any more.

    At once where it resets. Behind a FIN there may be somebody still, but not for long.
    """
    world.keep(DnsServer(world.client, CLIENT[4], lambda question, tcp: []))
    conf = world.keep(ResolvConf(CLIENT[4], options="timeout:30 attempts:9"))
    proxy = start_proxy(f"--resolv-conf={conf.path}")
    before = descriptors(proxy)
    s = ask(world, where, version)
    sought(proxy)
    if end == "reset":
        reset(s)
    else:
        s.close()
    m = proxy.settled("outbound")
    assert outcomes(m) == {"reset_by_client": 1}
    assert m.by("http_client_request_duration_seconds_count", "error_type") == {"cancelled": 1}
    assert m.sum("http_client_active_requests") == 0
    wait_until(lambda: descriptors(proxy) <= before + 1, "all sockets but DNS's to be closed")


def test_clients_that_are_gone_keep_nobody_out(world, start_proxy, deaf):
    """Those that had no patience for a host that is not there."""
    start_proxy("--max-connections=3")
    world.keep(Server(world.client, 4, 8080, lambda s: (
        s.recv(1000), s.sendall(b"HTTP/1.1 204 x\r\n\r\n"), read_all(s))))
    for s in [ask(world, deaf.host) for _ in range(3)]:
        s.close()
    assert ask(world, authority(4)).recv(1000).startswith(b"HTTP/1.1 204")


def test_a_client_that_only_ends_its_side_waits(world, start_proxy, deaf):
    """It may want the answer: RFC 9112 sect. 9.6 forbids it nothing."""
    start_proxy()
    world.keep(Server(world.client, 4, DEAF, lambda s: (
        read_all(s), s.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"))))
    s = connect(world)
    s.sendall(f"GET / HTTP/1.1\r\nHost: {deaf.host}\r\n\r\n".encode())
    s.shutdown(socket.SHUT_WR)
    deaf.hears()
    assert read_all(s).endswith(b"\r\n\r\nok")


class Frames:
    """A server of HTTP/2: answers requests when they are whole, the first when it is told to."""

    def __init__(self, world, port):
        self.go = threading.Event()
        self.taken = bytearray()
        self.server = Server(world.client, 4, port, self.serve)
        world.keep(self)

    def serve(self, s):
        s.sendall(frame(SETTINGS))
        rest = b""
        while data := s.recv(65536):
            self.taken += data
            rest += data
            rest = rest[24:] if rest.startswith(b"PRI") else rest
            whole = set()
            while len(rest) >= 9 and len(rest) >= 9 + int.from_bytes(rest[:3], "big"):
                end = 9 + int.from_bytes(rest[:3], "big")
                head, rest = rest[:9], rest[end:]
                stream = int.from_bytes(head[5:], "big")
                if head[3] == RST_STREAM:
                    whole.discard(stream)
                elif head[3] in (DATA, HEADERS) and head[4] & END_STREAM:
                    whole.add(stream)
            for stream in sorted(whole):
                if stream == 1:
                    assert self.go.wait(PATIENCE)
                s.sendall(frame(HEADERS, WHOLE, stream, OK))

    def close(self):
        self.go.set()
        self.server.close()


def test_streams_that_are_cancelled_while_their_host_is_sought(world, start_proxy, deaf):
    """With the last of them its connection is given up; the client's goes on, and may ask again."""
    proxy = start_proxy()
    before = descriptors(proxy)
    server = Frames(world, DEAF)
    c = Raw(world, request(1, deaf.host) + request(3, deaf.host))
    sought(proxy)
    wait_until(lambda: proxy.metrics().sum("http_client_active_requests") == 2, "both requests")
    c.send(frame(RST_STREAM, 0, 3, CANCEL))
    c.send(frame(RST_STREAM, 0, 1, CANCEL))
    wait_until(lambda: durations(proxy.metrics()) == {"cancelled": 2}, "them to be counted")
    wait_until(lambda: descriptors(proxy) <= before + 1, "all but the client's to be closed")
    deaf.hears()
    c.send(request(5, deaf.host))
    assert (HEADERS, 5, OK) in c.frames((HEADERS, OK))
    assert server.taken.count(request(5, deaf.host)) == 1
    c.socket.close()
    m = proxy.settled("outbound")
    assert outcomes(m) == {"closed": 1}
    assert durations(m) == {None: 1, "cancelled": 2}
    assert m.sum("http_client_active_requests") == 0


def test_some_streams_that_are_cancelled_while_their_host_is_sought(world, start_proxy, deaf):
    """The others wait for it."""
    proxy = start_proxy()
    Frames(world, DEAF)
    c = Raw(world, request(1, deaf.host) + request(3, deaf.host))
    sought(proxy)
    c.send(frame(RST_STREAM, 0, 1, CANCEL))
    c.send(request(5, deaf.host), frame(UNKNOWN, payload=bytes(16384)))
    c.socket.shutdown(socket.SHUT_WR)
    wait_until(lambda: proxy.metrics().sum("sluice_backlog_bytes") >= 16384, "it to be read")
    deaf.hears()
    came = list(c.frames((HEADERS, OK))) + list(c.frames((HEADERS, OK)))
    assert [stream for kind, stream, _ in came if kind == HEADERS] == [3, 5]
    m = proxy.settled("outbound")
    assert outcomes(m) == {"closed": 1}


def test_a_client_that_ends_when_all_is_cancelled(world, start_proxy, deaf):
    proxy = start_proxy()
    before = descriptors(proxy)
    c = Raw(world, request(1, deaf.host))
    sought(proxy)
    c.send(frame(RST_STREAM, 0, 1, CANCEL))
    c.socket.shutdown(socket.SHUT_WR)
    assert list(c.frames()) == [(SETTINGS, 0, b"")]
    m = proxy.settled("outbound")
    assert outcomes(m) == {"reset_by_client": 1}
    assert m.by("sluice_connections_closed_total", "protocol") == {"http2": 1}
    assert durations(m) == {"cancelled": 1}
    wait_until(lambda: descriptors(proxy) <= before, "all sockets to be closed")


def test_requests_that_come_and_go_without_end(world, start_proxy, deaf):
    """They are not kept for a server that nobody asks for."""
    proxy = start_proxy()
    c = Raw(world)
    for n in range(0, 6000, 100):
        c.send(*(request(2 * i + 1, deaf.host) + frame(RST_STREAM, 0, 2 * i + 1, CANCEL)
                 for i in range(n, n + 100)))
    assert list(c.frames())[-1][2][4:] == (11).to_bytes(4, "big")
    wait_until(lambda: proxy.metrics().sum("sluice_backlog_bytes") == 0, "them to be forgotten")


def test_all_requests_that_wait_are_answered_when_their_host_fails(world, start_proxy):
    start_proxy()
    c = Client(connect(world))
    with c.cork():
        streams = [c.request(authority(4, 81)) for _ in range(3)]
    assert [c.answer(stream)[0] for stream in streams] == ["502"] * 3
    c.until(lambda: c.goaway)
    assert c.goaway == (0, streams[-1])


@pytest.fixture
def draining(start_proxy):
    """A proxy that has far more time for a drain than the test."""
    return start_proxy("--drain-timeout=200s")


def test_a_drain_of_an_idle_http2_client(world, draining):
    """RFC 9113 sect. 6.8: it is warned, told, and sees the end."""
    Frames(world, 8080).go.set()
    c = Raw(world, request(1, authority(4)))
    silent = Raw(world)
    came = list(c.frames((HEADERS, OK)))
    draining.signal(signal.SIGTERM)
    came += list(c.frames())
    assert [f for f in came if f[0] == GOAWAY] == [(GOAWAY, 0, goaway(EVERY)[9:]),
                                                   (GOAWAY, 0, goaway(1)[9:])]
    assert lasts(silent.frames()) == [EVERY, 0]
    c.socket.close()
    silent.socket.close()
    assert draining.wait() == 0


def drain_while_busy(world, proxy):
    """Whether the request after the warning was in time, as the proxy says it was."""
    server = Frames(world, 8080)
    host = authority(4)
    c = Raw(world, frame(HEADERS, END_HEADERS, 1, request(1, host)[9:]) + request(3, host))
    assert (HEADERS, 3, OK) in c.frames((HEADERS, OK))
    proxy.signal(signal.SIGTERM)
    came = list(c.frames((GOAWAY, goaway(EVERY)[9:])))
    c.send(request(5, host))
    while len(lasts(came)) < 2:
        came.append(next(c.frames()))
    last = lasts(came)[-1]
    assert last in (3, 5)
    c.send(frame(DATA, 0, 1, b"content"), trailers(1))
    if last == 5:
        wait_until(lambda: trailers(1) in server.taken, "the trailers")
        c.send(request(7, host), frame(DATA, 0, 7, b"left out"))
        # The proxy has it before the server's answer.
        wait_until(lambda: unacknowledged(c.socket) == 0, "it to arrive")
    server.go.set()
    came += c.frames()
    answered = {stream for kind, stream, payload in came if (kind, payload) == (HEADERS, OK)}
    c.socket.close()
    assert proxy.wait() == 0
    server.close()
    assert b"left out" not in server.taken and set(lasts(came)) == {EVERY, last}
    assert last == 3 or answered == {1, 5}
    return last == 5


def test_a_drain_of_a_busy_http2_client(world, start_proxy):
    """Requests under way are taken, and end as they would; only those that come later are not.

    Trailers of the older ones, too. Who is a second late comes too late: again, then.
    """
    assert any(drain_while_busy(world, start_proxy("--drain-timeout=200s")) for _ in range(5))


def test_a_drain_that_begins_while_a_host_is_sought(world, draining, deaf):
    """The request was there first: it is answered, and then the client is told."""
    server = Frames(world, DEAF)
    server.go.set()
    idle = http(world)
    world.keep(Server(world.client, 4, 8080, lambda s: (
        s.recv(1000), s.sendall(b"HTTP/1.1 204 x\r\n\r\n"), s.recv(1))))
    idle.request("GET", "/", host=authority(4))
    assert idle.response()[0] == 204
    c = Raw(world, request(1, deaf.host))
    wait_until(lambda: draining.metrics().sum("sluice_connections_active",
                                              direction="outbound") == 2, "the host to be sought")
    draining.signal(signal.SIGTERM)
    assert idle.socket.recv(1) == b""
    idle.close()
    deaf.hears()
    came = list(c.frames())
    assert (HEADERS, 1, OK) in came
    assert lasts(came) == [EVERY, 1]
    c.socket.close()
    assert draining.wait() == 0


def test_a_drain_leaves_tunnels_alone(world, draining):
    """What goes on in them nobody knows: they have until its end."""
    def echo(s):
        while data := s.recv(1000):
            s.sendall(data)

    world.keep(Server(world.client, 4, 8080, echo))
    tunnel, idle = http(world), Raw(world)
    tunnel.request("CONNECT", authority(4), host="x")
    status = b""
    while not status.endswith(b"\r\n\r\n"):
        status += tunnel.socket.recv(1)
    draining.signal(signal.SIGTERM)
    assert lasts(idle.frames()) == [EVERY, 0]
    idle.socket.close()
    tunnel.send(b"still here")
    assert tunnel.socket.recv(10, socket.MSG_WAITALL) == b"still here"
    tunnel.close()
    assert draining.wait() == 0
