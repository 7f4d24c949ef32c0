# SPDX-License-Identifier: GPL-2.0-or-later
"""How connections end: what one side does is what the other side sees, and is counted so."""
import errno
import socket
import threading

import pytest

from lib.patience import PATIENCE
from lib.proc import wait_until
from lib.servers import Server, pattern
from lib.witness import LINGER_RST

PORT = 8500


def reset(s):
    s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, LINGER_RST)
    s.close()


def outcome(proxy, side):
    """The outcome of the one connection there was."""
    m = proxy.settled(side.direction)
    assert m.sum("sluice_connections_opened_total", direction=side.direction) == 1
    outcomes = m.by("sluice_connections_closed_total", "outcome", direction=side.direction)
    assert sum(outcomes.values()) == 1
    return next(iter(outcomes))


def test_a_reset_by_the_client(side, family, proxy, world):
    seen, ended = [], threading.Event()

    def serve(s):
        s.sendall(b"hello")
        try:
            while data := s.recv(100):
                seen.append(data)
            seen.append("FIN")
        except ConnectionResetError:
            seen.append("RST")
        ended.set()

    world.keep(Server(side.server, family, PORT, serve))
    s = side.connect(family, PORT)
    assert s.recv(5) == b"hello"
    s.sendall(b"world")
    reset(s)
    assert ended.wait(PATIENCE)
    assert seen == [b"world", "RST"] or seen == ["RST"]
    assert outcome(proxy, side) == "reset_by_client"


def test_a_reset_by_the_server(side, family, proxy, world):
    world.keep(Server(side.server, family, PORT, lambda s: (s.recv(1), reset(s))))
    with side.connect(family, PORT) as s:
        s.sendall(b"x")
        with pytest.raises(ConnectionResetError):
            s.recv(1)
    assert outcome(proxy, side) == "reset_by_server"


def test_a_reset_after_half_a_body(side, proxy, world):
    """All bytes come first, then the reset: a cut body must not look whole."""
    data = pattern(100000)
    go = threading.Event()

    def serve(s):
        s.sendall(data)
        go.wait(PATIENCE)
        reset(s)

    world.keep(Server(side.server, 4, PORT, serve))
    with side.connect(4, PORT) as s:
        got = b""
        while len(got) < len(data):
            got += s.recv(1 << 16)
        go.set()
        with pytest.raises(ConnectionResetError):
            s.recv(1)
    assert got == data
    assert outcome(proxy, side) == "reset_by_server"


def test_a_reset_after_a_half_close(side, proxy, world):
    """The client has said its FIN; the server's reset still arrives as one."""
    world.keep(Server(side.server, 4, PORT, lambda s: (s.recv(1), reset(s))))
    with side.connect(4, PORT) as s:
        s.shutdown(socket.SHUT_WR)
        with pytest.raises(ConnectionResetError):
            s.recv(1)
    assert outcome(proxy, side) == "reset_by_server"


def test_an_orderly_end(side, family, proxy, world):
    world.keep(Server(side.server, family, PORT, lambda s: s.sendall(b"bye")))
    with side.connect(family, PORT) as s:
        assert s.recv(10) == b"bye"
        assert s.recv(10) == b""
    assert outcome(proxy, side) == "closed"


def test_the_server_speaks_first(side, family, proxy, world):
    """Connected at accept, before a byte is read: no waiting for the client's first."""
    def serve(s):
        s.sendall(b"220 ready\r\n")
        assert s.recv(100) == b"QUIT\r\n"
        s.sendall(b"221 bye\r\n")

    world.keep(Server(side.server, family, PORT, serve))
    with side.connect(family, PORT) as s:
        assert s.recv(100) == b"220 ready\r\n"
        s.sendall(b"QUIT\r\n")
        assert s.recv(100) == b"221 bye\r\n"
    m = proxy.settled()
    assert m.by("sluice_connections_closed_total", "protocol") == {"tcp": 1}


def test_an_outbound_refusal_becomes_a_reset(world, proxy, family):
    with world.pod.socket(family, uid=1000) as s:
        with pytest.raises(ConnectionResetError):
            s.connect(({4: "10.77.0.1", 6: "fd77::1"}[family], 8501))
            s.recv(1)
    m = proxy.settled()
    assert m.by("sluice_connections_closed_total", "outcome") == {"refused": 1}


def test_an_unreachable_destination_becomes_a_reset(world, proxy, family):
    where = {4: "192.0.2.1", 6: "2001:db8:ffff::1"}[family]
    world.client.ip(f"route add unreachable {where}")
    world.client.sysctl("net/ipv4/ip_forward", 1)
    world.client.sysctl("net/ipv6/conf/all/forwarding", 1)
    with world.pod.socket(family, uid=1000) as s:
        with pytest.raises(ConnectionResetError):
            s.connect((where, 80))
            s.recv(1)
    m = proxy.settled()
    assert m.by("sluice_connections_closed_total", "outcome") == {"unreachable": 1}


