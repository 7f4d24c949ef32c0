# SPDX-License-Identifier: GPL-2.0-or-later
"""Network namespaces without names, and processes inside them.

A namespace is held by a descriptor of this process and a process by PR_SET_PDEATHSIG, so that
nothing outlives the benchmark, however it ends.
"""

import contextlib
import ctypes
import os
import resource
import signal
import subprocess
import time

CLONE_NEWNET = 0x40000000
CLONE_NEWPID = 0x20000000
PR_SET_PDEATHSIG = 1
NOFILE = min(65536, resource.getrlimit(resource.RLIMIT_NOFILE)[1])  # not every root may raise it

_libc = ctypes.CDLL(None, use_errno=True)


def _check(result, what):
    if result != 0:
        code = ctypes.get_errno()
        raise OSError(code, f"{what}: {os.strerror(code)}")


def setns(fd):
    _check(_libc.setns(fd, CLONE_NEWNET), "setns")


def unshare_net():
    """Moves this thread into a fresh network namespace; the old one goes if nobody holds it."""
    _check(_libc.unshare(CLONE_NEWNET), "unshare")


def unshare_pid():
    """The next child of this process is the first of a fresh PID namespace."""
    _check(_libc.unshare(CLONE_NEWPID), "unshare")


def new_namespace():
    """A descriptor of a fresh network namespace. The caller closes it."""
    home = os.open("/proc/self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    try:
        unshare_net()
        fd = os.open("/proc/self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        setns(home)
    finally:
        os.close(home)
    return fd


def path_of(fd):
    """A path by which other programs can open the namespace while this process lives."""
    return f"/proc/{os.getpid()}/fd/{fd}"


def raise_priority():
    """So that what else runs on the machine disturbs less; the same for all that we start."""
    try:
        os.setpriority(os.PRIO_PROCESS, 0, -10)
    except PermissionError:
        pass


@contextlib.contextmanager
def undisturbed(cpu):
    """This process, and what it starts, on one core and before others; afterwards back home."""
    home = os.open("/proc/self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    affinity = os.sched_getaffinity(0)
    nice = os.getpriority(os.PRIO_PROCESS, 0)
    try:
        os.sched_setaffinity(0, {cpu})
        raise_priority()
        yield
    finally:
        os.setpriority(os.PRIO_PROCESS, 0, nice)
        os.sched_setaffinity(0, affinity)
        setns(home)
        os.close(home)


def _children(pid):
    pids = []
    try:
        for task in os.listdir(f"/proc/{pid}/task"):
            with open(f"/proc/{pid}/task/{task}/children", encoding="ascii") as f:
                pids += [int(p) for p in f.read().split()]
    except OSError:
        pass
    return pids


class Process:
    """A program in a namespace, pinned, as a given user, with all that it starts."""

    def __init__(self, argv, ns=None, uid=0, cpu=None, env=None, log=None, stdout=None):
        parent = os.getpid()
        read_end, write_end = os.pipe()

        def prepare():
            if ns is not None:
                setns(ns)
            if cpu is not None:
                os.sched_setaffinity(0, {cpu})
            resource.setrlimit(resource.RLIMIT_NOFILE, (NOFILE, NOFILE))
            raise_priority()
            if uid:
                os.setgroups([])
                os.setresgid(uid, uid, uid)
                os.setresuid(uid, uid, uid)
            _libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
            if os.getppid() != parent:
                os._exit(1)
            os.write(write_end, str(time.monotonic_ns()).encode("ascii"))

        self.name = os.path.basename(argv[0])
        self.log = log
        output = open(log, "ab") if log else subprocess.DEVNULL
        try:
            self.popen = subprocess.Popen(
                argv, stdin=subprocess.DEVNULL, stdout=stdout or output, stderr=output, env=env,
                preexec_fn=prepare, start_new_session=True)
        finally:
            os.close(write_end)
            stamp = os.read(read_end, 32)
            os.close(read_end)
            if log:
                output.close()
        self.pid = self.popen.pid
        self.exec_ns = int(stamp)  # CLOCK_MONOTONIC just before exec

    def pids(self):
        """This process and its descendants that live."""
        found = [self.pid]
        for pid in found:
            found += _children(pid)
        return found

    def log_tail(self):
        if not self.log:
            return ""
        with open(self.log, encoding="utf-8", errors="replace") as f:
            return "".join(f.readlines()[-5:]).strip()

    def check_alive(self):
        if self.popen.poll() is not None:
            raise RuntimeError(
                f"{self.name} ended with {self.popen.returncode}: {self.log_tail()}")

    def reap(self, timeout):
        """(exit code, resource usage) when it has ended; subprocess.TimeoutExpired."""
        deadline = time.monotonic() + timeout
        while True:
            pid, status, usage = os.wait4(self.pid, os.WNOHANG)
            if pid:
                self.popen.returncode = os.waitstatus_to_exitcode(status)
                return self.popen.returncode, usage
            if time.monotonic() > deadline:
                raise subprocess.TimeoutExpired(self.name, timeout)
            time.sleep(0.01)

    def stop(self):
        """SIGKILL to it and to its descendants, by pid, and waits for it."""
        if self.popen.poll() is not None:
            return
        for pid in self.pids():
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        self.popen.wait()


def run(argv, ns=None, text=None, timeout=60):
    """Runs a command in a namespace; its output, or RuntimeError with what it said."""
    enter = (lambda: setns(ns)) if ns is not None else None
    done = subprocess.run(argv, input=text, capture_output=True, text=True, timeout=timeout,
                          preexec_fn=enter, check=False)
    if done.returncode != 0:
        said = (done.stderr or done.stdout).strip()
        raise RuntimeError(f"{' '.join(argv)[:200]}: exit {done.returncode}: {said[:500]}")
    return done.stdout


def within(ns, function):
    """The result of function(), called by this thread inside the namespace."""
    home = os.open("/proc/self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    try:
        setns(ns)
        return function()
    finally:
        setns(home)
        os.close(home)


def sysctl(ns, values):
    """Sets net.* values of a namespace: {"ipv4/ip_forward": 1}."""
    def write():
        for name, value in values.items():
            with open(f"/proc/sys/net/{name}", "w", encoding="ascii") as f:
                f.write(str(value))
    within(ns, write)
