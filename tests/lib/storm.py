# SPDX-License-Identifier: GPL-2.0-or-later
"""Much traffic of one kind, counted exactly (native/storm.c), and the server that answers it."""
import subprocess

from .native import build
from .patience import PATIENCE
from .proc import Process

# The beginning of a ClientHello that names soak.test, in hexadecimal; its record ends with it.
HELLO = "1603010048" "01000044" "0303" + 32 * "00" + "00" "0002" "1301" "0100" \
    "0019" "0000" "000e" "000c" "00" "0009" + b"soak.test".hex() + "002b" "0003" "02" "0304"


class StormServer(Process):
    """Answers HTTP/1 with `size` bytes, HTTP/2 and gRPC, and sends back what is none."""

    def __init__(self, netns, address, port, size=100):
        super().__init__([build("storm_server"), address, str(port), str(size)], netns=netns)
        self.wait_line("serving")


class Storm(Process):
    """A load; `told()` has its counts once it has done `count` requests, or was told to end."""

    def __init__(self, netns, kind, address, port, count=0, at_once=8, size=100, first="00",
                 rate=0, **identity):
        self.kind = kind
        super().__init__([build("storm"), kind, address, str(port), str(count), str(at_once),
                          str(size), first, str(rate)], stdin=subprocess.PIPE, netns=netns, **identity)

    def tell_to_end(self):
        if not self.popen.stdin.closed:
            self.popen.stdin.close()

    def told(self, timeout=4 * PATIENCE):
        """{"requests", "connections", "bad", "failed"}."""
        self.wait_line("done ", timeout)
        words = next(line for line in self.lines if line.startswith("done ")).split()[1:]
        return {k: int(v) for k, v in zip(words[::2], words[1::2])}

    def failures(self):
        """When they were, by time.monotonic()."""
        return [float(line.split()[1]) for line in list(self.lines) if line.startswith("failed ")]

    def end_load(self):
        self.tell_to_end()
        return self.told()

    def end(self):
        super().end()
        self.tell_to_end()
