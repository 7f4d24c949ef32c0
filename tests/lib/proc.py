# SPDX-License-Identifier: GPL-2.0-or-later
"""Processes that cannot outlive the test: each is told to die with it and is ended by its pid."""
import ctypes
import os
import signal
import subprocess
import threading
import time

from .netns import check, libc, setns
from .patience import PATIENCE

CAPS = {"setgid": 6, "setuid": 7, "net_admin": 12, "net_raw": 13, "sys_ptrace": 19, "sys_admin": 21}
PR_SET_PDEATHSIG, PR_SET_KEEPCAPS, PR_CAPBSET_DROP, PR_CAP_AMBIENT = 1, 8, 24, 47


class _CapHeader(ctypes.Structure):
    _fields_ = [("version", ctypes.c_uint32), ("pid", ctypes.c_int)]


class _CapData(ctypes.Structure):
    _fields_ = [("effective", ctypes.c_uint32), ("permitted", ctypes.c_uint32),
                ("inheritable", ctypes.c_uint32)]


def _become(uid, gid, caps):
    """In the child: takes the identity, with exactly `caps` (None: what root has anyway)."""
    bits = None if caps is None else [CAPS[c] for c in caps]
    if bits is not None:
        for cap in range(64):
            if cap not in bits:
                libc.prctl(PR_CAPBSET_DROP, cap, 0, 0, 0)
        check(libc.prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0))
    if uid is not None:
        os.setgroups([])
        os.setresgid(*(gid if gid is not None else uid,) * 3)
        os.setresuid(uid, uid, uid)
    if bits is not None:
        mask = sum(1 << b for b in bits)
        data = (_CapData * 2)(_CapData(mask, mask, mask), _CapData(0, 0, 0))
        check(libc.capset(ctypes.byref(_CapHeader(0x20080522, 0)), data))
        for b in bits:
            check(libc.prctl(PR_CAP_AMBIENT, 2, b, 0, 0))


def child_setup(netns=None, userns=None, uid=None, gid=None, caps=None):
    """A preexec_fn. Call it from the main thread: the death signal follows the starting thread."""
    parent = os.getpid()

    def setup():
        if userns is not None:
            setns(userns, 0x10000000)
        if netns is not None:
            setns(netns.fd)
        if userns is not None:
            os.setresgid(0, 0, 0)
            os.setresuid(0, 0, 0)
        _become(uid, gid, caps)
        # After the identity: a change of it clears the signal.
        check(libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0))
        if os.getppid() != parent:
            os._exit(1)

    return setup


class Process:
    """A long-running program; its output (both streams) is kept line by line."""

    def __init__(self, argv, env=None, stdin=subprocess.DEVNULL, setup=None, **where):
        self.lines = []
        self._news = threading.Condition()
        self._ended = False
        self.popen = subprocess.Popen(argv, stdin=stdin, stdout=subprocess.PIPE,
                                      stderr=subprocess.STDOUT, text=True, env=env,
                                      start_new_session=True,
                                      preexec_fn=setup or child_setup(**where))
        self.pid = self.popen.pid
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self):
        for line in self.popen.stdout:
            with self._news:
                self.lines.append(line.rstrip("\n"))
                self._news.notify_all()
        with self._news:
            self._ended = True
            self._news.notify_all()

    @property
    def output(self):
        return "\n".join(self.lines)

    def wait_line(self, part, timeout=PATIENCE):
        """Waits until a line with `part` was printed; fails when the program ends without it."""
        def seen():
            return any(part in line for line in self.lines)

        with self._news:
            self._news.wait_for(lambda: seen() or self._ended, timeout)
            assert seen(), f"{self.popen.args[0]} never said {part!r}:\n{self.output}"

    def signal(self, number):
        if self.popen.poll() is None:
            os.kill(self.pid, number)

    def wait(self, timeout=PATIENCE):
        """The exit status; the output is complete then."""
        status = self.popen.wait(timeout)
        self._reader.join(20)
        return status

    def end(self):
        """Kills and reaps it; called by the fixtures whatever happened."""
        self.signal(signal.SIGKILL)
        self.wait()
        if not self._reader.is_alive():
            self.popen.stdout.close()


def children(pid):
    """The pids of a process's children."""
    with open(f"/proc/{pid}/task/{pid}/children", encoding="ascii") as f:
        return [int(p) for p in f.read().split()]


def alive(pid):
    """Whether a process runs (a zombie does not)."""
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii") as f:
            return f.read().rsplit(")", 1)[1].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def stopped(pid):
    """Whether a process stands still."""
    with open(f"/proc/{pid}/stat", encoding="ascii") as f:
        return f.read().rsplit(")", 1)[1].split()[0] == "T"


def wait_until(condition, what, timeout=PATIENCE):
    """Polls for what no event tells; returns the condition's value."""
    end = time.monotonic() + timeout
    while True:
        value = condition()
        if value:
            return value
        assert time.monotonic() < end, f"waited {timeout} s for {what}"
        time.sleep(0.005)
