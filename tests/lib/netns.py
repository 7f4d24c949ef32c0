# SPDX-License-Identifier: GPL-2.0-or-later
"""Network namespaces that live exactly as long as the test's descriptors.

Nothing is named and nothing is mounted: a namespace is held by a descriptor of this process, so
it is gone when the test is, also after SIGKILL. Sockets are made inside it by switching this
thread there and back (about 5 us); they stay there whoever uses them.
"""
import contextlib
import ctypes
import os
import re
import socket
import subprocess
import time

from .patience import PATIENCE

CLONE_NEWNET = 0x40000000
IFA_F_TENTATIVE = 0x40
libc = ctypes.CDLL(None, use_errno=True)


def check(result):
    if result < 0:
        err = ctypes.get_errno()
        raise OSError(err, os.strerror(err))
    return result


def setns(fd, kind=CLONE_NEWNET):
    check(libc.setns(fd, kind))


def _current():
    return os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)


@contextlib.contextmanager
def filesystem_owner(uid, gid):
    """Sockets made by this thread meanwhile belong to uid and gid: `meta skuid` reads the fsuid."""
    # glibc calls these for the calling thread alone, and the kernel returns the previous value.
    was_gid = libc.setfsgid(gid) if gid is not None else None
    was_uid = libc.setfsuid(uid) if uid is not None else None
    try:
        yield
    finally:
        if was_uid is not None:
            libc.setfsuid(was_uid)
        if was_gid is not None:
            libc.setfsgid(was_gid)


class Netns:
    """A network namespace; of the running process's user namespace unless `fd` is given."""

    def __init__(self, fd=None):
        self.environment = {}  # of programs of ours that are run here
        if fd is None:
            home = _current()
            try:
                check(libc.unshare(CLONE_NEWNET))
                fd = _current()
                setns(home)
            finally:
                os.close(home)
        self.fd = fd
        for name in ("net/ipv6/conf/all/accept_dad", "net/ipv6/conf/default/accept_dad"):
            self.sysctl(name, 0)
        self.ip("link set lo up")

    @property
    def path(self):
        """A path that a root process can open while the test runs."""
        return f"/proc/{os.getpid()}/fd/{self.fd}"

    @contextlib.contextmanager
    def entered(self):
        home = _current()
        try:
            setns(self.fd)
            try:
                yield self
            finally:
                setns(home)
        finally:
            os.close(home)

    def close(self):
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1

    def sysctl(self, name, value):
        with self.entered(), open(f"/proc/sys/{name}", "w", encoding="ascii") as f:
            f.write(str(value))

    def run(self, argv, text=None, ok=True, **kwargs):
        """Runs a short program to its end inside; its standard output."""
        with self.entered():
            done = subprocess.run(argv, input=text, capture_output=True, text=True, check=False,
                                  timeout=PATIENCE, **kwargs)
        if ok and done.returncode:
            raise AssertionError(f"{argv}: exit {done.returncode}: {done.stderr}")
        return done.stdout if ok else done

    def ip(self, *lines):
        self.run(["ip", "-batch", "-"], "\n".join(lines) + "\n")

    def wait_addresses(self):
        """Waits until no IPv6 address is tentative; also without DAD that takes a work queue."""
        def settled():
            with self.entered(), open("/proc/thread-self/net/if_inet6", encoding="ascii") as f:
                return not any(int(line.split()[4], 16) & IFA_F_TENTATIVE for line in f)

        end = time.monotonic() + PATIENCE
        while not settled():
            assert time.monotonic() < end, "an address stays tentative"
            time.sleep(0.001)

    def nft(self, text):
        """Loads nft rules in one transaction. Unlike nft, takes several `}` on one line."""
        self.run(["nft", "-f", "-"], re.sub(r"\} (?=\}|chain|set)", "}\n", text))

    def nat(self, hook, rule, table="t", priority=-110):
        """Adds one rule in a nat chain of its own table."""
        self.nft(f"""table inet {table} {{ chain {hook} {{
            type nat hook {hook} priority {priority};
            {rule}
        }}
        }}""")

    def ruleset(self):
        """Everything of nf_tables as text, without what changes by itself (counters, timeouts)."""
        return self.run(["nft", "-s", "-a", "list", "ruleset"])

    def socket(self, family=4, kind=socket.SOCK_STREAM, uid=None, gid=None):
        """A socket in here, owned by uid and gid, that waits for PATIENCE."""
        af = socket.AF_INET6 if family == 6 else socket.AF_INET
        with self.entered(), filesystem_owner(uid, gid):
            s = socket.socket(af, kind)
        s.settimeout(PATIENCE)
        return s

    def listen(self, address, port, transparent=False, backlog=1024):
        """A listener; `::` takes IPv6 only unless the address is "dual"."""
        family = 6 if ":" in address or address == "dual" else 4
        s = self.socket(family)
        s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == 6:
            s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, int(address != "dual"))
        if transparent:
            level, name = ((socket.IPPROTO_IPV6, 75) if family == 6 else (socket.SOL_IP, 19))
            s.setsockopt(level, name, 1)
        s.bind(("::" if address == "dual" else address, port))
        s.listen(backlog)
        return s


def veth(a, name_a, b, name_b):
    """Joins two namespaces and brings both ends up."""
    a.ip(f"link add {name_a} type veth peer name {name_b} netns {b.path}",
         f"link set {name_a} up")
    b.ip(f"link set {name_b} up")
