# SPDX-License-Identifier: GPL-2.0-or-later
"""DNS servers: a real one, and one that says what a test wants it to, or nothing."""
import contextlib
import ipaddress
import os
import socket
import struct
import tempfile
import threading

from .patience import PATIENCE
from .proc import Process

PTR, AAAA, A = 12, 28, 1
SEARCH = ("shop.svc.cluster.local", "svc.cluster.local", "cluster.local")


class ResolvConf:
    """A resolv.conf that every user can read."""

    def __init__(self, *servers, search=SEARCH, options=""):
        handle, self.path = tempfile.mkstemp(prefix="sluice-resolv.")
        os.fchmod(handle, 0o644)
        os.close(handle)
        self.write(*servers, search=search, options=options)

    def write(self, *servers, search=SEARCH, options=""):
        lines = [f"nameserver {s}" for s in servers]
        # A host's own domain is searched where none is told.
        lines.append(f"search {' '.join(search) or '.'}")
        with open(self.path, "w", encoding="ascii") as f:
            f.write("\n".join([*lines, options, ""]))

    def close(self):
        os.unlink(self.path)


class Dnsmasq(Process):
    """dnsmasq on a namespace's addresses: what `--` options it is given, and nothing else."""

    def __init__(self, netns, addresses, *options, ttl=30):
        super().__init__(
            ["dnsmasq", "--keep-in-foreground", "--conf-file=/dev/null", "--no-resolv", "--no-hosts",
             "--pid-file=", "--user=root", "--group=root", "--bind-interfaces", "--log-queries",
             "--log-facility=-", "--local=/cluster.local/", "--local=/10.in-addr.arpa/",
             f"--local-ttl={ttl}", "--except-interface=lo",
             *(f"--listen-address={a}" for a in addresses), *options], netns=netns)
        self.wait_line("started, version")

    def asked(self):
        """The questions so far, as (type, name)."""
        return [tuple(line.split("query[", 1)[1].split("] ", 1))
                for line in list(self.lines) if "query[" in line]


def ptr_record(address, name):
    return f"--ptr-record={ipaddress.ip_address(address).reverse_pointer},{name}"


def encode(name):
    """A name as it is sent."""
    return b"".join(bytes([len(label)]) + label.encode() for label in name.split(".") if label) \
        + b"\0"


class Question:
    """What was asked, and answers to it."""

    def __init__(self, message):
        self.message = message
        at, labels = 12, []
        while message[at]:
            labels.append(message[at + 1:at + 1 + message[at]].decode())
            at += 1 + message[at]
        self.name = ".".join(labels)
        self.type, = struct.unpack(">H", message[at + 1:at + 3])
        self.question = message[12:at + 5]

    def answer(self, *data, ttl=30, code=0, truncated=False, number=None, question=None):
        """One record of the type that was asked for each of `data`."""
        records = b"".join(b"\xc0\x0c" + struct.pack(">HHIH", self.type, 1, ttl, len(d)) + d
                           for d in data)
        number = struct.unpack(">H", self.message[:2])[0] if number is None else number
        return struct.pack(">HHHHHH", number & 0xffff, 0x8180 | code | (0x200 if truncated else 0),
                           1, len(data), 0, 0) + (question or self.question) + records


class DnsServer:
    """Answers with what `says(question, tcp)` returns: a list of messages."""

    def __init__(self, netns, address, says):
        self._says = says
        self.asked = []
        self.tcp_peers = []
        family = 6 if ":" in address else 4
        self._udp = netns.socket(family, socket.SOCK_DGRAM)
        self._udp.settimeout(None)
        self._udp.bind((address, 53))
        self._tcp = netns.listen(address, 53)
        self._tcp.settimeout(None)
        self._threads = [threading.Thread(target=t, daemon=True) for t in (self._serve_udp,
                                                                          self._serve_tcp)]
        for t in self._threads:
            t.start()

    def _serve_udp(self):
        with contextlib.suppress(OSError):
            while True:
                message, peer = self._udp.recvfrom(4096)
                if len(message) < 17:
                    return  # close() says so
                question = Question(message)
                question.peer = peer
                self.asked.append(question)
                for answer in self._says(question, False):
                    self._udp.sendto(answer, peer)

    def send(self, question, *answers):
        """Answers what came by UDP, later."""
        for answer in answers:
            self._udp.sendto(answer, question.peer)

    def _serve_tcp(self):
        with contextlib.suppress(OSError):
            while True:
                connection, peer = self._tcp.accept()
                self.tcp_peers.append(peer)
                with connection, contextlib.suppress(OSError, struct.error):
                    connection.settimeout(PATIENCE)
                    while head := connection.recv(2, socket.MSG_WAITALL):
                        message = connection.recv(struct.unpack(">H", head)[0],
                                                  socket.MSG_WAITALL)
                        for answer in self._says(Question(message), True):
                            connection.sendall(struct.pack(">H", len(answer)) + answer)

    def close(self):
        with contextlib.suppress(OSError):
            self._udp.sendto(b"", self._udp.getsockname())
            self._tcp.shutdown(socket.SHUT_RDWR)
        for t in self._threads:
            t.join(15)
        self._udp.close()
        self._tcp.close()
