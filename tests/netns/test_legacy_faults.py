# SPDX-License-Identifier: GPL-2.0-or-later
"""Every system call of the legacy backend failing once, and a kill at every one of its steps.

strace injects at the border to the kernel. After a failure the old state stands, whole, with one
line of error; after a kill each table is the old one or the new one, and running again repairs.
"""
import itertools
import os
import re
import subprocess

import pytest

from lib.proc import child_setup
from lib.sluice import DONE, FAILED, SLUICE, environment, sluice

IPTABLES = "--backend=iptables"
OLD = [IPTABLES, "--outbound-exclude-ports=1-100", "--exclude-uids=5"]
NEW = [IPTABLES, "--outbound-exclude-ports=200,300-400", "--proxy-uid=1337,1500"]
FOREIGN = """*nat
:KUBE - [0:0]
[11:111] -A PREROUTING -p tcp -m tcp --dport 1 -j KUBE
[33:333] -A KUBE -p tcp -m tcp --dport 1 -j RETURN
COMMIT
"""
TABLES = [(program, table) for program in ("iptables-legacy-save", "ip6tables-legacy-save")
          for table in ("raw", "nat")]


def state(pod):
    """Each table's rules, policies' counters and dates left out."""
    return {of: [re.sub(r" ?\[\d+:\d+\] ?", "", line)
                 for line in pod.run([of[0], "-c", "-t", of[1]]).splitlines()
                 if not line.startswith("#")] for of in TABLES}


def foreign_lines(pod):
    """Others' rules, with their counters."""
    return [line for line in pod.run(["iptables-legacy-save", "-c"]).splitlines()
            if "KUBE" in line]


def injected(pod, inject, *args):
    """Runs sluice under strace; (status, errors on stderr, whether anything was injected)."""
    call = inject.split(":")[0]
    # The leak checker traces the program itself, and there can be only one.
    env = environment({"ASAN_OPTIONS": os.environ.get("ASAN_OPTIONS", "") + ":detect_leaks=0"})
    done = subprocess.run(["strace", "-f", "-qq", "-o", "/dev/fd/1", "-e", f"trace={call}",
                           "-e", f"inject={inject}", SLUICE, *args],
                          capture_output=True, text=True, check=False, timeout=60,
                          env=env, preexec_fn=child_setup(pod))
    return done.returncode, done.stderr, "INJECTED" in done.stdout or "SIGKILL" in done.stdout


@pytest.fixture
def pod(world):
    """A pod with the old plan and somebody else's rules; what it held is told on request."""
    for program in ("iptables-legacy-restore", "ip6tables-legacy-restore"):
        subprocess.run([program, "-n", "-c"], input=FOREIGN, text=True, check=True,
                       preexec_fn=child_setup(world.pod), timeout=60)
    sluice(world.pod, "apply", *OLD)
    return world.pod


FAULTS = [("setsockopt", "ENOMEM"), ("setsockopt", "ENOENT"), ("getsockopt", "ENOMEM"),
          ("socket", "ENFILE"), ("flock", "ENOLCK")]


@pytest.mark.parametrize("command", ["apply", "remove"])
@pytest.mark.parametrize("call,error", FAULTS, ids=["-".join(f) for f in FAULTS])
def test_each_call_failing_once(pod, command, call, error):
    args = ["apply", *NEW] if command == "apply" else ["remove", IPTABLES]
    before, others, failures = state(pod), foreign_lines(pod), 0
    for n in itertools.count(1):
        status, errors, hit = injected(pod, f"{call}:error={error}:when={n}", *args)
        if not hit:
            assert status == DONE
            break
        assert errors.count("\n") <= 1, errors
        if status == DONE:  # the step was one that is tried again, or does not matter
            if command == "apply":
                sluice(pod, "check", *NEW)
            else:
                assert "SLUICE" not in str(state(pod))
            sluice(pod, "apply", *OLD)
        else:
            assert status == FAILED and errors.startswith("sluice: error: "), errors
            failures += 1
        assert state(pod) == before, (n, errors)
        assert foreign_lines(pod) == others or "counters" in errors
        others = foreign_lines(pod)
    assert failures > 0


@pytest.mark.parametrize("error", ["EAGAIN", "EINVAL"])
def test_a_table_that_changes_once_is_written_again(pod, error):
    """EAGAIN: before we wrote it. EINVAL: between our rules and our counters."""
    for n in itertools.count(1):
        status, errors, hit = injected(pod, f"setsockopt:error={error}:when={n}", "apply", *NEW)
        assert status == DONE and "error" not in errors
        sluice(pod, "check", *NEW)
        sluice(pod, "apply", *OLD)
        if not hit:
            assert n > 8
            break


@pytest.mark.parametrize("error,named", [("EAGAIN", "gave up"), ("EINVAL", "refuses the rules")])
def test_a_table_that_never_holds_still_is_given_up(pod, error, named):
    before = state(pod)
    status, errors, _ = injected(pod, f"setsockopt:error={error}:when=1+", "apply", *NEW)
    assert status == FAILED and errors.count("\n") == 1 and named in errors
    assert state(pod) == before


