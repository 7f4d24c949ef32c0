# SPDX-License-Identifier: GPL-2.0-or-later
"""Start, stop, crash and hang under a load of new connections; the default heartbeat.

The application answers with the address of its peer: the pod's own when the proxy stands between,
the client's when the connection came direct.
"""
import itertools
import os
import signal
import time

import pytest

from lib.patience import PATIENCE
from lib.proc import alive, children, wait_until
from lib.servers import Load, Server
from lib.sluice import sluice
from lib.witness import ask
from lib.world import ANY, CLIENT, POD
from wire.conftest import wait_proxied

pytestmark = pytest.mark.usefixtures("backend")


class Traffic:
    """A load of new connections in one direction."""

    def __init__(self, world, direction, family):
        self.inbound = direction == "inbound"
        server = world.pod if self.inbound else world.client
        world.witness(server).listen(ANY[family], 80)
        self.world, self.family, self.ports = world, family, itertools.count(10000)
        self.load = world.keep(Load(self.ask))

    def ask(self):
        # A port of its own for each: one that is used again may meet the old translation of its
        # tuple, whatever the rules say by now (kernel/test_older.py).
        source = (ANY[self.family], next(self.ports))
        if self.inbound:
            return ask(self.world.client, POD[self.family], 80, source=source)
        return ask(self.world.pod, CLIENT[self.family], 80, uid=1000, source=source)

    def proxied(self, attempt):
        """Inbound: whether the proxy stood between. (Outbound, only its metrics can tell.)"""
        return attempt.ok and attempt.answer["peer"][0] == POD[self.family]


@pytest.fixture(params=["inbound", "outbound"])
def direction(request):
    return request.param


def opened(proxy, direction):
    return proxy.metrics().sum("sluice_connections_opened_total", direction=direction)


def wait_opened(proxy, direction, count):
    """Under a load: until more than that many went through the proxy. (What comes while it starves
    for longer than the heartbeat's time-out goes direct, as it should.)"""
    wait_until(lambda: opened(proxy, direction) > count, f"{count} proxied connections")


def test_start_and_graceful_stop_lose_nothing(world, start_proxy, direction, family):
    """No proxy yet, one that starts, one that is told to stop, none: not one failure."""
    sluice(world.pod, "apply")
    traffic = Traffic(world, direction, family)
    traffic.load.wait(50)
    proxy = start_proxy()
    proxy.wait_armed()
    traffic.load.wait(200)
    wait_opened(proxy, direction, 100)
    proxy.signal(signal.SIGTERM)
    traffic.load.wait(100)
    assert proxy.wait() == 0
    traffic.load.wait(100)
    again = start_proxy()
    again.wait_armed()
    traffic.load.wait(100)
    wait_opened(again, direction, 50)
    traffic.load.close()
    assert traffic.load.failures == []


def test_sigkill_costs_only_what_the_switch_takes(world, start_proxy, direction, family):
    """Failures begin with the kill and end when the kernel sees that nobody beats."""
    sluice(world.pod, "apply")
    traffic = Traffic(world, direction, family)
    proxy = start_proxy()
    proxy.wait_armed()
    wait_opened(proxy, direction, 50)
    killed = time.monotonic()
    proxy.kill_all()
    proxy.wait_disarmed()
    disarmed = time.monotonic()
    traffic.load.wait(100)
    again = start_proxy()
    again.wait_armed()
    traffic.load.wait(100)
    wait_opened(again, direction, 50)
    traffic.load.close()
    outside = [a for a in traffic.load.failures if a.ended < killed or a.started > disarmed]
    assert outside == []


def test_a_killed_worker_costs_no_new_connection(world, start_proxy, direction):
    """The listeners live on in the parent: what comes meanwhile waits for the next worker."""
    sluice(world.pod, "apply", "--heartbeat-timeout=20s")
    proxy = start_proxy("--heartbeat-timeout=20s")
    proxy.wait_armed()
    traffic = Traffic(world, direction, 4)
    windows = []
    for n in range(1, 3):
        traffic.load.wait(50)
        worker = proxy.worker
        killed = time.monotonic()
        os.kill(worker, signal.SIGKILL)
        wait_until(lambda pid=worker: not alive(pid), "the worker to die")
        windows.append((killed, time.monotonic()))
        wait_until(lambda pid=worker: set(children(proxy.pid)) - {pid}, "another worker")
        traffic.load.wait(50)
        assert proxy.metrics().sum("sluice_worker_restarts_total") == n
    wait_opened(proxy, direction, 20)
    traffic.load.close()
    unexplained = [a for a in traffic.load.failures
                   if not any(a.started < dead and a.ended > killed for killed, dead in windows)]
    assert unexplained == []


