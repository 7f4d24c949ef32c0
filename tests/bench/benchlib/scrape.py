# SPDX-License-Identifier: GPL-2.0-or-later
"""sluice-proxy's own counters, held against what the client counted."""

import re
import time
import urllib.request

from . import netns

ADMIN_PORT = 9901
REQUESTS = "http_server_request_duration_seconds_count"
OPEN = "sluice_connections_active"


def _read(contender):
    """{metric: sum over its series} of the two that are looked at."""
    def fetch():
        with urllib.request.urlopen(f"http://127.0.0.1:{ADMIN_PORT}/metrics", timeout=10) as f:
            return f.read().decode("utf-8")
    text = netns.within(contender.pod.ns, fetch)
    return {name: sum(int(float(v)) for v in re.findall(rf"^{name}(?:{{.*}})? (\S+)$", text, re.M))
            for name in (REQUESTS, OPEN)}


class Scrape:
    """What the proxy has counted from now on."""

    def __init__(self, contender):
        """Waits for the connections of an earlier load to be gone: wrk leaves requests behind."""
        self.contender = contender
        for _ in range(200):
            found = _read(contender)
            if not found[OPEN]:
                break
            time.sleep(0.05)
        self.before = found[REQUESTS]

    def check(self, requests, in_flight):
        """[] or what is wrong: it must have seen @requests, and at most @in_flight more.

        wrk leaves up to a request per connection behind when its time is over; the proxy learns
        of that end a moment later, so a count that is low at first is read again.
        """
        for _ in range(200):
            seen = _read(self.contender)[REQUESTS] - self.before
            if seen >= requests:
                break
            time.sleep(0.05)
        if requests <= seen <= requests + in_flight:
            return []
        return [f"sluice: the client counted {requests} requests, /metrics {seen}"]
