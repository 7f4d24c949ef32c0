# SPDX-License-Identifier: GPL-2.0-or-later
"""Compiles the helpers in tests/native when a test first needs them; they go with the run."""
import atexit
import functools
import os
import pathlib
import shutil
import subprocess
import tempfile

SOURCES = pathlib.Path(__file__).resolve().parents[1] / "native"


@functools.cache
def _directory():
    made = tempfile.mkdtemp(prefix="sluice-native-")
    atexit.register(shutil.rmtree, made, ignore_errors=True)
    os.chmod(made, 0o755)  # for programs of other users
    return pathlib.Path(made)


@functools.cache
def build(name, *flags):
    """The path of the program made of tests/native/NAME.c; with "-shared", of the library."""
    made = _directory() / name
    subprocess.run([os.environ.get("CC") or "cc", "-std=c11", "-D_GNU_SOURCE", "-O2", "-Wall",
                    "-fPIC", "-o", made, SOURCES / f"{name}.c", *flags, "-ldl", "-pthread"],
                   check=True, timeout=60)
    return made
