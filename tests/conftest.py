# SPDX-License-Identifier: GPL-2.0-or-later
"""Fixtures: every test gets a world of its own, so any number of them may run at once."""
import os
import resource

import pytest

pytest.register_assert_rewrite("lib")  # what differs, of its assertions, too

from lib.evidence import evidence, summary
from lib.native import scratch_directory
from lib.randomly import seed
from lib.world import World


def pytest_configure():
    """Both ends of thousands of connections are descriptors of this process."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    seed()  # before there are workers, which inherit it
    # The lock of the legacy tables is the machine's. Here each worker has one of its own: another
    # one's twenty at once may keep a test from it for longer than sluice waits.
    os.environ["XTABLES_LOCKFILE"] = str(scratch_directory() / "xtables.lock")


def pytest_collection_modifyitems(items):
    """The long tests, which have a time-out of their own, evenly among the others and none at the end:
    there a worker would be at work on them alone."""
    long = [item for item in items if item.get_closest_marker("timeout")]
    short = [item for item in items if not item.get_closest_marker("timeout")]
    every = len(short) * 3 // 4 // max(len(long), 1)
    items[:] = [item for n, one in enumerate(long) for item in (one, *short[n * every:(n + 1) * every])]
    items += short[len(long) * every:]


def pytest_terminal_summary(terminalreporter, config):
    terminalreporter.write_line(f"random tests: SLUICE_SEED={seed()} runs the same ones again")
    if "SLUICE_WHY" in os.environ and not hasattr(config, "workerinput"):
        stats = terminalreporter.stats
        with open(os.environ["SLUICE_WHY"], "a", encoding="utf-8") as f:
            f.write(summary(stats.get("failed", []) + stats.get("error", [])))


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    """What a failure's world looked like, while it is there."""
    report = (yield).get_result()
    if report.failed and call.when == "call" and "world" in item.funcargs:
        try:
            report.sections += evidence(item.funcargs["world"])
        except Exception as e:  # of a world that is not whole; the failure itself is what counts
            report.sections.append(("no evidence", repr(e)))


@pytest.fixture
def world():
    w = World()
    try:
        yield w
    finally:
        w.close()


@pytest.fixture(params=["nft", "iptables"])
def backend(request, world):
    """Every `sluice` in the pod, unless told otherwise, uses this one."""
    world.pod.environment["SLUICE_BACKEND"] = request.param
    return request.param


@pytest.fixture(params=[4, 6], ids=["ipv4", "ipv6"])
def family(request):
    return request.param
