# SPDX-License-Identifier: GPL-2.0-or-later
"""What the machine does not let anybody do."""
import pytest


def _root_is_a_mount():
    with open("/proc/self/mountinfo", encoding="utf-8") as f:
        return any(line.split()[4] == "/" for line in f)


# Below a plain chroot, mounts cannot be made private and user namespaces are refused
# (kernel/user_namespace.c: current_chrooted()). A container has a root of its own.
not_in_a_chroot = pytest.mark.skipif(not _root_is_a_mount(),
                                     reason="a plain chroot: no user or mount namespaces")
