# SPDX-License-Identifier: GPL-2.0-or-later
"""Changing tables in place, and the order of hooks."""
import pytest

from lib.world import POD

SWITCH = """table inet t {{
    set alive {{ type nf_proto; flags dynamic, timeout; }}
    set ports{n} {{ type inet_service; elements = {{ {port} }} }}
    chain beat {{
        type filter hook output priority -310;
        meta skuid 1337 udp dport 9211 update @alive {{ meta nfproto timeout 1h }} drop
    }}
    chain in {{
        type nat hook prerouting priority -110;
        tcp dport @ports{n} meta nfproto @alive dnat to :9211
    }}
}}
"""


@pytest.mark.parametrize("first,last,armed", [
    ("flush table inet t\n", "delete set inet t ports1\n", True),
    ("delete table inet t\n", "", False),
], ids=["in-place", "replaced"])
def test_a_swap_in_place_keeps_the_elements(world, first, last, armed):
    w = world.witness()
    w.listen("0.0.0.0", 81)
    w.listen("0.0.0.0", 9211, "proxy")
    world.pod.nft(SWITCH.format(n=1, port=80))
    world.beat()
    world.pod.nft(first + SWITCH.format(n=2, port=81) + last)
    assert world.inbound(POD[4], 81)["by"] == ("proxy" if armed else "app")


def test_a_priority_cannot_change_in_place(world):
    world.pod.nat("output", "tcp dport 0 accept", priority=-110)
    changed = "table inet t { chain output { type nat hook output priority -111; } }"
    with pytest.raises(AssertionError, match="Operation not supported"):
        world.pod.nft(changed)
    world.pod.nft("delete table inet t\n" + changed)


@pytest.mark.parametrize("second,wins", [(-110, "second"), (-109, "first"), (-111, "second")])
def test_the_hook_registered_last_wins_at_equal_priority(world, second, wins):
    w = world.witness()
    for port, label in ((9211, "first"), (9212, "second"), (80, "app")):
        w.listen("0.0.0.0", port, label)
    world.pod.nat("prerouting", "tcp dport 80 dnat to :9211", table="a")
    world.pod.nat("prerouting", "tcp dport 80 dnat to :9212", table="b", priority=second)
    assert world.inbound(POD[4], 80)["by"] == wins
