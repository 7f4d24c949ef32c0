# SPDX-License-Identifier: GPL-2.0-or-later
"""Corners of TCP where relays lose bytes, spin, or stop: each was wrong here once."""
import os
import socket
import threading
import time

import pytest

from lib.patience import PATIENCE
from lib.proc import wait_until
from lib.servers import Server, read_all
from lib.sluice import sluice
from lib.witness import LINGER_RST
from lib.world import CLIENT, POD
from wire.conftest import ALIVE

PORT = 8500
HEAD = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n"
HELLO = b"\x16\x03\x01\x40\x00\x01\x00\x3f\xfc\x03\x03"  # the beginning of a ClientHello


def ticks(proxy):
    with open(f"/proc/{proxy.worker}/stat", encoding="ascii") as f:
        fields = f.read().rpartition(")")[2].split()
    return int(fields[11]) + int(fields[12])


def assert_rests(proxy):
    """A second in which nothing happens costs next to nothing; a loop that spins takes all it gets.
    (What came before may go on for a while, on a busy machine.)"""
    def rests():
        before = ticks(proxy)
        time.sleep(1)
        return ticks(proxy) - before < os.sysconf("SC_CLK_TCK") // 10

    wait_until(rests, "the proxy to rest", timeout=20)


def urgent(s, before, after):
    """Sends @before, of which the last byte is urgent, and then @after."""
    s.sendall(before[:-1])
    s.send(before[-1:], socket.MSG_OOB)
    s.sendall(after)


@pytest.mark.parametrize("first", [b"\0" * 50000, HELLO + b"x" * 50000], ids=["tcp", "tls"])
def test_an_urgent_byte_in_a_flow_that_nobody_reads(side, proxy, world, first):
    got, ended = [], threading.Event()

    def serve(s):
        s.setsockopt(socket.SOL_SOCKET, socket.SO_OOBINLINE, 1)
        data = b""
        while len(data) < 2 * len(first) and (more := s.recv(65536)):
            data += more
        got.append(data)
        ended.set()
        s.recv(1)

    world.keep(Server(side.server, 4, PORT, serve))
    with side.connect(4, PORT) as s:
        s.sendall(first)
        time.sleep(0.1)  # so that the rest is a read of its own
        urgent(s, first[:1000], first[1000:])
        assert ended.wait(PATIENCE) and got[0] == first + first
        assert_rests(proxy)


def test_an_urgent_byte_in_a_long_body(side, proxy, world):
    """The answer and its FIN are on their way when the proxy meets the byte."""
    body = bytes(range(256)) * 800
    world.keep(Server(side.server, 4, PORT, lambda s: (
        s.recv(1000), s.sendall(HEAD % len(body)), time.sleep(0.1),
        urgent(s, body[:100000], body[100000:]))))
    with side.connect(4, PORT) as s:
        s.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        assert read_all(s).endswith(body)
    m = proxy.settled()
    assert m.by("sluice_connections_closed_total", "outcome") == {"closed": 1}


def test_a_client_that_half_closed_and_reads_slowly_costs_nothing(side, family, proxy, world):
    """Both FINs have passed on the server's side; what it sent waits for the client."""
    # More than the client and the socket towards it take, less than the proxy holds besides.
    size, sent = 120000, threading.Event()
    world.pod.sysctl("net/ipv4/tcp_wmem", "4096 16384 16384")

    def serve(s):
        read_all(s)
        s.sendall(b"\0" * size)
        s.shutdown(socket.SHUT_WR)
        sent.set()

    world.keep(Server(side.server, family, PORT, serve))
    with side.client.socket(family, uid=side.uid) as s:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16384)
        s.connect((side.address[family], PORT))
        s.sendall(b"\0")
        s.shutdown(socket.SHUT_WR)
        assert s.recv(1) == b"\0"
        assert sent.wait(PATIENCE)
        time.sleep(0.2)
        assert_rests(proxy)
        assert len(read_all(s)) == size - 1
    assert_rests(proxy)


