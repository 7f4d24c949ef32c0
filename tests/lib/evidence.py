# SPDX-License-Identifier: GPL-2.0-or-later
"""What tells why a test failed, from its report alone: what its programs said, and the pod's state."""
import re
import subprocess

from .proc import Process

PROCESSES, LINES, WIDTH = 6, 12, 200
# Of a proxy's metrics what tells of its life and is not 0, or is told to be.
TELLING = re.compile(r"(sluice_(connections_(opened_total|active|closed_total|used)|heartbeats|"
                     r"worker_restarts|observer_lost|loop_rounds|backlog)|process_(resident|open))"
                     r".* [1-9]|sluice_armed")


def _tail(lines, count=LINES):
    """The last lines, each cut where it is long."""
    kept = [line[:WIDTH] for line in lines[-count:]]
    return "\n".join(([f"({len(lines) - count} more)"] if len(lines) > count else []) + kept)


def _said(process):
    status = process.popen.poll()
    lives = "running" if status is None else f"exit {status}"
    name = str(process.popen.args[0]).rsplit("/", 1)[-1]
    return f"{name}, pid {process.pid}, {lives}", _tail(list(process.lines))


def _asked(netns, argv, pattern=""):
    """The lines of a command's output that match; why there is none, where there is none."""
    try:
        with netns.entered():
            done = subprocess.run(argv, capture_output=True, text=True, timeout=10, check=False,
                                  stdin=subprocess.DEVNULL)
    except (OSError, subprocess.TimeoutExpired) as e:
        return str(e)
    return _tail([line for line in (done.stdout + done.stderr).splitlines()
                  if re.match(pattern, line)], 25)


def evidence(world):
    """[(title, text)]: the programs that were started last, and the pod."""
    processes = [thing for thing in world.kept if isinstance(thing, Process)]
    found = [_said(p) for p in processes[-PROCESSES:]]
    legacy = world.pod.environment.get("SLUICE_BACKEND") == "iptables"
    found.append(("pod: who is alive", _asked(world.pod, [
        "cat", "/proc/net/xt_recent/sluice_alive"] if legacy else [
        "nft", "list", "set", "inet", "sluice", "alive"])))
    found.append(("pod: sockets", _asked(
        world.pod, ["ss", "-tanH", "state", "connected", "exclude", "time-wait"])))
    if any(hasattr(p, "worker") for p in processes):
        found.append(("pod: metrics", _asked(world.pod, [
            "curl", "-s", "-m", "5", "http://127.0.0.1:9901/metrics"], TELLING)))
    return found


def summary(reports, full=4):
    """For the end of a long log: each failure's last lines; of the first ones more than that."""
    parts = []
    for n, report in enumerate(reports):
        parts.append(f"-- {report.nodeid} ({report.when})")
        if n < full:
            parts.append(_tail(report.longreprtext.splitlines(), 20))
            parts += [f"[{title}]\n{text}" for title, text in report.sections if text.strip()]
        else:
            parts.append(_tail(report.longreprtext.splitlines(), 3))
    return "".join(part + "\n" for part in parts)
