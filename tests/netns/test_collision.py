# SPDX-License-Identifier: GPL-2.0-or-later
"""One source port towards several ports of the pod, with a transparent listener."""
import contextlib
import socket

import pytest

from lib.sluice import sluice
from lib.witness import LINGER_RST, REDIRECT_PORTS, original_destination
from lib.world import ANY, POD

pytestmark = pytest.mark.usefixtures("backend")


def listeners(world, family, ports):
    """The proxy's ports, transparent, and the application's; nobody accepts."""
    for port in ports:
        world.keep(world.pod.listen(ANY[family], port))
    world.pod.sysctl("net/core/somaxconn", 4096)
    proxies = [world.keep(world.pod.listen(ANY[family], p, transparent=True, backlog=4096))
               for p in REDIRECT_PORTS]
    sluice(world.pod, "apply", "--heartbeat-timeout=60s")
    world.beat()
    return proxies


def accept_all(world, proxies):
    """The accepted connections that wait: {(client's port, original port): socket}."""
    accepted = {}
    for p in proxies:
        p.setblocking(False)
        with contextlib.suppress(BlockingIOError):
            while True:
                s, peer = p.accept()
                accepted[peer[1], original_destination(s)[1]] = world.keep(s)
    return accepted


def test_pairs_to_eight_ports_at_once(world, family):
    """All stay open: a connection that is closed again frees the tuple and hides the collision."""
    ports = range(80, 88)
    proxies = listeners(world, family, ports)
    clients = {}
    for source in range(40000, 40010):
        for port in ports:
            s = world.keep(world.client.socket(family))
            s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            s.bind((ANY[family], source))
            s.connect((POD[family], port))
            clients[source, port] = s
    accepted = accept_all(world, proxies)
    assert set(accepted) == set(clients)
    for (source, port), s in accepted.items():
        s.sendall(f"{source} {port}".encode())
    for (source, port), s in clients.items():
        assert s.recv(100) == f"{source} {port}".encode()


def test_two_thousand_open_connections_to_one_port(world, family):
    """All open at once, so that nearly every reply tuple is that of the first port."""
    proxies = listeners(world, family, [80])
    for _ in range(2000):
        s = world.keep(world.client.socket(family))
        s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, LINGER_RST)
        s.connect((POD[family], 80))
    assert len(accept_all(world, proxies)) == 2000
