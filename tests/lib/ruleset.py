# SPDX-License-Identifier: GPL-2.0-or-later
"""What the kernel holds, read by nft and iptables-legacy-save, in a form that can be compared.

Two states are equal when they hold the same rules: counters, handles, times, the order of tables'
parts and the generation in the names of our sets are left out.
"""
import re
import subprocess
import time

from .patience import PATIENCE
from .proc import child_setup

LEGACY = [(program, table) for program in ("iptables", "ip6tables") for table in ("raw", "nat")]
FOREIGN_NFT = """table inet theirs { chain out { type nat hook output priority 5; tcp dport 1 return
}
}"""
FOREIGN_LEGACY = """*nat
:KUBE - [0:0]
-A PREROUTING -p tcp -m tcp --dport 1 -j KUBE
-A KUBE -p tcp -m tcp --dport 1 -j RETURN
COMMIT
*raw
-A OUTPUT -p udp -m udp --dport 1 -j ACCEPT
COMMIT
"""


def nft_blocks(text, unused_sets=True):
    """Each table's name, its chains and its sets, sorted; what `nft -s list` printed."""
    text = re.sub(r"(set alive \{[^}]*?)\n\t\telements = \{[^}]*\}", r"\1", text)
    if not unused_sets:
        used = set(re.findall(r"@([a-z0-9.-]+)", text))
        text = re.sub(r"\tset (\S+) \{.*?\n\t\}\n", lambda m: m[0] if m[1] in used else "", text,
                      flags=re.S)
        text = re.sub(r"table inet sluice \{\s*\}\n", "", text)
    text = re.sub(r"\b([a-z]+-[a-z0-9-]+)\.\d+\b", r"\1", text)
    return sorted(re.sub(r"\n\t\}\n+", "\n\t}\n\n", text).split("\n\n"))


def nft_state(pod, what="ruleset", unused_sets=True):
    """nft starts again by itself when the state changes while it reads. A change of ours makes its
    new sets before the rules that use them, which is no part of a plan: they can be left out."""
    return nft_blocks(pod.run(["nft", "-s", "list", *what.split()]), unused_sets)


def legacy_table(pod, program, table):
    """One legacy table as lines, read by one call of the kernel's; again where it changed between
    the call for its size and that one."""
    for _ in range(200):
        done = pod.run([f"{program}-legacy-save", "-t", table], ok=False)
        if done.returncode == 0:
            return tuple(re.sub(r" \[\d+:\d+\]", "", line) for line in done.stdout.splitlines()
                         if not line.startswith("#"))
        time.sleep(0.001)
    raise AssertionError(done)


def legacy_state(pod):
    return {(program, table): legacy_table(pod, program, table) for program, table in LEGACY}


def state(pod, unused_sets=True):
    """All of what the backend that the pod uses works with."""
    if pod.environment["SLUICE_BACKEND"] == "nft":
        return nft_state(pod, unused_sets=unused_sets)
    return legacy_state(pod)


def restore(pod, text, program="iptables"):
    """Adds to the legacy tables, under their lock."""
    subprocess.run([f"{program}-legacy-restore", "-n", "-w", "20"], input=text, text=True,
                   check=True, timeout=PATIENCE, preexec_fn=child_setup(pod))


def foreign(pod):
    """Rules of somebody else, wherever there can be any."""
    pod.nft(FOREIGN_NFT)
    for program in ("iptables", "ip6tables"):
        restore(pod, FOREIGN_LEGACY, program)
