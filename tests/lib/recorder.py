# SPDX-License-Identifier: GPL-2.0-or-later
"""Counts for clients that do not count: passes on what they send, byte for byte.

It stands on the client's loopback, which is never redirected, and connects onward as the client's
user: so its connections are what the proxy sees, and what it counted is what must be measured.
"""
import contextlib
import socket
import threading

from .patience import PATIENCE
from .witness import LINGER_RST


class Recorder:
    def __init__(self, side, family, port):
        self.connections = 0
        self.sent = self.received = 0
        self._onward = lambda: side.connect(family, port)
        self._listener = side.client.listen("127.0.0.1", 0)
        self._listener.settimeout(None)
        self.port = self._listener.getsockname()[1]
        self._lock = threading.Lock()
        self._threads = [threading.Thread(target=self._accept, daemon=True)]
        self._threads[0].start()

    def _accept(self):
        while True:
            try:
                near, _ = self._listener.accept()
            except OSError:
                return
            with contextlib.suppress(OSError):
                far = self._onward()
                self.connections += 1
                for s in (near, far):
                    s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                    s.settimeout(PATIENCE)
                thread = threading.Thread(target=self._pass, args=(near, far), daemon=True)
                self._threads.append(thread)
                thread.start()

    def _pass(self, near, far):
        back = threading.Thread(target=self._pump, args=(far, near, "received"), daemon=True)
        back.start()
        self._pump(near, far, "sent")
        back.join(PATIENCE)
        near.close()
        far.close()

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
        for thread in self._threads[1:]:
            thread.join(PATIENCE)
            assert not thread.is_alive(), "a connection goes on"
        counted = self.connections, self.sent, self.received
        self.connections = self.sent = self.received = 0
        return counted

    def close(self):
        with contextlib.suppress(OSError):
            self._listener.shutdown(2)
        self._listener.close()
        for thread in self._threads:
            thread.join(5)
