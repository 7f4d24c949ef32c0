# SPDX-License-Identifier: GPL-2.0-or-later
"""Runs `sluice-proxy` in a pod as it is meant to run: uid 1337 and not one capability."""
import contextlib
import http.client
import os
import re
import signal
import time

from .metrics import Metrics
from .proc import Process, alive, child_setup, children, wait_until
from .sluice import PROXY, environment
from .world import POD, PROXY_UID


class Proxy(Process):
    """`Proxy(netns, "--option")`: started, and ready unless `ready=False`."""

    def __init__(self, netns, *args, caps=(), uid=PROXY_UID, env=None, ready=True,
                 descriptors=None, stack=None, scratch=None):
        self.netns = netns
        # Beats of another, who may have ended a moment ago.
        self._heard = {address: (heard, float("-inf")) for address, heard in self._legacy_beats()}
        limits = {"nofile": descriptors, "stack": stack}
        limit = [f"--{name}={value}:{value}" for name, value in limits.items() if value]
        limit = ["prlimit", *limit] if limit else []
        identity = {"netns": netns, "uid": uid, "caps": caps}
        super().__init__([*limit, f"/{PROXY.name}" if scratch else PROXY, *args],
                         env=environment(env),
                         setup=scratch.setup(**identity) if scratch else child_setup(**identity))
        if ready:
            try:
                self.wait_line("sluice-proxy: ready: ")
            except AssertionError:
                self.end()
                raise

    @property
    def worker(self):
        """The worker's pid."""
        return wait_until(lambda: children(self.pid), "a worker")[0]

    def _legacy_beats(self):
        """(address, tick when it was heard last)."""
        if self.netns.environment.get("SLUICE_BACKEND") != "iptables":
            return []
        listed = self.netns.run(["cat", "/proc/net/xt_recent/sluice_alive"], ok=False).stdout
        return re.findall(r"src=(\S+) .*last_seen: (\d+)", listed)

    def _armed_legacy(self):
        """As armed(): beats heard in the last second, by when we saw the list change.

        The kernel counts ticks, of which there are 100 a second at least: one more may pass.
        """
        beats = self._legacy_beats()
        now = time.monotonic()
        for address, heard in beats:
            if self._heard.get(address, (None,))[0] != heard:
                self._heard[address] = heard, now
        return sum(now - seen <= 1.02 for _, seen in self._heard.values())

    def armed(self):
        """For how many families the kernel takes the proxy for alive."""
        if self.netns.environment.get("SLUICE_BACKEND") == "iptables":
            return self._armed_legacy()
        listed = self.netns.run(["nft", "list", "set", "inet", "sluice", "alive"])
        elements = re.search(r"elements = \{([^}]*)\}", listed, re.S)
        return elements[1].count(",") + 1 if elements else 0

    def wait_armed(self):
        wait_until(lambda: self.armed() == 2, "both families to be armed")

    def wait_disarmed(self):
        wait_until(lambda: self.armed() == 0, "the switch to expire")

    def get(self, path, port=9901, method="GET", family=4, host=None, headers=None,
            netns=None):
        """A request to the admin port over loopback, or from `netns`: (status, headers, body)."""
        address = POD[family] if netns else "::1" if family == 6 else "127.0.0.1"
        connection = http.client.HTTPConnection(address, port)
        connection.sock = (netns or self.netns).socket(family)
        with contextlib.closing(connection):
            connection.sock.connect((address, port))
            connection.request(method, path, headers={**({"Host": host} if host else {}),
                                                      **(headers or {})})
            response = connection.getresponse()
            return response.status, dict(response.getheaders()), response.read()

    def metrics(self):
        status, headers, body = self.get("/metrics")
        assert status == 200 and headers["Content-Type"].startswith("text/plain; version=0.0.4")
        return Metrics(body.decode())

    def envoy_metrics(self):
        status, headers, body = self.get("/stats/prometheus")
        assert status == 200 and headers["Content-Type"] == "text/plain; charset=UTF-8"
        return Metrics(body.decode())

    def settled(self, direction=None, opened=1):
        """The metrics once that many connections were opened and none is active: final counts.

        They are of a scrape of their own: what stands before sluice_connections_active was read before
        it, while the last connection may still have been at its end.
        """
        labels = {"direction": direction} if direction else {}

        def idle():
            m = self.metrics()
            return m.sum("sluice_connections_opened_total", **labels) >= opened and \
                m.sum("sluice_connections_active", **labels) == 0

        wait_until(idle, "all connections to end")
        return self.metrics()

    def kill_all(self):
        """SIGKILL of parent and worker, as the kernel's OOM killer would."""
        pids = [self.pid, *children(self.pid)]
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.wait()
        wait_until(lambda: not any(alive(p) for p in pids), "the worker to die")

    def stop(self):
        """SIGTERM; the exit status."""
        self.signal(signal.SIGTERM)
        return self.wait()

    def end(self):
        """As any process; what a sanitizer found, or the sandbox refused, fails the test."""
        super().end()
        assert "sandbox refused" not in self.output, self.output
        assert "Sanitizer" not in self.output and "runtime error" not in self.output, self.output
