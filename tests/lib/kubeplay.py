# SPDX-License-Identifier: GPL-2.0-or-later
"""Pods of `podman kube play`, as they are and injected, and a load on them from their node."""
import contextlib
import http.client
import subprocess
import threading
import time
from collections import Counter

import yaml

from .metrics import Metrics
from .patience import PATIENCE
from .pod_images import APP, ours
from .proc import wait_until
from .sluice import DONE, SLUICE, environment

HANG = PATIENCE  # far beyond what a refusal, a reset or an address that is gone takes


def container(name, *command, **more):
    """A container of the application's image, as a user that is neither root nor the proxy."""
    more.setdefault("securityContext", {"runAsUser": 1000, "runAsGroup": 1000})
    return {"name": name, "image": APP, "imagePullPolicy": "Never", "command": list(command), **more}


def pod(name, *containers, annotations=None, **spec):
    """A manifest, as text.

    With podman 4.3 a restartPolicy of Always, the default, is the initContainers', too: they are
    started again and again.
    """
    spec.setdefault("restartPolicy", "OnFailure")
    metadata = {"name": name, "labels": {"app": name}}
    if annotations:
        metadata["annotations"] = annotations
    return yaml.safe_dump({"apiVersion": "v1", "kind": "Pod", "metadata": metadata,
                           "spec": {**spec, "containers": list(containers)}}, sort_keys=False)


def api(name="api", **more):
    return pod(name, container("server", "/usr/bin/python3", "/app.py", "api"), **more)


def inject(text, *args, form="classic", admin=9901):
    """`sluice inject`: the manifest, and what it said.

    podman has no namespaces and no nodes to tell of: it refuses such a `fieldRef`. And it publishes
    each container's ports on its host, so two pods cannot have the same.
    """
    done = subprocess.run([SLUICE, "inject", f"--form={form}", f"--image={ours()}",
                           "--image-pull-policy=Never", "--set=service-namespace=shop",
                           "--set=node-address=0.0.0.0", f"--set=admin-port={admin}", *args],
                          input=text, capture_output=True, text=True, timeout=60, check=False,
                          env=environment())
    assert done.returncode == DONE, done
    return done.stdout, done.stderr


class Pods:
    """What was played goes with close()."""

    def __init__(self, node):
        self.node = node
        self._played = []
        self.stack = contextlib.ExitStack()

    def keep(self, thing, method="close"):
        self.stack.callback(getattr(thing, method))
        return thing

    def close(self):
        self.stack.close()
        if self._played:
            self.node.podman("pod", "rm", "--force", "--ignore", "--time=0", *self._played)

    def play(self, text, **kwargs):
        """Plays a manifest of one pod; the pod."""
        metadata = yaml.safe_load(text)["metadata"]
        self._played.append(metadata["name"])
        self.node.podman("kube", "play", "-", text=text, **kwargs)
        admin = metadata.get("annotations", {}).get("prometheus.io/port", 0)
        return Pod(self.node, metadata["name"], int(admin))


