# SPDX-License-Identifier: GPL-2.0-or-later
"""Limits: at 90 % of any the heart rests and new connections go direct; at the limit nothing spins."""
import os
import socket
import subprocess
import time

import pytest

from lib.patience import PATIENCE
from lib.proc import child_setup, wait_until
from lib.servers import Server, read_all
from lib.sluice import sanitized, sluice
from lib.witness import ask
from lib.world import APP_UID, CLIENT, POD, PROXY_UID
from wire.conftest import ALIVE, PATIENT

PORT = 8600
MIB = 1 << 20


def silent(world):
    """A server that takes connections and waits for them to end."""
    world.keep(Server(world.pod, 4, PORT, lambda s: s.recv(1)))


def connect(world, port=PORT, rcvbuf=None):
    s = world.keep(world.client.socket())
    if rcvbuf:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, rcvbuf)
    s.connect((POD[4], port))
    return s


def withheld(proxy):
    return {k: v for k, v in
            proxy.metrics().by("sluice_heartbeats_withheld_total", "reason").items() if v}


def assert_rests(proxy):
    """Its loops go round 50 times a second where they may not accept; one that spins, 100,000."""
    before, started = proxy.metrics().sum("sluice_loop_rounds_total"), time.monotonic()
    time.sleep(1)
    rounds = proxy.metrics().sum("sluice_loop_rounds_total") - before
    assert rounds < 1000 + 100 * (time.monotonic() - started)


def direct(world):
    """Whether a new connection goes past the proxy: then the application sees the client."""
    answer = ask(world.client, POD[4], 81)
    assert answer["by"] == "app", answer
    return answer["peer"][0] != POD[4]


def test_connections(world, start_proxy):
    sluice(world.pod, "apply", ALIVE)
    proxy = start_proxy(ALIVE, "--max-connections=20")
    assert proxy.metrics().sum("sluice_connections_limit") == 20
    proxy.wait_armed()
    world.witness().listen("0.0.0.0", 81)
    silent(world)
    held = [connect(world) for _ in range(17)]
    assert not direct(world)
    held.append(connect(world))
    proxy.wait_disarmed()
    assert direct(world)
    assert set(withheld(proxy)) == {"connections"}
    assert proxy.metrics().sum("sluice_connections_used") == 18
    held.pop().close()
    proxy.wait_armed()
    assert not direct(world)
    proxy.wait_line("90 % of 20 connections")


def test_connections_wait_where_they_cannot_go_direct(world, start_proxy):
    """With --fail=closed there is no other way: they are served when there is room, and none fails."""
    sluice(world.pod, "apply", "--fail=closed")
    proxy = start_proxy("--max-connections=5")
    world.keep(Server(world.pod, 4, PORT, lambda s: (s.sendall(b"x"), s.recv(1))))
    held = [connect(world) for _ in range(5)]
    assert [s.recv(1) for s in held] == [b"x"] * 5
    waiting = [connect(world) for _ in range(5)]
    assert_rests(proxy)
    assert proxy.metrics().sum("sluice_connections_opened_total") == 5
    for s in held:
        s.close()
    assert [s.recv(1) for s in waiting] == [b"x"] * 5


def limit_descriptors(proxy, soft):
    subprocess.run(["prlimit", f"--pid={proxy.worker}", f"--nofile={soft}:"], check=True,
                   preexec_fn=child_setup(uid=PROXY_UID))


