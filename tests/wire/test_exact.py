# SPDX-License-Identifier: GPL-2.0-or-later
"""Thousands of conversations, valid and not, cut anywhere: what arrives is what was sent, to the
byte, the FIN and the reset, whatever the observer makes of it. SLUICE_SEED replays a run."""
import pytest

from lib.player import play, write
from lib.randomly import generator
from lib.sluice import sluice

PATIENT = "--heartbeat-timeout=20s"

@pytest.fixture
def conversations(tmp_path, side, family):
    def make(count, resets, long=False):
        path = tmp_path / "conversations"
        write(path, generator("exact", side.direction, family, resets, long), count,
              resets=resets, long=long)
        return path
    return make


@pytest.fixture
def proxy(world, start_proxy):
    """With room for the many ports and methods that there are here."""
    sluice(world.pod, "apply", PATIENT)
    p = start_proxy(PATIENT, "--max-samples=1000000")
    p.wait_armed()
    return p


def run(path, side, family, **how):
    return play(path, side.client, side.server, side.address[family], side.uid, **how)


def test_without_a_proxy(side, family, conversations):
    """What follows asks for no more than the kernel itself does."""
    for resets in (False, True):
        assert run(conversations(80, resets), side, family)["flows"] == 80


def test_every_byte_and_fin(side, family, proxy, conversations):
    count = 500
    told = run(conversations(count, False), side, family)
    m = proxy.settled(side.direction, count)
    assert m.sum("sluice_connections_opened_total") == count
    assert m.by("sluice_connections_closed_total", "outcome") == {"closed": count}
    for way in ("to_server", "to_client"):
        assert m.sum("sluice_bytes_total", way=way) == told[way]
    for name in ("active_requests", "request_duration_seconds_count"):
        found = m.sum(f"{side.http}_{name}")
        assert found == 0 if name == "active_requests" else found > count // 4
    assert m.sum("sluice_observer_lost_total") > count // 10


def test_where_there_is_little_room(world, side, family, proxy, conversations):
    """Ends that take little at a time: what is read cannot always be sent on at once."""
    world.pod.sysctl("net/ipv4/tcp_wmem", "4096 8192 8192")
    count = 25
    told = run(conversations(count, False, long=True), side, family, room=4096)
    m = proxy.settled(side.direction, count)
    assert m.by("sluice_connections_closed_total", "outcome") == {"closed": count}
    for way in ("to_server", "to_client"):
        assert m.sum("sluice_bytes_total", way=way) == told[way] > count * 10000


def test_every_reset(side, family, proxy, conversations):
    count = 400
    told = run(conversations(count, True), side, family)
    m = proxy.settled(side.direction, count)
    outcomes = m.by("sluice_connections_closed_total", "outcome")
    assert outcomes == {by: told[by] for by in ("reset_by_client", "reset_by_server")}
    for way in ("to_server", "to_client"):
        assert m.sum("sluice_bytes_total", way=way) >= told[way]
    assert m.sum(f"{side.http}_active_requests") == 0
