# SPDX-License-Identifier: GPL-2.0-or-later
"""Who took the connection? Listeners that say so, and a client that asks.

A Witness holds listeners in one namespace and answers each connection with one JSON line: the
listener's label and port, the original destination by SO_ORIGINAL_DST, the peer. `ask()` connects
and returns that answer, or how the connection failed.
"""
import contextlib
import json
import select
import socket
import struct
import threading

from .patience import PATIENCE

SO_ORIGINAL_DST = 80
LINGER_RST = struct.pack("ii", 1, 0)
REDIRECT_PORTS = range(9211, 9227)
OUTBOUND_PORT = 9001


def original_destination(s):
    """What conntrack knows of the connection's first destination, or None."""
    try:
        if s.family == socket.AF_INET:
            raw = s.getsockopt(socket.SOL_IP, SO_ORIGINAL_DST, 16)
            return [socket.inet_ntop(socket.AF_INET, raw[4:8]), struct.unpack("!H", raw[2:4])[0]]
        raw = s.getsockopt(socket.IPPROTO_IPV6, SO_ORIGINAL_DST, 28)
        return [socket.inet_ntop(socket.AF_INET6, raw[8:24]), struct.unpack("!H", raw[2:4])[0]]
    except OSError:
        return None


class Witness:
    """Listeners of one namespace, served by one thread."""

    def __init__(self, netns):
        self.netns = netns
        self._epoll = select.epoll()
        self._listeners = {}
        self._wake, self._waker = socket.socketpair()
        self._epoll.register(self._wake, select.EPOLLIN)
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def listen(self, address, port, label="app", transparent=False):
        """Adds a listener; returns it."""
        s = self.netns.listen(address, port, transparent)
        s.setblocking(False)
        self._listeners[s.fileno()] = (s, label, port)
        self._epoll.register(s, select.EPOLLIN)
        return s

    def listen_proxy(self, transparent=False):
        """The ports of a proxy, both families: 9211 to 9226 on any address, 9001 on loopback."""
        for port in REDIRECT_PORTS:
            self.listen("0.0.0.0", port, "inbound", transparent)
            self.listen("::", port, "inbound", transparent)
        self.listen("127.0.0.1", OUTBOUND_PORT, "outbound")
        self.listen("::1", OUTBOUND_PORT, "outbound")

    def _serve(self):
        while True:
            for fd, _ in self._epoll.poll():
                if fd == self._wake.fileno():
                    return
                self._accept(fd)

    def _accept(self, fd):
        listener, label, port = self._listeners[fd]
        for _ in range(64):
            try:
                s, peer = listener.accept()
            except OSError:
                return
            with s, contextlib.suppress(OSError):
                answer = {"by": label, "port": port, "original": original_destination(s),
                          "peer": list(peer[:2])}
                s.sendall(json.dumps(answer).encode() + b"\n")

    def close(self):
        self._waker.close()
        self._thread.join(5)
        for s, _, _ in self._listeners.values():
            s.close()
        self._epoll.close()
        self._wake.close()


def _scoped(netns, address, port):
    """The socket address; a scope (`fe80::1%eth0`) is a name of that namespace."""
    address, _, interface = address.partition("%")
    if not interface:
        return address, port
    with netns.entered():
        return address, port, 0, socket.if_nametoindex(interface)


def ask(netns, address, port, uid=None, gid=None, source=None, device=None,
        timeout=PATIENCE):
    """One connection's fate: the witness's answer, or {"by": "refused" | "timeout" | ...}."""
    with netns.socket(6 if ":" in address else 4, uid=uid, gid=gid) as s:
        s.settimeout(timeout)
        if device:
            s.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, device.encode())
        if source:
            s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            s.bind(source)
        try:
            s.connect(_scoped(netns, address, port))
            with s.makefile("rb") as f:
                line = f.readline()
        except ConnectionRefusedError:
            return {"by": "refused"}
        except ConnectionResetError:
            return {"by": "reset"}
        except TimeoutError:
            return {"by": "timeout"}
        except OSError as e:
            return {"by": e.strerror}
        return json.loads(line) if line else {"by": "closed without an answer"}


class Beat:
    """The proxy's heartbeat, by hand: one datagram per family from uid 1337."""

    def __init__(self, netns, uid=1337, port=9211):
        self.sockets = [(netns.socket(f, socket.SOCK_DGRAM, uid=uid), (host, port))
                        for f, host in ((4, "127.0.0.1"), (6, "::1"))]

    def __call__(self):
        """Sends; whether a rule dropped each datagram (EPERM), IPv4 first."""
        dropped = []
        for s, to in self.sockets:
            try:
                s.sendto(b"", to)
                dropped.append(False)
            except PermissionError:
                dropped.append(True)
            except OSError:  # no address of that family
                dropped.append(False)
        return dropped

    def close(self):
        for s, _ in self.sockets:
            s.close()