def test_a_stopped_worker_lets_traffic_go_direct(world, start_proxy, family):
    """A hang is no crash: the heart stops, connections go direct, and come back with it."""
    sluice(world.pod, "apply")
    proxy = start_proxy()
    proxy.wait_armed()
    traffic = Traffic(world, "inbound", family)
    traffic.load.wait(20, traffic.proxied)
    os.kill(proxy.worker, signal.SIGSTOP)
    proxy.wait_disarmed()
    disarmed = time.monotonic()
    # Another load: whom the first is connected to stands still.
    later = world.keep(Load(traffic.ask))
    later.wait(20, lambda a: a.ok and not traffic.proxied(a))
    os.kill(proxy.worker, signal.SIGCONT)
    proxy.wait_armed()
    later.wait(20, traffic.proxied)
    for load in (later, traffic.load):
        load.close()
        assert [a for a in load.failures if a.started > disarmed] == []


def test_a_worker_that_hangs_is_replaced(world, start_proxy):
    """Five seconds without a heartbeat, and the parent starts another."""
    sluice(world.pod, "apply")
    proxy = start_proxy()
    proxy.wait_armed()
    worker = proxy.worker
    os.kill(worker, signal.SIGSTOP)
    wait_until(lambda: set(children(proxy.pid)) - {worker}, "another worker")
    proxy.wait_armed()
    wait_until(lambda: not alive(worker), "the hung worker to be gone")
    world.witness().listen("0.0.0.0", 80)
    wait_proxied(world)


def test_the_worker_dies_with_the_parent(world, start_proxy):
    proxy = start_proxy()
    worker = proxy.worker
    os.kill(proxy.pid, signal.SIGKILL)
    proxy.wait()
    wait_until(lambda: not alive(worker), "the worker to die")
    with world.pod.socket() as s:
        assert s.connect_ex(("127.0.0.1", 9211)), "a listener lives on"


def held(world, proxy):
    """A proxied connection that stays open: (client's, server's socket)."""
    listener = world.keep(world.pod.listen("0.0.0.0", 80))

    def proxied():
        c = world.keep(world.client.socket())
        c.connect((POD[4], 80))
        s = world.keep(listener.accept()[0])
        s.settimeout(PATIENCE)
        return (c, s) if s.getpeername()[0] == POD[4] else None

    c, s = wait_until(proxied, "a proxied connection")
    assert proxy.metrics().sum("sluice_connections_active") == 1
    return c, s


def test_a_stop_waits_for_open_connections(world, start_proxy):
    sluice(world.pod, "apply")
    proxy = start_proxy()
    proxy.wait_armed()
    c, s = held(world, proxy)
    proxy.signal(signal.SIGTERM)
    proxy.wait_disarmed()
    for _ in range(3):
        c.sendall(b"x")
        assert s.recv(1) == b"x"
    s.close()
    assert c.recv(1) == b""
    c.close()
    assert proxy.wait() == 0


@pytest.mark.parametrize("how", ["drain", "crash"])
def test_an_open_connection_is_reset_not_finished(world, start_proxy, how):
    """A drain that runs out and a worker that dies: both ends see a reset, never a FIN."""
    sluice(world.pod, "apply")
    proxy = start_proxy("--drain-timeout=100ms")
    proxy.wait_armed()
    c, s = held(world, proxy)
    if how == "drain":
        assert proxy.stop() == 0
    else:
        os.kill(proxy.worker, signal.SIGKILL)
    for end in (c, s):
        with pytest.raises(ConnectionResetError):
            end.recv(1)


def test_armed_is_told(world, start_proxy):
    proxy = start_proxy()
    wait_until(lambda: proxy.metrics().find("sluice_armed") and
               proxy.metrics().sum("sluice_armed") == 0, "sluice_armed 0")
    sluice(world.pod, "apply")
    wait_until(lambda: proxy.metrics().sum("sluice_armed") == 1, "sluice_armed 1")
    sluice(world.pod, "remove")
    wait_until(lambda: proxy.metrics().sum("sluice_armed") == 0, "sluice_armed 0")


def test_the_collision_with_a_transparent_listener(world, start_proxy, family):
    """One source port towards eight ports, all open at once, through the proxy."""
    sluice(world.pod, "apply", "--heartbeat-timeout=20s")
    proxy = start_proxy("--transparent=on", "--heartbeat-timeout=20s", caps=["net_raw"])
    proxy.wait_armed()
    ports = range(80, 88)
    for port in ports:
        world.keep(Server(world.pod, family, port,
                          lambda s, port=port: (s.sendall(str(port).encode()), s.recv(1))))
    opened = []
    for source in range(40000, 40010):
        for port in ports:
            s = world.keep(world.client.socket(family))
            s.setsockopt(1, 2, 1)  # SO_REUSEADDR
            s.bind((ANY[family], source))
            s.connect((POD[family], port))
            opened.append((s, port))
    for s, port in opened:
        assert s.recv(10) == str(port).encode()
    assert proxy.metrics().sum("sluice_connections_active") == 80
    for s, _ in opened:
        s.close()
    assert proxy.settled(opened=80).sum("sluice_connections_closed_total", outcome="closed") == 80
