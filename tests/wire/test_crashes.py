# SPDX-License-Identifier: GPL-2.0-or-later
"""A worker that dies, a hundred times over: no new connection fails, and what fails is counted."""
import bisect
import contextlib
import ctypes
import os
import signal
import time
from collections import Counter

import pytest

from lib.netns import check, libc
from lib.proc import alive, children, stopped, wait_until
from lib.randomly import times
from lib.servers import Server
from lib.sluice import sanitized, sluice
from lib.storm import Storm, StormServer
from lib.witness import ask
from lib.world import APP_UID, CLIENT, POD
from wire.conftest import ALIVE, wait_proxied

ROUNDS = 20 if sanitized() else times(100, 400)
NEW = 8  # connections that wait in the listeners' queues while the worker dies
# A sanitizer would take the SIGSEGV for a finding of its own.
OWN = {"ASAN_OPTIONS": os.environ.get("ASAN_OPTIONS", "") + ":handle_segv=0",
       "TSAN_OPTIONS": os.environ.get("TSAN_OPTIONS", "") + ":handle_segv=0"}


def stop(pid):
    os.kill(pid, signal.SIGSTOP)
    wait_until(lambda: stopped(pid), "the worker to stop")


def die(proxy, number):
    """Ends the stopped worker by a signal, and waits for the next one."""
    worker = proxy.worker
    # To the thread that accepts, so that it does so no more: any other might be quicker to die.
    check(libc.tgkill(worker, worker, number))
    with contextlib.suppress(ProcessLookupError):
        os.kill(worker, signal.SIGCONT)
    wait_until(lambda: set(children(proxy.pid)) - {worker}, "another worker")


def echo(s):
    while data := s.recv(1000):
        s.sendall(data)


class Sides:
    """Connections of both directions, to servers that send back what they get."""

    def __init__(self, world):
        self.world = world
        world.keep(Server(world.pod, 4, 90, echo))
        world.keep(Server(world.client, 4, 90, echo))

    def open(self, count):
        made = []
        for n in range(count):
            s = self.world.client.socket() if n % 2 else self.world.pod.socket(uid=APP_UID)
            s.connect((POD[4] if n % 2 else CLIENT[4], 90))
            s.sendall(b"x")
            made.append(s)
        return made


@pytest.mark.timeout(300)
def test_a_hundred_killed_workers(world, start_proxy):
    """By SIGKILL and SIGSEGV in turn, under HTTP and gRPC load in both directions.

    With --fail=closed everything goes through the proxy, always. Whoever is waiting to be accepted
    when a worker dies is served by the next; what is open is reset, and no more than that.
    """
    sluice(world.pod, "apply", "--fail=closed")
    proxy = start_proxy(env=OWN)
    sides, storms, kills, at_once = Sides(world), [], [], 2
    for netns, server, address, identity in ((world.client, world.pod, POD[4], {}),
                                             (world.pod, world.client, CLIENT[4],
                                              {"uid": APP_UID})):
        world.keep(StormServer(server, address, 80), "end")
        for kind in ("new", "keepalive", "grpc"):
            storms.append(world.keep(
                Storm(netns, kind, address, 80, at_once=at_once, rate=1000, **identity), "end"))
    for n in range(ROUNDS):
        with contextlib.ExitStack() as sockets:
            old = [sockets.enter_context(s) for s in sides.open(2)]
            assert [s.recv(1) for s in old] == [b"x"] * 2
            stop(proxy.worker)
            new = [sockets.enter_context(s) for s in sides.open(NEW)]
            kills.append(time.monotonic())
            die(proxy, signal.SIGKILL if n % 2 else signal.SIGSEGV)
            assert [s.recv(1) for s in new] == [b"x"] * NEW, f"kill {n}"
            for s in old:
                with pytest.raises(ConnectionResetError):
                    s.recv(1)
    m = proxy.metrics()
    assert m.sum("sluice_worker_restarts_total") == ROUNDS
    assert m.sum("sluice_observers_off") == 1
    for storm in storms:
        told = storm.end_load()
        assert told["bad"] == 0 and told["requests"] > ROUNDS
        print(f"{storm.kind}: {told}")
        # What was open: each of them at most once a kill.
        # (A storm may be told of it later than the next kill was.)
        of = Counter(bisect.bisect(kills, t) for t in storm.failures())
        assert told["failed"] <= at_once * ROUNDS and of[0] == 0, of


