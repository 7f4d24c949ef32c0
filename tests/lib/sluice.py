# SPDX-License-Identifier: GPL-2.0-or-later
"""Runs `sluice` and judges how it ended."""
import os
import pathlib
import subprocess
from dataclasses import dataclass

from .patience import PATIENCE
from .proc import child_setup

ROOT = pathlib.Path(__file__).resolve().parents[2]
BUILD = pathlib.Path(os.environ.get("SLUICE_BUILD", ROOT / "build")).resolve()
SLUICE = BUILD / "sluice"
PROXY = BUILD / "sluice-proxy"
DONE, FAILED, USAGE, DRIFT = range(4)


def sanitized():
    """Whether the proxy is built with a sanitizer, which looks into its own process."""
    return b"__sanitizer" in PROXY.read_bytes()


def environment(extra=None):
    """The environment for our programs: what the sanitizers need, and nothing of ours."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith("SLUICE_")}
    return {**kept, **(extra or {})}


@dataclass
class Result:
    status: int
    out: str
    err: str

    def one_error(self, status, *parts):
        """Asserts this status, one line on stderr that holds the parts, nothing on stdout."""
        assert self.status == status, self
        assert self.err.count("\n") == 1 and self.err.endswith("\n"), self
        assert self.err.startswith("sluice: error: "), self
        assert self.out == "", self
        for part in parts:
            assert part in self.err, self
        return self


def sluice(netns, *args, status=DONE, env=None, pass_fds=(), **identity):
    """Runs `sluice ARGS` in a namespace; fails unless it exits with `status` (None: any)."""
    done = subprocess.run([SLUICE, *args], capture_output=True, text=True, timeout=2 * PATIENCE,
                          check=False, stdin=subprocess.DEVNULL,
                          env=environment({**netns.environment, **(env or {})}),
                          pass_fds=pass_fds, preexec_fn=child_setup(netns, **identity))
    result = Result(done.returncode, done.stdout, done.stderr)
    assert "sandbox refused" not in result.err, (args, result)
    assert status is None or result.status == status, (args, result)
    return result
