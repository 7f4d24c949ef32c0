# SPDX-License-Identifier: GPL-2.0-or-later
"""Counts for clients that do not count: passes on what they send, byte for byte.

It stands on the client's loopback, which is never redirected, and connects onward as the client's
user: so its connections are what the proxy sees, and what it counted is what must be measured.
"""
import contextlib
import socket
import threading

from .patience import PATIENCE
from .servers import Server
from .witness import LINGER_RST


class Recorder(Server):
    def __init__(self, side, family, port):
        self.connections = 0
        self.sent = self.received = 0
        self._onward = lambda: side.connect(family, port)
        self._lock = threading.Lock()
        super().__init__(side.client, 4, 0, self._pass, address="127.0.0.1")

    def _pass(self, near):
        with self._onward() as far:
            with self._lock:
                self.connections += 1
            for s in (near, far):
                s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                s.settimeout(PATIENCE)
            back = threading.Thread(target=self._pump, args=(far, near, "received"), daemon=True)
            back.start()
            self._pump(near, far, "sent")
            back.join(PATIENCE)

    def _pump(self, source, sink, way):
        try:
            while data := source.recv(1 << 16):
                with self._lock:
                    setattr(self, way, getattr(self, way) + len(data))
                # Who has closed meanwhile takes no more; how the other ends counts all the same.
                with contextlib.suppress(OSError):
                    sink.sendall(data)
            with contextlib.suppress(OSError):
                sink.shutdown(socket.SHUT_WR)
        except OSError:
            with contextlib.suppress(OSError):
                sink.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, LINGER_RST)
                sink.shutdown(socket.SHUT_RDWR)

    def counted(self):
        """Connections and bytes so far, once all connections have ended; and begins anew."""
        self.wait()
        counted = self.connections, self.sent, self.received
        self.connections = self.sent = self.received = 0
        return counted
