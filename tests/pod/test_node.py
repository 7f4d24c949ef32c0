# SPDX-License-Identifier: GPL-2.0-or-later
"""The tests' own node: what it leaves when its keeper is killed, the next one removes."""
import contextlib
import os
import pathlib
import signal

from lib.node import GROUP, Node, _hierarchies
from lib.proc import wait_until


def groups(pid):
    return [group for path, *_ in _hierarchies()
            if (group := pathlib.Path(path, f"{GROUP}{pid}")).exists()]


def processes(group):
    found = []
    for path, _, _ in os.walk(group):
        # Another keeper may be removing it.
        with contextlib.suppress(OSError):
            found += pathlib.Path(path, "cgroup.procs").read_text(encoding="ascii").split()
    return found


def test_groups_of_a_killed_keeper_are_removed():
    node = Node()
    left = node._keeper.pid  # pylint: disable=protected-access
    assert groups(left)
    os.kill(left, signal.SIGKILL)
    node.close()
    # Other tests' keepers may have removed them already.
    wait_until(lambda: not any(map(processes, groups(left))), "the node's processes to end")
    other = Node()
    try:
        assert not groups(left) and groups(other._keeper.pid)  # pylint: disable=protected-access
    finally:
        other.close()
    assert not groups(other._keeper.pid)  # pylint: disable=protected-access
