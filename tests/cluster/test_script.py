# SPDX-License-Identifier: GPL-2.0-or-later
"""scripts/cluster goes into no namespaces but those of its own node, whatever other processes are
called, and says what it lacks. These tests need no cluster."""
import contextlib
import hashlib
import os
import pathlib
import subprocess
import tempfile

import pytest

from lib.cluster import eventually
from lib.sluice import ROOT

NOBODY = 65534
LOCK, RECORD = "sluice-cluster.lock", "node/process"


@pytest.fixture
def directory():
    """One of a cluster that is down, where everybody can go."""
    with tempfile.TemporaryDirectory(prefix="sluice-script-", dir="/tmp") as path:
        os.chmod(path, 0o755)
        pathlib.Path(path, LOCK).touch()
        yield pathlib.Path(path)


def script(directory, *argv):
    return subprocess.run([ROOT / "scripts" / "cluster", "--dir", directory, *argv],
                          capture_output=True, text=True, timeout=60, check=False)


@contextlib.contextmanager
def impostor(directory, user):
    """A first process of namespaces of `user`'s, with the command line of the node in `directory`."""
    cgroup = "sluice-" + hashlib.sha256(f"{directory}\n".encode()).hexdigest()[:8]
    namespaces = ["--user", "--map-root-user"] if user else []
    process = subprocess.Popen(
        ["unshare", *namespaces, "--mount", "--pid", "--net", "--uts", "--ipc", "--fork",
         "--mount-proc", "--kill-child=KILL", "sh", "-c", "echo here; read _", "cluster-node",
         directory, "parts", cgroup],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, user=user)
    try:
        if process.stdout.readline() != "here\n":
            pytest.skip(f"user {user} may have no namespaces here: {process.stderr.read()}")
        yield process.pid
    finally:
        process.kill()
        process.communicate()


@pytest.mark.parametrize("user", [0, NOBODY])
def test_impostor_is_not_entered(directory, user):
    with impostor(directory, user):
        for argv in (["exec", "id"], ["status"], ["load", "/dev/null"]):
            done = script(directory, *argv)
            assert done.returncode in (1, 2) and "uid=" not in done.stdout, (argv, done)
        assert "no cluster is up" in script(directory, "exec", "id").stderr


@pytest.mark.parametrize("user", [0, NOBODY])
def test_impostor_is_not_ended(directory, user):
    with impostor(directory, user) as pid:
        done = script(directory, "down")
        assert done.returncode == 0 and "no cluster was up" in done.stderr
        assert pathlib.Path(f"/proc/{pid}").exists()


def test_record_of_another_process(directory):
    """A pid that was used again since: everything but the start is right."""
    with impostor(directory, 0) as pid:
        start = pathlib.Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()[19]
        boot = pathlib.Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        space = os.readlink("/proc/self/ns/pid")
        record = directory / RECORD
        record.parent.mkdir(mode=0o700)
        for wrong in (f"{pid} {int(start) - 1} {space} {boot}", f"{pid} {start} {space} 0", f"{pid}", ""):
            record.write_text(wrong + "\n", encoding="ascii")
            assert "no cluster is up" in script(directory, "exec", "true").stderr, wrong
        # The same with the right one, to know that the others were refused for that alone.
        record.write_text(f"{pid} {start} {space} {boot}\n", encoding="ascii")
        assert "no cluster is up" not in script(directory, "exec", "true").stderr
        assert "is down" in script(directory, "down").stderr
        eventually(lambda: _ended(pid), "the process being ended", 30)


def _ended(pid):
    """Ended, if not yet waited for."""
    return pathlib.Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()[0] == "Z"


@pytest.mark.parametrize("owner, mode", [(NOBODY, 0o755), (0, 0o777)])
def test_directory_of_others(directory, owner, mode):
    """What is in it could be anybody's."""
    os.chown(directory, owner, -1)
    os.chmod(directory, mode)
    for argv in (["exec", "true"], ["up"], ["down"]):
        done = script(directory, *argv)
        assert done.returncode == 2 and "others than root may write there" in done.stderr, (argv, done)


def test_cgroups_without_controllers(directory):
    """What the second version lacks is said at once. Where the first has taken the controllers, as here,
    a hierarchy of the second has none."""
    done = subprocess.run(
        ["unshare", "--mount", "sh", "-c",
         "mount -t cgroup2 cgroup2 /sys/fs/cgroup && ! grep -q memory /sys/fs/cgroup/cgroup.controllers "
         "|| exit 99; exec \"$@\"", "sh", ROOT / "scripts" / "cluster", "--dir", directory, "up"],
        capture_output=True, text=True, timeout=60, check=False)
    if done.returncode == 99:
        pytest.skip("the second version has the controllers here")
    assert done.returncode == 1 and "cgroup v2 has no 'cpu'" in done.stderr, done
    assert not (directory / "node").exists()
