# SPDX-License-Identifier: GPL-2.0-or-later
"""Clients that never say the same thing twice: series and memory are bounded, sums are exact."""
import pytest

from lib.randomly import times
from lib.sluice import sanitized, sluice
from lib.storm import Storm, StormServer
from lib.world import APP_UID, CLIENT

MIB = 1 << 20
PATIENT = "--heartbeat-timeout=20s"
COUNT = times(50_000, 1_000_000)
REQUESTS = {False: "http_client_request_duration_seconds", True: "rpc_client_call_duration_seconds"}


@pytest.mark.timeout(300)
@pytest.mark.parametrize("samples", [2000, 20000])
@pytest.mark.parametrize("kind", ["hosts", "paths", "methods", "rpcs"])
def test_attack(world, start_proxy, kind, samples):
    sluice(world.pod, "apply", PATIENT)
    proxy = start_proxy(PATIENT, f"--max-samples={samples}")
    proxy.wait_armed()
    for port in (80, 81):
        world.keep(StormServer(world.client, CLIENT[4], port), "end")
    name = f"{REQUESTS[kind == 'rpcs']}_count"

    def storm(kind, port, **more):
        return world.keep(Storm(world.pod, kind, CLIENT[4], port, uid=APP_UID, **more), "end")

    # Somebody who behaves, from before to after.
    storm("keepalive", 81, count=1).told()
    good = storm("keepalive", 81, at_once=1)
    before = proxy.metrics().sum("process_resident_memory_bytes")
    storm(kind, 80, count=COUNT // 5).told()
    between = proxy.metrics().sum("process_resident_memory_bytes")
    told = storm(kind, 80, count=COUNT).told()
    assert told == {"requests": COUNT, "connections": 8, "bad": 0, "failed": 0}
    good = good.end_load()
    assert good["bad"] == good["failed"] == 0

    m = proxy.settled("outbound", 18)
    ours = m.sum(name, server_port=81)
    assert m.sum(name) - ours == COUNT + COUNT // 5
    assert m.by("http_client_request_duration_seconds_count", "server_address",
                server_port=81) == {"soak.test": good["requests"] + 1}
    assert m.sum("sluice_observer_lost_total") == 0
    assert len(m.samples) <= samples
    overflow = m.sum("sluice_series_overflow_total")
    used, limit = m.sum("sluice_samples_used"), m.sum("sluice_samples_limit")
    assert used <= limit < samples and (used > limit - 100) == (overflow > 0)
    if kind in ("hosts", "rpcs"):
        label = "server_address" if kind == "hosts" else "rpc_method"
        assert m.by(name, label)["_OTHER"] > COUNT // 2
        assert (overflow > COUNT // 2) == (samples == 2000)
    else:
        assert overflow == 0
    if not sanitized():
        now = m.sum("process_resident_memory_bytes")
        assert between < before + 4 * MIB, "what the samples take"
        assert now < between + MIB // 2, "and it grows no further"
        print(f"{kind}: {COUNT + COUNT // 5} different, {before / 1024:.0f} KiB before, "
              f"{now / 1024:.0f} KiB after, {len(m.samples)} samples")
