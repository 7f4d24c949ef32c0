# SPDX-License-Identifier: GPL-2.0-or-later
"""One source port towards several ports of the pod, with a transparent listener."""
import socket

from lib.sluice import sluice
from lib.witness import LINGER_RST
from lib.world import ANY, POD


def ready(world, family, ports):
    w = world.witness()
    w.listen_proxy(transparent=True)
    for port in ports:
        w.listen(ANY[family], port)
    sluice(world.pod, "apply", "--heartbeat-timeout=30s")
    world.beat()
    return w


def test_pairs_to_eight_ports_at_once(world, family):
    ports = range(80, 88)
    ready(world, family, ports)
    for source in range(40000, 40020):
        opened = []
        for port in ports:
            s = world.client.socket(family)
            s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            s.bind((ANY[family], source))
            s.settimeout(3)
            s.connect((POD[family], port))
            opened.append((s, port))
        for s, port in opened:
            with s, s.makefile("rb") as f:
                assert f'"original": ["{POD[family]}", {port}]'.encode() in f.readline()


def test_two_thousand_open_connections_to_one_port(world, family):
    """All open at once, so that every reply tuple is taken when the last one comes."""
    proxies = [world.keep(world.pod.listen(ANY[family], p, transparent=True, backlog=4096))
               for p in range(9211, 9227)]
    world.keep(world.pod.listen(ANY[family], 80))
    world.pod.sysctl("net/core/somaxconn", 4096)
    sluice(world.pod, "apply", "--heartbeat-timeout=30s")
    world.beat()
    clients, accepted = [], []
    try:
        for _ in range(2000):
            s = world.client.socket(family)
            s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, LINGER_RST)
            clients.append(s)
            s.settimeout(3)
            s.connect((POD[family], 80))
        for p in proxies:
            p.setblocking(False)
            try:
                while True:
                    accepted.append(p.accept()[0])
            except BlockingIOError:
                pass
        assert len(accepted) == 2000
    finally:
        for s in clients + accepted:
            s.close()
