# SPDX-License-Identifier: GPL-2.0-or-later
"""What to run, for how long, and where things are."""

import os
import shutil
from dataclasses import dataclass, field

from .netns import NOFILE

SECTIONS = ("apply", "peers", "connect", "start", "load", "rate", "memory")
RULES = {"apply", "peers", "connect"}  # sections without a proxy
SCENARIOS = ("1k", "16k", "1m", "new", "h2")
CONTENDERS = ("direct", "relay", "haproxy-tcp", "haproxy-http", "envoy-l4", "envoy-http", "sluice")
BASE = "haproxy-tcp"
PROXY_UID = 1337
SERVER_UID = 65534

# A flow is two descriptors of a proxy, and sluice-proxy sheds new ones at 90 % of the limit.
MAX_CONNECTIONS = (NOFILE - 1000) // 2
IDLE_FLOWS = min(10000, int(NOFILE * 0.42))

# What each program is from; scripts/deps installs them.
PROGRAMS = {"nft": "nftables", "ip": "iproute2", "nginx": "nginx-light or nginx", "wrk": "wrk",
            "h2load": "nghttp2-client", "haproxy": "haproxy"} | {
    f"{family}-{kind}{what}": "iptables" for family in ("iptables", "ip6tables")
    for kind in ("nft", "legacy") for what in ("-restore", "-save")}


class SettingsError(Exception):
    """Wrong usage; one line for the user."""


@dataclass
class Settings:
    root: str
    build: str
    smoke: bool
    duration: int
    rounds: int
    starts: int
    applies: int
    batches: int
    flows: int
    sections: list
    scenarios: list
    contenders: list
    proxy_cpu: int
    load_cpu: int
    work: str = ""  # scratch directory of this run
    envoy: str = ""  # the program, where it is asked for
    programs: dict = field(default_factory=dict)

    @property
    def sluice(self):
        return os.path.join(self.build, "sluice")

    @property
    def sluice_proxy(self):
        return os.path.join(self.build, "sluice-proxy")


def _number(name, text, kind, low, high):
    try:
        value = kind(text)
    except ValueError:
        value = None
    if value is None or not low <= value <= high:
        raise SettingsError(f"{name}: '{text}' is not a number from {low} to {high}")
    return value


def _only(text):
    """ONLY=a,b: each word names a section, a scenario or a contender; a kind unnamed is whole."""
    words = [w for w in text.replace(",", " ").split() if w]
    known = SECTIONS + SCENARIOS + CONTENDERS
    for word in words:
        if word not in known:
            raise SettingsError(f"ONLY: '{word}' is none of: {', '.join(known)}")
    pick = lambda kind: [k for k in kind if k in words] or list(kind)
    contenders = pick(CONTENDERS)
    if BASE not in contenders:
        contenders.insert(0, BASE)
    sections = pick(SECTIONS)
    if not set(words) & set(SECTIONS) and set(words) & set(SCENARIOS):
        sections = ["load"]
    return sections, pick(SCENARIOS), contenders


# The short form has to reach every line of code, not every pair.
SMOKE_ONLY = "apply peers connect start load rate memory 1k 1m new h2 relay haproxy-tcp haproxy-http sluice"


def _programs():
    path = os.environ.get("PATH", "") + ":/usr/sbin:/sbin"
    found = {}
    for name, package in PROGRAMS.items():
        found[name] = shutil.which(name, path=path)
        if not found[name]:
            raise SettingsError(f"{name} is missing: install {package}, or run scripts/deps")
    return found


def load(root, smoke, environ):
    """Settings from the environment, or SettingsError."""
    sections, scenarios, contenders = _only(environ.get("ONLY") or (SMOKE_ONLY if smoke else ""))
    cpus = sorted(os.sched_getaffinity(0))
    settings = Settings(
        root=root,
        build=os.path.abspath(environ.get("SLUICE_BUILD") or os.path.join(root, "build")),
        smoke=smoke,
        duration=_number("DURATION", environ.get("DURATION") or ("1" if smoke else "2"),
                         int, 1, 600),
        rounds=_number("ROUNDS", environ.get("ROUNDS") or ("1" if smoke else "5"), int, 1, 1000),
        starts=2 if smoke else 11,
        applies=1 if smoke else 41,
        batches=1 if smoke else 100,
        flows=200 if smoke else IDLE_FLOWS,
        sections=sections, scenarios=scenarios, contenders=contenders,
        proxy_cpu=cpus[0], load_cpu=cpus[-1])
    for path in (settings.sluice, settings.sluice_proxy):
        if not os.access(path, os.X_OK):
            raise SettingsError(f"{path} is missing: run make")
    settings.programs = _programs()
    return settings
