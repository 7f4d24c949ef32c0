# SPDX-License-Identifier: GPL-2.0-or-later
"""Recorded flows as differential/replay reads them, and what it tells of each."""
import json
import os
import random
import struct
import subprocess
from pathlib import Path

BUILD = Path(os.environ.get("SLUICE_BUILD", "build"))


def seeded(record_property):
    """The run's seed, told; DIFFERENTIAL_SEED sets it."""
    seed = int(os.environ.get("DIFFERENTIAL_SEED", random.randrange(2**32)))
    print(f"seed: DIFFERENTIAL_SEED={seed}")
    record_property("seed", seed)
    return seed


def recording(flows):
    """Of [(segments, when it ended)]; a segment is (kind, time, bytes)."""
    parts, ended = [], 0
    for segments, now in flows:
        parts.append(struct.pack(">BQI", 4, ended, 0))
        for kind, time, data in segments:
            parts.append(struct.pack(">BQI", kind, time, len(data)) + data)
        ended = now
    return b"".join(parts) + struct.pack(">BQI", 4, ended, 0)


def told_by(argv, data):
    """The events of each flow, and of the empty one that ends the last."""
    run = subprocess.run(argv, input=data, capture_output=True, timeout=120, check=False)
    assert run.returncode == 0, run.stderr.decode()
    flows, events = [], []
    for line in run.stdout.splitlines():
        event = json.loads(line)
        if event["event"] == "end":
            assert event.get("active", 0) == 0
            flows.append(events)
            events = []
        else:
            events.append(event)
    return flows


def told_by_us(data):
    return told_by([BUILD / "differential" / "replay"], data)


def key_of(event):
    return json.dumps(event, sort_keys=True)
