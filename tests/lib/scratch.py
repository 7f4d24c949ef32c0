# SPDX-License-Identifier: GPL-2.0-or-later
"""A root file system with our programs and their libraries, read-only, and nothing else."""
import os
import pathlib
import re
import shutil
import subprocess

from .netns import check, libc
from .patience import PATIENCE
from .proc import child_setup
from .sluice import PROXY, SLUICE, Result, environment, sanitized

CLONE_NEWNS = 0x00020000
MS_RDONLY, MS_REMOUNT, MS_BIND, MS_REC, MS_PRIVATE = 1, 32, 4096, 16384, 1 << 18


def _mount(source, target, flags):
    check(libc.mount(source, target, None, flags, None))


class Scratch:
    """In `path`: /sluice, /sluice-proxy, what they are linked with, and the directories given.

    And /proc, where our programs are built with a sanitizer, which cannot do without.
    """

    def __init__(self, path, *directories):
        self.path = pathlib.Path(path)
        self.path.chmod(0o755)
        for program in (SLUICE, PROXY):
            self._copy(program, pathlib.Path("/") / program.name)
            linked = subprocess.run(["ldd", program], capture_output=True, text=True, check=True)
            for library in re.findall(r"(/\S+) \(0x", linked.stdout):
                self._copy(library, pathlib.Path(library))
        self._proc = sanitized()
        for directory in (*directories, *(["proc"] if self._proc else [])):
            (self.path / directory).mkdir()

    def _copy(self, source, target):
        target = self.path / target.relative_to("/")
        target.parent.mkdir(parents=True, exist_ok=True)
        if not target.exists():
            shutil.copy2(source, target)

    def setup(self, netns, writable=None, **identity):
        """A preexec_fn that goes there, where only the directory `writable` can be written."""
        root = os.fsencode(self.path)
        become = child_setup(netns, **identity)

        def setup():
            check(libc.unshare(CLONE_NEWNS))
            _mount(b"none", b"/", MS_REC | MS_PRIVATE)
            _mount(root, root, MS_BIND)
            if writable:
                _mount(os.path.join(root, writable), os.path.join(root, writable), MS_BIND)
            if self._proc:
                _mount(b"/proc", os.path.join(root, b"proc"), MS_BIND)
            _mount(b"none", root, MS_REMOUNT | MS_BIND | MS_RDONLY)
            os.chroot(root)
            os.chdir("/")
            become()

        return setup

    def sluice(self, netns, *args, env=None, writable=None, **identity):
        """As lib.sluice.sluice(), whatever the status."""
        done = subprocess.run(["/sluice", *args], capture_output=True, text=True, timeout=PATIENCE,
                              check=False, stdin=subprocess.DEVNULL, env=environment(env),
                              preexec_fn=self.setup(netns, writable, **identity))
        assert "sandbox refused" not in done.stderr, done
        return Result(done.returncode, done.stdout, done.stderr)