def test_descriptors(world, start_proxy):
    sluice(world.pod, "apply", ALIVE)
    proxy = start_proxy(ALIVE, "--max-descriptors=300", "--max-connections=10000")
    assert proxy.metrics().sum("process_max_fds") == 300
    limit = int(proxy.metrics().sum("sluice_connections_limit"))
    assert 30 < limit < 60
    proxy.wait_armed()
    world.witness().listen("0.0.0.0", 81)
    silent(world)
    held = [connect(world) for _ in range(limit - limit // 10)]
    proxy.wait_disarmed()
    assert direct(world)
    for s in held:
        s.close()
    proxy.wait_armed()
    proxy.wait_line("the descriptor limit allows")


def test_no_descriptor_left(world, start_proxy):
    """EMFILE: accepting pauses and does not spin, the heart rests, and nobody who waits is lost."""
    sluice(world.pod, "apply", "--fail=closed")
    proxy = start_proxy()
    world.keep(Server(world.pod, 4, PORT, lambda s: (s.sendall(b"x"), s.recv(1))))
    first = connect(world)
    assert first.recv(1) == b"x"
    used = max(map(int, os.listdir(f"/proc/{proxy.worker}/fd")))
    limit_descriptors(proxy, used + 4)
    waiting = [connect(world) for _ in range(100)]  # some find a gap below
    wait_until(lambda: withheld(proxy), "the heart to rest")
    assert_rests(proxy)
    assert set(withheld(proxy)) == {"refused"}
    limit_descriptors(proxy, 10000)
    assert [s.recv(1) for s in waiting] == [b"x"] * 100
    assert proxy.metrics().sum("sluice_connections_closed_total", outcome="limit") == 0


def idle_memory(start_proxy):
    """What a proxy has resident that does nothing, in MiB: much, with a sanitizer."""
    idle = start_proxy()
    resident = idle.metrics().sum("process_resident_memory_bytes")
    idle.stop()
    return int(resident) // MIB + 1


def stalled_downloads(world, count):
    """Downloads of which the client reads one byte: what the proxy has read of each waits there."""
    body = b"\0" * MIB
    world.pod.sysctl("net/ipv4/tcp_wmem", "4096 16384 16384")
    world.keep(Server(world.pod, 4, PORT, lambda s: s.sendall(body)))
    held = [connect(world, rcvbuf=4096) for _ in range(count)]
    assert [s.recv(1) for s in held] == [b"\0"] * count
    return held


def test_what_slow_readers_leave_is_bounded(world, start_proxy):
    """Half of the memory for all of them; from there on a flow has 4 KiB, and goes on with these."""
    if sanitized():
        return  # what it has resident itself fills any limit before readers do
    sluice(world.pod, "apply", PATIENT)
    limit = max(idle_memory(start_proxy) + 4, 8)
    proxy = start_proxy(f"--max-memory={limit}MiB", PATIENT)
    proxy.wait_armed()
    half, count = limit * MIB // 2, limit * 8 + 100
    held = stalled_downloads(world, count)
    m = wait_until(lambda: (m := proxy.metrics()).sum("sluice_backlog_bytes") >= half and m,
                   "half of the memory to be used")
    assert m.sum("sluice_backlog_bytes") < half + count * 4096 + (64 << 10)
    held[-1].setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, MIB)
    assert read_all(held[-1]) == b"\0" * (MIB - 1)
    for s in held:
        s.close()
    assert proxy.settled(opened=count).sum("sluice_backlog_bytes") == 0


def half_a_hello(world):
    """A client that makes the proxy keep 15 KB, and no more."""
    s = connect(world)
    s.sendall(b"\x16\x03\x01\x3f\xff\x01\x00\x3f\xfb\x03\x03" + b"\0" * 15000)
    return s


def resident_file(pid):
    """What a process has resident of files, its program and libraries, in KiB."""
    with open(f"/proc/{pid}/status", encoding="ascii") as f:
        return next(int(line.split()[1]) for line in f if line.startswith("RssFile:"))


def test_the_parent_keeps_nothing_of_what_starting_took(start_proxy):
    """It only waits, so what both processes have resident is little more than the worker's."""
    proxy = start_proxy()
    proxy.metrics()
    wait_until(lambda: 2 * resident_file(proxy.pid) < resident_file(proxy.worker),
               "the parent to be smaller than its worker", timeout=30)


@pytest.mark.parametrize("fail", ["open", "closed"])
def test_memory(world, start_proxy, fail):
    """Near the limit new connections go direct; at it they wait, where they cannot."""
    sluice(world.pod, "apply", ALIVE, f"--fail={fail}")
    limit = max(idle_memory(start_proxy) + 6, 8)
    proxy = start_proxy(ALIVE, f"--max-memory={limit}MiB")
    assert proxy.metrics().sum("sluice_memory_limit_bytes") == limit * MIB
    if fail == "open":
        proxy.wait_armed()
    world.witness().listen("0.0.0.0", 81)
    world.keep(Server(world.pod, 4, PORT, lambda s: read_all(s)))
    held = [half_a_hello(world)]
    while not withheld(proxy):
        assert len(held) < 10000
        held.append(half_a_hello(world))
    assert set(withheld(proxy)) == {"memory"}
    proxy.wait_line("KiB of memory")
    if fail == "open":
        proxy.wait_disarmed()
        assert direct(world)
    else:
        def opened():
            return proxy.metrics().sum("sluice_connections_opened_total")

        # Memory that is given back makes room for one or the other.
        while opened() > len(held) - 5:
            held += [half_a_hello(world) for _ in range(10)]
            time.sleep(0.5)
        waiting = connect(world, 81)
        assert_rests(proxy)
        assert opened() <= len(held)
    if sanitized():
        return
    for s in held:
        s.close()
    if fail == "open":
        proxy.wait_armed()
    else:
        assert b'"app"' in waiting.recv(1000)
    assert not direct(world)


@pytest.mark.parametrize("gone", ["client", "server"])
def test_a_dead_peer_is_found(world, start_proxy, gone):
    """Its link is cut: keepalive finds out, and whoever is still there is told by a reset."""
    sluice(world.pod, "apply", PATIENT)
    proxy = start_proxy(PATIENT, "--keepalive-idle=1s", "--keepalive-interval=1s", "--keepalive-count=2")
    proxy.wait_armed()
    outbound = gone == "server"
    side, other = (world.pod, world.client) if outbound else (world.client, world.pod)
    listener = world.keep(other.listen("0.0.0.0", PORT))
    c = world.keep(side.socket(uid=APP_UID if outbound else None))
    c.connect((CLIENT[4] if outbound else POD[4], PORT))
    s = world.keep(listener.accept()[0])
    c.sendall(b"x")
    assert s.recv(1) == b"x"
    world.client.ip("link set eth0 down")
    left = c if outbound else s
    left.settimeout(PATIENCE)
    with pytest.raises(ConnectionResetError):
        left.recv(1)
    closed = proxy.metrics().by("sluice_connections_closed_total", "outcome")
    assert closed == {"timeout": 1}


def test_a_client_that_left_before_its_server_answered(world, start_proxy):
    """Its FIN may be a half-close: the attempt goes on, and ends as the server's connect does."""
    sluice(world.pod, "apply", PATIENT)
    proxy = start_proxy(PATIENT)
    proxy.wait_armed()
    world.client.nft(f"""table ip mute {{
        chain input {{ type filter hook input priority 0;
            tcp dport {PORT} drop
        }} }}""")
    world.keep(Server(world.client, 4, PORT, lambda s: s.sendall(read_all(s))))
    c = world.keep(world.pod.socket(uid=APP_UID))
    c.connect((CLIENT[4], PORT))
    c.sendall(b"early")
    c.shutdown(socket.SHUT_WR)
    wait_until(lambda: proxy.metrics().sum("sluice_connections_used") == 1, "the attempt")
    assert_rests(proxy)
    assert proxy.metrics().sum("sluice_connections_used") == 1
    world.client.nft("delete table ip mute")
    assert read_all(c) == b"early"
    assert proxy.settled().by("sluice_connections_closed_total", "outcome") == {"closed": 1}