@pytest.mark.parametrize("command", ["apply", "remove"])
def test_killed_at_each_step(pod, command):
    """Each table as a whole is the old one or the new one; the next run makes it right."""
    args = ["apply", *NEW] if command == "apply" else ["remove", IPTABLES]
    old, others = state(pod), foreign_lines(pod)
    sluice(pod, *args)
    new, between = state(pod), set()
    sluice(pod, "apply", *OLD)
    for n in itertools.count(1):
        status, _, hit = injected(pod, f"setsockopt:signal=SIGKILL:when={n}", *args)
        if not hit:
            assert status == DONE
            break
        now = state(pod)
        whole = [now[of] == old[of] or now[of] == new[of] for of in TABLES]
        # What remove leaves for a moment: redirects that match nothing.
        anchored = ["--dport 0" in str(now[of]) and command == "remove" for of in TABLES]
        assert all(w or a for w, a in zip(whole, anchored)), now
        for program in {program for program, _ in TABLES}:
            # A redirect is never without the heartbeat that arms it.
            first, last = ("raw", "nat") if command == "apply" else ("nat", "raw")
            assert now[program, last] == old[program, last] or now[program, first] == \
                new[program, first]
        between.add(str(now))
        sluice(pod, *args)
        assert state(pod) == new
        sluice(pod, "apply", *OLD)
        assert state(pod) == old
    assert len(between) > 3
    assert [line.split("] ")[1] for line in foreign_lines(pod) if "] -A" in line] == \
           [line.split("] ")[1] for line in others if "] -A" in line]


# A kernel built without an expression, as seen through libmnl: it is asked for one with another name.
RENAME = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <string.h>
#include <sys/types.h>

ssize_t mnl_socket_sendto(const void *nl, const void *buf, size_t len)
{
	ssize_t (*next)(const void *, const void *, size_t) = dlsym(RTLD_NEXT, "mnl_socket_sendto");
	char *at = (char *)buf;

	while ((at = memmem(at, len - (at - (char *)buf), "socket\0", 7)))
		memcpy(at, "tekcos", 6);
	return next(nl, buf, len);
}
"""


# And one without nftables.
NO_BUS = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>

void *mnl_socket_open2(int bus, int flags)
{
	void *(*next)(int, int) = dlsym(RTLD_NEXT, "mnl_socket_open2");

	errno = EPROTONOSUPPORT;
	return bus == 12 ? (void *)0 : next(bus, flags); /* NETLINK_NETFILTER */
}
"""


def preloaded(tmp_path, text):
    """The environment of a program that sees the kernel through this."""
    source, library = tmp_path / "preload.c", tmp_path / "preload.so"
    source.write_text(text)
    subprocess.run(["cc", "-w", "-shared", "-fPIC", "-o", library, source, "-ldl"], check=True,
                   timeout=60)
    asan = os.environ.get("ASAN_OPTIONS", "") + ":verify_asan_link_order=0"
    return {"LD_PRELOAD": str(library), "ASAN_OPTIONS": asan}


@pytest.fixture
def without_socket(tmp_path):
    return preloaded(tmp_path, RENAME)


def test_falls_back_where_there_is_no_nftables(world, tmp_path):
    """auto takes the legacy tables, and nft says why not."""
    without = preloaded(tmp_path, NO_BUS)
    done = sluice(world.pod, "apply", "--backend=nft", env=without, status=None)
    done.one_error(FAILED, "nftables of this kernel cannot carry the plan")
    sluice(world.pod, "apply", env=without)
    assert world.pod.ruleset() == ""
    sluice(world.pod, "check", IPTABLES)
    for command in ("check", "remove"):
        sluice(world.pod, command, env=without)
    assert "SLUICE" not in str(state(world.pod))


def test_falls_back_where_an_expression_is_missing(world, without_socket):
    done = sluice(world.pod, "apply", "--backend=nft", env=without_socket, status=None)
    done.one_error(FAILED, "nftables of this kernel cannot carry the plan", "'tekcos'")
    assert world.pod.ruleset() == ""
    done = sluice(world.pod, "apply", env=without_socket)
    assert "in the legacy tables" in done.out and world.pod.ruleset() == ""
    sluice(world.pod, "check", IPTABLES)
    sluice(world.pod, "apply", "--inbound-closed=redirect", env=without_socket)
    sluice(world.pod, "check", "--backend=nft", "--inbound-closed=redirect")


def test_a_refusal_where_nftables_holds_a_plan_is_no_lack(world, without_socket):
    """Then the old plan stands; a second one elsewhere would be a surprise."""
    sluice(world.pod, "apply", "--inbound-closed=redirect", env=without_socket)
    before = world.pod.ruleset()
    sluice(world.pod, "apply", env=without_socket, status=None).one_error(FAILED, "'tekcos'")
    assert world.pod.ruleset() == before
    names = world.pod.run(["cat", "/proc/net/ip_tables_names", "/proc/net/ip6_tables_names"])
    assert names == ""


def test_no_fallback_for_what_is_no_lack(world):
    """Any other failure of nftables is an error, and no reason to touch the legacy tables."""
    status, errors, _ = injected(world.pod, "sendto:error=ENOBUFS:when=1", "apply")
    assert status == FAILED and errors.count("\n") == 1
    names = world.pod.run(["cat", "/proc/net/ip_tables_names", "/proc/net/ip6_tables_names"])
    assert names == ""