class Pod:
    """A pod that runs."""

    def __init__(self, node, name, admin):
        self.node, self.name, self.admin = node, name, admin
        self.address = None
        with contextlib.suppress(KeyError):
            infra = node.inspect(name, "pod")["InfraContainerID"]
            networks = node.inspect(infra)["NetworkSettings"]["Networks"]
            self.address = next(iter(networks.values()))["IPAddress"]

    def of(self, name):
        """The name that podman gives to a container of it."""
        return f"{self.name}-{name}"

    def state(self, name):
        return self.node.inspect(self.of(name))["State"]

    def exec(self, name, *argv, **kwargs):
        return self.node.podman("exec", self.of(name), *argv, **kwargs)

    def logs(self, name):
        done = self.node.podman("logs", self.of(name), status=None)
        return done.stdout + done.stderr

    def wait_exit(self, name):
        """The exit status of a container, once it has ended."""
        return int(self.node.podman("wait", self.of(name)).stdout)

    def sluice(self, *argv, **kwargs):
        """`sluice` in the pod's network, with what its initContainer may do."""
        return self.node.podman("run", "--rm", "--pod", self.name, "--cap-drop=ALL",
                                "--cap-add=NET_ADMIN", "--user=0", "--read-only", ours(), "sluice",
                                *argv, **kwargs)

    def get(self, path="/", port=8080, **kwargs):
        return self.node.get(self.address, port, path, **kwargs)

    def serves(self):
        """Waits until the application answers."""
        def answers():
            with contextlib.suppress(OSError, http.client.HTTPException):
                return self.get("/own")[0] in (200, 404)

        wait_until(answers, f"{self.name} to serve")
        return self

    def metrics(self):
        status, body = self.get("/metrics", self.admin)
        assert status == 200
        return Metrics(body.decode())

    def armed(self):
        """Waits until the proxy knows that connections are redirected to it."""
        def told():
            with contextlib.suppress(OSError, http.client.HTTPException):
                return self.metrics().sum("sluice_armed") == 1

        wait_until(told, f"{self.name} to be armed")
        return self

    def settled(self, direction, requests):
        """The metrics once that many requests were counted: a count comes with the answer's end."""
        return wait_until(lambda: (m := self.metrics()).sum(
            "http_server_request_duration_seconds_count" if direction == "inbound" else
            "http_client_request_duration_seconds_count") >= requests and m,
            f"{requests} {direction} requests")

    def proxy_pid(self):
        """Of the proxy's parent, as the node numbers it."""
        return self.state("sluice-proxy")["Pid"]

    def worker_pid(self):
        parent = self.proxy_pid()
        return int(self.node.run("cat", f"/proc/{parent}/task/{parent}/children").stdout.split()[0])


class Load:
    """Requests to a pod, by threads with a connection for each request and threads that keep theirs.

    What became of each is counted: "ok", or what failed. "hang" is what took HANG seconds.
    """

    def __init__(self, target, threads=4):
        self._node, self._address = target.node, target.address
        self._ends = threading.Event()
        self.counts = Counter()
        self.failed_at = []
        self._lock = threading.Lock()
        self._threads = [threading.Thread(target=self._run, args=(n % 2 == 1,), daemon=True)
                         for n in range(threads)]
        for t in self._threads:
            t.start()

    def _request(self, connection, keep):
        if connection.sock is None:
            connection.sock = self._node.netns.socket()
            connection.sock.settimeout(HANG)
            connection.sock.connect((self._address, 8080))
        connection.request("GET", "/own", headers={} if keep else {"Connection": "close"})
        with connection.getresponse() as response:
            response.read()
            return "ok" if response.status in (200, 404) else str(response.status)

    def _run(self, keep):
        connection = http.client.HTTPConnection(self._address, 8080)
        with contextlib.closing(connection):
            while not self._ends.is_set():
                self._once(connection, keep)

    def _once(self, connection, keep):
        try:
            result = self._request(connection, keep)
        except TimeoutError as e:
            # The kernel's own, when an address is gone, comes sooner.
            result = "hang" if e.errno is None else "no route"
        except (OSError, http.client.HTTPException) as e:
            result = type(e).__name__
        if result != "ok" or not keep:
            connection.close()
        with self._lock:
            self.counts[result] += 1
            if result != "ok":
                self.failed_at.append(time.monotonic())
        if result != "ok":
            self._ends.wait(0.01)

    def good(self):
        return self.counts["ok"]

    def wait_more(self, count=100):
        """Until that many more requests were answered."""
        before = self.good()
        wait_until(lambda: self.good() >= before + count, f"{count} answers: {self.counts}")

    def failed(self):
        return sum(n for what, n in self.counts.items() if what != "ok")

    def end(self):
        self._ends.set()
        for t in self._threads:
            t.join(HANG + 10)
            assert not t.is_alive()