@pytest.mark.parametrize("drain", ["30s", "1s"])
def test_restarts_under_load(world, start_proxy, drain):
    """Graceful stops, a while without a proxy, and starts: new connections never fail.

    Open ones have the drain to end in; what is left then is reset, and nothing else.
    """
    sluice(world.pod, "apply", ALIVE)
    steady, restarts, at_once = [], 3, 2
    sides = ((world.client, world.pod, POD[4], {}), (world.pod, world.client, CLIENT[4],
                                                     {"uid": APP_UID}))

    def start(kind, port=80, rate=0):
        return [world.keep(Storm(netns, kind, address, port, at_once=at_once, rate=rate,
                                 **identity), "end")
                for netns, _, address, identity in sides]

    for netns, server, address, _ in sides:
        netns.sysctl("net/ipv4/ip_local_port_range", "10000 65535")
        for port in (80, 81):
            world.keep(StormServer(server, address, port), "end")
    # To a port of their own: a translation outlives what was reset by ten seconds
    # (kernel/test_older.py), and whoever is given that source port for that destination meets it.
    steady = start("new", 81, rate=1000)
    for _ in range(restarts):
        proxy = start_proxy(ALIVE, f"--drain-timeout={drain}")
        proxy.wait_armed()
        held = start("keepalive") + start("grpc")
        wait_until(lambda p=proxy: p.metrics().sum("sluice_connections_active", server_port=80) >=
                   4 * at_once, "the load to be there")
        proxy.signal(signal.SIGTERM)
        proxy.wait_disarmed()
        if drain == "1s":
            assert proxy.wait() == 0
        for storm in held:
            told = storm.end_load()
            assert told["bad"] == 0 and told["requests"] > 0
            assert told["failed"] == (at_once if drain == "1s" else 0)
        assert proxy.wait() == 0
    for storm in steady:
        told = storm.end_load()
        print(storm.output)
        assert told["bad"] == 0 and told["requests"] > 100
        assert told["failed"] == 0


@pytest.mark.timeout(150)
def test_ten_crashes_in_a_minute_and_new_connections_go_direct(world, start_proxy):
    """Each one resets what is open: the applications are better off without such a proxy."""
    sluice(world.pod, "apply")
    proxy = start_proxy(env=OWN)
    world.witness().listen("0.0.0.0", 80)
    for n in range(10):
        proxy.wait_armed()
        wait_proxied(world)
        assert proxy.metrics().sum("sluice_observers_off") == (n >= 3)
        stop(proxy.worker)
        die(proxy, signal.SIGKILL)
    wait_until(lambda: proxy.metrics().sum("sluice_heartbeats_withheld_total", reason="crashes"),
               "the heart to rest")
    proxy.wait_disarmed()
    assert ask(world.client, POD[4], 80)["peer"][0] == CLIENT[4]
    proxy.wait_line("10 crashes in a minute")
    if times(0, 1):
        wait_until(lambda: proxy.armed() == 2, "a minute to pass without a crash", timeout=120)
        wait_proxied(world)


PTRACE_CONT, PTRACE_DETACH, PTRACE_SEIZE, PTRACE_INTERRUPT = 7, 17, 0x4206, 0x4207
WALL = 0x40000000  # threads, too
libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]


@contextlib.contextmanager
def stuck(tid):
    """One thread stands still, the others go on. (SIGSTOP is for a whole process.)"""
    check(libc.ptrace(PTRACE_SEIZE, tid, None, None))
    try:
        check(libc.ptrace(PTRACE_INTERRUPT, tid, None, None))
        os.waitid(os.P_PID, tid, os.WSTOPPED | os.WNOWAIT | WALL)
        yield
    finally:
        libc.ptrace(PTRACE_DETACH, tid, None, None)


def data_threads(proxy):
    """The tids of the worker's event loops, its first thread first."""
    # The last one to be started is called as its maker is until it gives itself a name.
    names = wait_until(lambda: "admin" in (n := thread_names(proxy.worker)).values() and n,
                       "all threads to be there")
    ours = [tid for tid, name in sorted(names.items()) if name == "sluice-worker"]
    return [ours[0], *ours[-2:]]  # a sanitizer may have one of its own after the first


def thread_names(pid):
    """{tid: name}, of those that do not end meanwhile."""
    names = {}
    for tid in map(int, os.listdir(f"/proc/{pid}/task")):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError), \
                open(f"/proc/{pid}/task/{tid}/comm", encoding="ascii") as f:
            names[tid] = f.read().strip()
    return names


@pytest.mark.parametrize("which", [0, 1, 2])
def test_one_stuck_thread_of_three_stops_the_heart(world, start_proxy, which):
    sluice(world.pod, "apply")
    proxy = start_proxy("--threads=3")
    proxy.wait_armed()
    worker = proxy.worker
    threads = data_threads(proxy)
    assert len(set(threads)) == 3
    world.witness().listen("0.0.0.0", 80)
    with stuck(threads[which]):
        proxy.wait_disarmed()
        assert ask(world.client, POD[4], 80)["peer"][0] == CLIENT[4]
    proxy.wait_armed()
    wait_proxied(world)
    assert proxy.worker == worker


def test_a_worker_with_a_stuck_thread_is_replaced(world, start_proxy):
    """No heartbeat for five seconds; whoever was waiting for that thread is served by the next."""
    sluice(world.pod, "apply", "--fail=closed")
    proxy = start_proxy("--threads=3")
    worker, sides = proxy.worker, Sides(world)
    tid = data_threads(proxy)[1]
    with stuck(tid):
        waiting = sides.open(24)  # a third of them for that thread
        def another():
            # Its tracer must take note of a thread's end, before the process's is told.
            with contextlib.suppress(ChildProcessError):
                os.waitpid(tid, os.WNOHANG | WALL)
            return set(children(proxy.pid)) - {worker}

        wait_until(another, "another worker")
    wait_until(lambda: not alive(worker), "the old one to be gone")
    served = []
    for s in waiting:
        with s:
            try:
                served.append(s.recv(1))
            except ConnectionResetError:
                pass  # it had been accepted by another thread
    assert b"x" in served and set(served) == {b"x"}
    proxy.wait_line("stands still")
