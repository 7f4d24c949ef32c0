# SPDX-License-Identifier: GPL-2.0-or-later
"""Fixtures: every test gets a world of its own, so any number of them may run at once."""
import resource

import pytest

from lib.randomly import seed
from lib.world import World


def pytest_configure():
    """Both ends of thousands of connections are descriptors of this process."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    seed()  # before there are workers, which inherit it


def pytest_terminal_summary(terminalreporter):
    terminalreporter.write_line(f"random tests: SLUICE_SEED={seed()} runs the same ones again")


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
