# SPDX-License-Identifier: GPL-2.0-or-later
"""Commands run to their end: what CPU and time they took, and how many processes."""

import os
import signal
import time

from . import netns


def _start(argv):
    quiet = [(os.POSIX_SPAWN_OPEN, fd, "/dev/null", os.O_WRONLY, 0) for fd in (1, 2)]
    return os.posix_spawn(argv[0], argv, os.environ, file_actions=quiet)


def run(commands):
    """(CPU ns with all children, wall ns) of the commands in turn. The fork is not counted.

    RuntimeError when one fails.
    """
    cpu = wall = 0
    for argv in commands:
        start = time.monotonic_ns()
        pid = _start(argv)
        _, status, usage = os.wait4(pid, 0)
        wall += time.monotonic_ns() - start
        if status != 0:
            raise RuntimeError(f"{' '.join(argv)}: exit {os.waitstatus_to_exitcode(status)}")
        cpu += int((usage.ru_utime + usage.ru_stime) * 1e9)
    return cpu, wall


def _count_as_init(commands, result):
    """In a process that is the first of its PID namespace: how many came after it."""
    try:
        netns.unshare_net()
        for argv in commands:
            _, status = os.waitpid(_start(argv), 0)
            if status != 0:
                return
        with open("/proc/sys/kernel/ns_last_pid", encoding="ascii") as f:
            os.write(result, str(int(f.read()) - 1).encode("ascii"))
    except OSError:
        pass


def count(commands):
    """How many processes the commands are, all children included; None where it cannot be told.

    Run in a fresh network and a fresh PID namespace: that gives out numbers one by one.
    """
    read_end, write_end = os.pipe()
    outer = os.fork()
    if outer == 0:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        try:
            netns.unshare_pid()
            inner = os.fork()
            if inner == 0:
                _count_as_init(commands, write_end)
                os._exit(0)
            os.waitpid(inner, 0)
        finally:
            os._exit(0)
    os.close(write_end)
    with os.fdopen(read_end, encoding="ascii") as f:
        text = f.read()
    os.waitpid(outer, 0)
    return int(text) if text else None