def test_an_inbound_closed_port_is_refused(world, proxy, family):
    with world.client.socket(family) as s:
        assert s.connect_ex(({4: "10.77.0.2", 6: "fd77::2"}[family], 8501)) == errno.ECONNREFUSED
    assert proxy.metrics().sum("sluice_connections_opened_total") == 0


def test_a_client_that_gives_up_while_we_connect(world, proxy):
    """The destination never answers; the client resets; the flow ends with it."""
    world.client.ip("route add blackhole 192.0.2.1")
    world.client.sysctl("net/ipv4/ip_forward", 1)
    s = world.pod.socket(uid=1000)
    s.connect(("192.0.2.1", 80))
    reset(s)
    m = proxy.settled()
    assert m.by("sluice_connections_closed_total", "outcome") == {"reset_by_client": 1}


def test_the_urgent_byte_arrives(side, proxy, world):
    """As with a direct connection that reads it in line: in its place, not lost."""
    got, ended = [], threading.Event()

    def serve(s):
        s.setsockopt(socket.SOL_SOCKET, socket.SO_OOBINLINE, 1)
        data = b""
        while more := s.recv(100):
            data += more
        got.append(data)
        ended.set()

    world.keep(Server(side.server, 4, PORT, serve))
    with side.connect(4, PORT) as s:
        s.sendall(b"ab")
        s.send(b"!", socket.MSG_OOB)
        s.sendall(b"cd")
        s.shutdown(socket.SHUT_WR)
        assert s.recv(1) == b""
    assert ended.wait(PATIENCE) and got == [b"ab!cd"]


@pytest.mark.parametrize("port", [9211, 9226])
def test_a_connection_to_the_proxy_itself_is_a_loop(world, proxy, family, port):
    with world.pod.socket(family, uid=1000) as s:
        with pytest.raises(ConnectionResetError):
            s.connect(({4: "127.0.0.1", 6: "::1"}[family], port))
            s.recv(1)
    m = proxy.settled()
    assert m.by("sluice_connections_closed_total", "outcome") == {"loop": 1}


def test_a_remote_connection_to_the_inbound_port_is_a_loop(world, proxy, family):
    with world.client.socket(family) as s:
        with pytest.raises(ConnectionResetError):
            s.connect(({4: "10.77.0.2", 6: "fd77::2"}[family], 9211))
            s.recv(1)
    m = proxy.settled()
    assert m.by("sluice_connections_closed_total", "outcome") == {"loop": 1}


def test_an_outbound_connection_to_our_own_redirect_port_elsewhere_is_none(world, proxy):
    """Another machine may have a service on 9211: only our own listeners are loops."""
    world.keep(Server(world.client, 4, 9211, lambda s: s.sendall(b"not you")))
    with world.pod.socket(uid=1000) as s:
        s.connect(("10.77.0.1", 9211))
        assert s.recv(100) == b"not you"


def test_a_flow_that_stays_is_probed_on_both_legs(side, proxy, world):
    """Ours are the only probes on the way: balancers and conntrack on it must see some."""
    def probing():
        ss = world.pod.run(["ss", "-tnoHp", "state", "established"])
        return [line for line in ss.splitlines()
                if "sluice-worker" in line and "timer:(keepalive" in line]

    ended = threading.Event()
    world.keep(Server(side.server, 4, PORT, lambda s: (s.sendall(b"x"), ended.wait(PATIENCE))))
    with side.connect(4, PORT) as s:
        assert s.recv(1) == b"x"
        wait_until(lambda: len(probing()) == 2, "keepalive on both legs")
    ended.set()


def test_a_fin_right_behind_data_that_the_client_is_slow_to_take(side, family, proxy, world):
    """The proxy reads the end together with bytes that it cannot send on yet.

    Heads are what the observer must see, so nothing here goes through a pipe.
    """
    request = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
    answer = b"HTTP/1.1 200 OK\r\nX-Pad: " + b"p" * 60000 + b"\r\nContent-Length: 0\r\n\r\n"
    count, sent = 100, threading.Event()
    # What the proxy can send at once is less than what it reads at once, to the last read.
    world.pod.sysctl("net/ipv4/tcp_wmem", "4096 16384 16384")

    def serve(s):
        asked = 0
        while asked < count * len(request):
            asked += len(s.recv(65536))
        for _ in range(count):
            s.sendall(answer)
        s.shutdown(socket.SHUT_WR)
        sent.set()
        s.recv(1)

    world.keep(Server(side.server, family, PORT, serve))
    with side.client.socket(family, uid=side.uid) as s:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
        s.connect((side.address[family], PORT))
        s.sendall(request * count)
        sent.wait(1)
        got = 0
        while data := s.recv(4096):
            got += len(data)
    assert got == count * len(answer)
    m = proxy.settled()
    assert m.by("sluice_connections_closed_total", "outcome") == {"closed": 1}
    assert m.sum(f"{side.http}_request_duration_seconds_count") == count
