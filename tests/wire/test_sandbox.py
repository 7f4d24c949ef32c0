# SPDX-License-Identifier: GPL-2.0-or-later
"""What `sluice-proxy` cannot do: capabilities, memory of others, system calls, files.

Which calls are refused, tests/unit/test_sandbox.c tries; here every proxy of every other test
counts, since a refused call is a line on stderr, which fails its test (lib/proxy.py).
"""
import contextlib
import os
import signal

import pytest

from lib.proc import wait_until
from lib.scratch import Scratch
from lib.sluice import sanitized, sluice
from lib.witness import ask
from lib.world import POD
from wire.conftest import ALIVE


def thread_status(pid):
    """What /proc says of each thread of a process that is there to be looked at."""
    for thread in os.listdir(f"/proc/{pid}/task"):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError), \
                open(f"/proc/{pid}/task/{thread}/status", encoding="ascii") as f:
            yield dict(line.split(":\t", 1) for line in f.read().splitlines() if ":\t" in line)


# What it needs not it loses, whoever gives it: here, more than root would hold in a container.
@pytest.mark.parametrize("given", [{}, {"uid": None, "caps": None},
                                   {"caps": ["net_admin", "net_raw", "sys_admin"]}])
@pytest.mark.parametrize("mode", ["redirect", "tproxy"])
def test_it_keeps_no_privilege(start_proxy, given, mode):
    given = {**given, **({} if given else {"caps": ["net_raw"]} if mode == "tproxy" else {})}
    proxy = start_proxy(f"--inbound-mode={mode}", "--threads=2", **given)
    for pid in (proxy.pid, proxy.worker):
        count = 1 if pid == proxy.pid else 3
        threads = wait_until(lambda p=pid, n=count: [t for t in [list(thread_status(p))]
                                                    if len(t) == n or sanitized()],
                             "no thread but those that there should be")[0]
        for status in threads:
            assert status["Uid"].split() == [str(given.get("uid", 1337) or 0)] * 4
            held = int(status["CapPrm"], 16)
            assert held == int(status["CapEff"], 16)
            assert held & ~(0x3000 if mode == "tproxy" else 0) == 0
            assert int(status["CapInh"], 16) == int(status["CapAmb"], 16) == 0
            assert status["NoNewPrivs"] == "1" and status["Seccomp"] == "2"


def test_nobody_reads_the_workers_memory(start_proxy):
    proxy = start_proxy()
    assert os.stat(f"/proc/{proxy.pid}/mem").st_uid == 1337
    assert os.stat(f"/proc/{proxy.worker}/mem").st_uid == (1337 if sanitized() else 0)


def test_the_sandbox_may_be_turned_off(world, start_proxy):
    proxy = start_proxy("--sandbox=off")
    for pid in (proxy.pid, proxy.worker):
        assert os.stat(f"/proc/{pid}/mem").st_uid == 1337
        assert all(s["Seccomp"] == "0" and s["NoNewPrivs"] == "1" and int(s["CapPrm"], 16) == 0
                   for s in thread_status(pid))
    assert proxy.stop() == 0
    proxy = start_proxy(env={"SLUICE_SANDBOX": "off"})
    assert all(s["Seccomp"] == "0" for s in thread_status(proxy.worker))


def test_it_serves_from_an_empty_read_only_root(world, start_proxy, tmp_path):
    """No /proc, no /etc, nothing but the programs and what they are linked with."""
    scratch = Scratch(tmp_path)
    proxy = start_proxy(ALIVE, scratch=scratch)
    sluice(world.pod, "apply", ALIVE)
    proxy.wait_armed()
    world.witness().listen("0.0.0.0", 80)
    assert ask(world.client, POD[4], 80)["peer"][0] == POD[4]
    assert proxy.settled("inbound").sum("sluice_connections_opened_total") == 1
    os.kill(proxy.worker, signal.SIGKILL)
    proxy.wait_line("starting another")
    proxy.wait_armed()
    assert ask(world.client, POD[4], 80)["peer"][0] == POD[4]
    assert proxy.stop() == 0
