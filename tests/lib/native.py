# SPDX-License-Identifier: GPL-2.0-or-later
"""Compiles the helpers in tests/native when a test first needs them; they go with the run, as all
does that is in its directory."""
import atexit
import fcntl
import functools
import os
import pathlib
import shutil
import subprocess
import tempfile

from .patience import PATIENCE

SOURCES = pathlib.Path(__file__).resolve().parents[1] / "native"
PREFIX = "sluice-native."


def _locked(path):
    """A descriptor that holds the directory for as long as this process lives, or None: somebody
    else does, or it is gone."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    except OSError:
        return None
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if os.path.samestat(os.fstat(fd), os.stat(path)):
            return fd
    except OSError:
        pass
    os.close(fd)
    return None


def _remove_left_ones():
    """What runs left behind that were killed: nobody holds it."""
    for path in pathlib.Path(tempfile.gettempdir()).glob(PREFIX + "*"):
        fd = _locked(path)
        if fd is not None:
            shutil.rmtree(path, ignore_errors=True)
            os.close(fd)


@functools.cache
def scratch_directory():
    """This process's own, for as long as it lives."""
    _remove_left_ones()
    made = tempfile.mkdtemp(prefix=PREFIX)
    while _locked(made) is None:  # another run took it for one that was left, in that moment
        made = tempfile.mkdtemp(prefix=PREFIX)
    atexit.register(shutil.rmtree, made, ignore_errors=True)
    os.chmod(made, 0o755)  # for programs of other users
    return pathlib.Path(made)


@functools.cache
def build(name, *flags):
    """The path of the program made of tests/native/NAME.c; with "-shared", of the library."""
    made = scratch_directory() / name
    subprocess.run([os.environ.get("CC") or "cc", "-std=c11", "-D_GNU_SOURCE", "-O2", "-Wall",
                    "-fPIC", "-o", made, SOURCES / f"{name}.c", *flags, "-ldl", "-pthread"],
                   check=True, timeout=2 * PATIENCE)
    return made