def test_a_server_that_answers_and_closes_at_once(side, family, proxy, world):
    """Its connect succeeded: what it said arrives, and it is not counted as unreachable."""
    count, said = 200, b"busy\r\n"

    def serve(s):
        s.sendall(said)
        s.shutdown(socket.SHUT_WR)
        s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, LINGER_RST)

    world.keep(Server(side.server, family, PORT, serve))
    for _ in range(count):
        try:
            with side.connect(family, PORT) as s:
                assert s.recv(100) in (said, b"")
        except ConnectionError:
            pass
    m = proxy.settled(opened=1)
    outcomes = m.by("sluice_connections_closed_total", "outcome", direction=side.direction)
    assert "unreachable" not in outcomes and "refused" not in outcomes, outcomes


def test_few_descriptors_many_stalled_downloads(world, start_proxy):
    """The heart rests before new connections would have to wait; those go direct, and /live answers.

    A stalled download may hold a pipe beside its two sockets.
    """
    body = b"\0" * (8 << 20)
    sluice(world.pod, "apply", ALIVE)
    world.keep(Server(world.pod, 4, PORT, lambda s: (
        s.recv(1000), s.sendall(HEAD % len(body) + body))))
    proxy = start_proxy(ALIVE, descriptors=420)
    limit = int(proxy.metrics().sum("sluice_connections_limit"))
    proxy.wait_armed()

    def stall():
        s = world.keep(world.client.socket())
        s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8192)
        s.connect((POD[4], PORT))
        s.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        assert s.recv(1) == b"H"
        return s

    held = [stall() for _ in range(limit * 9 // 10 + 1)]
    proxy.wait_disarmed()
    held += [stall() for _ in range(limit)]
    m = proxy.metrics()
    assert m.sum("sluice_connections_active") < limit and m.sum("sluice_armed") == 0
    assert proxy.get("/live")[0] == 200
    for s in held:
        s.close()
    proxy.wait_armed()


def test_a_stop_waits_for_handshakes_that_lost_a_segment(world, start_proxy):
    """The kernel has decided for the first SYN; the next comes a second later."""
    sluice(world.pod, "apply", ALIVE)
    world.keep(Server(world.pod, 4, PORT, lambda s: s.sendall(b"x")))
    proxy = start_proxy(ALIVE)
    proxy.wait_armed()
    world.client.nft("""table ip lossy {
        chain input { type filter hook input priority 0;
            tcp flags & (syn | ack) == syn | ack limit rate over 1/hour burst 1 packets accept
            tcp flags & (syn | ack) == syn | ack drop
        } }""")
    answer = []

    def ask():
        with world.client.socket() as s:
            s.connect((POD[4], PORT))
            answer.append(s.recv(1))

    asking = threading.Thread(target=ask)
    asking.start()
    wait_until(lambda: "SYN-RECV" in world.pod.run(["ss", "-tanH"]), "the SYN to arrive")
    assert proxy.stop() == 0
    asking.join(PATIENCE)
    assert answer == [b"x"]


@pytest.mark.parametrize("mode", [(), ("--outbound-mode=host",)])
@pytest.mark.parametrize("threads", [1, 2, 3])
def test_our_own_connections_sent_back_to_us_end_at_once(world, start_proxy, threads, mode):
    """Rules that name another user, and do not fail open: no beat, but everything redirected.

    Whichever thread takes them. With several, two may take some in turn before that is noticed.
    """
    sluice(world.pod, "apply", "--fail=closed", "--proxy-uid=1400")
    world.keep(Server(world.client, 4, PORT, lambda s: s.sendall(b"x")))
    proxy = start_proxy(f"--threads={threads}", *mode)
    with world.pod.socket(4, uid=1000) as s:
        with pytest.raises(ConnectionError):
            s.connect((CLIENT[4], PORT))
            if mode:
                s.sendall(b"GET / HTTP/1.1\r\nHost: %s:%d\r\n\r\n" % (CLIENT[4].encode(), PORT))
                assert s.recv(12, socket.MSG_WAITALL) == b"HTTP/1.1 502"
                raise ConnectionError
            s.recv(1)
    m = proxy.settled("outbound")
    assert m.sum("sluice_connections_opened_total") >= 18
    assert threads > 1 or m.sum("sluice_connections_opened_total") == 18
    assert m.sum("sluice_connections_closed_total", outcome="loop") == 1
    proxy.wait_line("--proxy-uid=1337")
