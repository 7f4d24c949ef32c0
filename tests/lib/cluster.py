# SPDX-License-Identifier: GPL-2.0-or-later
"""The cluster that scripts/cluster has started, and workloads in it, injected or not."""
import itertools
import json
import os
import pathlib
import subprocess
import time

import yaml

from .metrics import Metrics
from .sluice import ROOT, SLUICE, environment

DIRECTORY = pathlib.Path(os.environ.get("SLUICE_CLUSTER", ROOT / "build" / "cluster"))
IMAGE = os.environ.get("SLUICE_IMAGE", "localhost/sluice:0.1.0")
BOX = "test.local/box:1"  # busybox, nginx, curl, python3 with grpcio: scripts/cluster-parts
FORMS = ("sidecar", "classic")
CALL = "/call"  # told apart from the kubelet's probes by its path
# What every workload here is injected with.
INJECT = (f"--image={IMAGE}", "--image-pull-policy=Never", f"--set=route={CALL}")
_numbers = itertools.count(1)


def eventually(condition, what, timeout=90):
    """Asks again and again, since the cluster is as it should be a while later."""
    end = time.monotonic() + timeout
    while not (value := condition()):
        assert time.monotonic() < end, f"waited {timeout} s for {what}"
        time.sleep(0.2)
    return value


class Cluster:
    """Commands in the node's namespaces."""

    def run(self, *argv, stdin=None, check=True, timeout=180):
        done = subprocess.run([ROOT / "scripts" / "cluster", "--dir", DIRECTORY, "exec", *argv],
                              input=stdin, capture_output=True, text=True, timeout=timeout,
                              check=False)
        assert not check or done.returncode == 0, (argv, done.stdout, done.stderr)
        return done

    def kubectl(self, *argv, **more):
        return self.run("kubectl", *argv, **more)

    def start(self, *argv):
        """A command that goes on; the caller ends it."""
        return subprocess.Popen(
            [ROOT / "scripts" / "cluster", "--dir", DIRECTORY, "exec", *argv],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)

    def proxy_mode(self, mode):
        subprocess.run([ROOT / "scripts" / "cluster", "--dir", DIRECTORY, "proxy-mode", mode],
                       check=True, timeout=60)


def inject(text, *args):
    """What `sluice inject` makes of it, and what it says."""
    if "--remove" not in args:
        args = (*INJECT, *args)
    done = subprocess.run([SLUICE, "inject", *args],
                          input=text, capture_output=True, text=True, timeout=60, check=False,
                          env=environment())
    assert done.returncode == 0, done.stderr
    return done.stdout, done.stderr


class Namespace:
    """One of the cluster, of its own for a test, with what the test puts into it."""

    def __init__(self, cluster, level=None):
        self.cluster = cluster
        self.name = f"test-{os.getpid()}-{next(_numbers)}"
        labels = {f"pod-security.kubernetes.io/{what}": level for what in ("enforce", "warn")
                  if level}
        self.apply({"apiVersion": "v1", "kind": "Namespace",
                    "metadata": {"name": self.name, "labels": labels}})

    def kubectl(self, *argv, **more):
        return self.cluster.kubectl("--namespace", self.name, *argv, **more)

    def apply(self, *objects, inject_args=None, check=True):
        """Applies objects (maps or YAML), injected if arguments are given; what kubectl said."""
        text = "---\n".join(o if isinstance(o, str) else yaml.safe_dump(o) for o in objects)
        if inject_args is not None:
            text, _ = inject(text, *inject_args)
        return self.kubectl("apply", "-f", "-", stdin=text, check=check)

    def get(self, *what):
        return json.loads(self.kubectl("get", *what, "-o", "json").stdout)

    def pods(self, selector):
        """Those that are not being deleted."""
        return [p for p in self.get("pods", "-l", selector)["items"]
                if "deletionTimestamp" not in p["metadata"]]

    def pod_name(self, selector):
        pods = self.pods(selector)
        assert len(pods) == 1, [p["metadata"]["name"] for p in pods]
        return pods[0]["metadata"]["name"]

    def wait_available(self, *workloads, timeout=90):
        for workload in workloads:
            self.kubectl("rollout", "status", workload, f"--timeout={timeout}s")

    def wait_pod(self, name, condition="Ready", timeout=90):
        self.kubectl("wait", f"pod/{name}", f"--for=condition={condition}",
                     f"--timeout={timeout}s")

    def wait_job(self, name, timeout=120):
        self.kubectl("wait", f"job/{name}", "--for=condition=Complete", f"--timeout={timeout}s")

    def sh(self, pod, command, container="app", **more):
        """Runs a shell command in a pod; what it printed."""
        return self.kubectl("exec", pod, "-c", container, "--", "sh", "-c", command,
                            **more).stdout

    def metrics(self, pod):
        """What the proxy of an injected pod counts, asked by the node, as Prometheus would."""
        address = self.get("pod", pod)["status"]["podIP"]
        return Metrics(self.cluster.run("curl", "-sf", f"http://{address}:9901/metrics").stdout)

    def calls(self, pod, way="server", **labels):
        """How many requests for CALL its proxy has counted, coming in (or "client": going out)."""
        return self.metrics(pod).sum(f"http_{way}_request_duration_seconds_count",
                                     http_route=CALL, **labels)

    def wait_armed(self, *pods):
        for pod in pods:
            eventually(lambda: self.metrics(pod).sum("sluice_armed") == 1,  # pylint: disable=cell-var-from-loop
                       f"{pod} being armed")

    def container_state(self, pod, container):
        """The kubelet's word on one container, whatever its kind; {} before there is any."""
        status = self.get("pod", pod)["status"]
        for one in (status.get("containerStatuses", []) + status.get("initContainerStatuses", [])):
            if one["name"] == container:
                return one
        return {}

    def kill(self, pod, container):
        """SIGKILL to the first process of a container, from outside."""
        full = self.container_state(pod, container)["containerID"]
        self.cluster.run("ctr", "-n", "k8s.io", "tasks", "kill", "-s", "SIGKILL",
                         full.removeprefix("containerd://"))

    def delete(self):
        self.cluster.kubectl("delete", "namespace", self.name, "--wait=false", check=False)


# ---- Manifests ----

def container(command, name="app", **more):
    """A container of programs of Debian; `command` is a line of shell, or a list."""
    command = ["sh", "-c", command] if isinstance(command, str) else command
    return {"name": name, "image": BOX, "imagePullPolicy": "Never", "command": command, **more}


def template(name, *containers, annotations=None, **spec):
    return {"metadata": {"labels": {"app": name}, "annotations": annotations or {}},
            "spec": {"terminationGracePeriodSeconds": 1, "containers": list(containers), **spec}}


def pod(name, *containers, annotations=None, **spec):
    inner = template(name, *containers, annotations=annotations, **spec)
    inner["metadata"]["name"] = name
    return {"apiVersion": "v1", "kind": "Pod", **inner}


def deployment(name, *containers, replicas=1, kind="Deployment", **more):
    spec = {"replicas": replicas, "selector": {"matchLabels": {"app": name}},
            "template": template(name, *containers, **more)}
    if kind == "StatefulSet":
        spec["serviceName"] = name
    return {"apiVersion": "apps/v1", "kind": kind, "metadata": {"name": name}, "spec": spec}


def job(name, *containers, **more):
    return {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": name},
            "spec": {"backoffLimit": 0,
                     "template": template(name, *containers, restartPolicy="Never", **more)}}


def service(name, port=80, target=8080, **spec):
    return {"apiVersion": "v1", "kind": "Service", "metadata": {"name": name},
            "spec": {"selector": {"app": name}, "ports": [{"port": port, "targetPort": target}],
                     **spec}}


def web(text="hello", port=8080):
    """A shell line: a web server of busybox whose pages are this: / for probes, /call for others."""
    return (f"mkdir /tmp/w; echo {text} | tee /tmp/w/index.html >/tmp/w/call; "
            f"exec httpd -f -p {port} -h /tmp/w")


def http_ready(port=8080):
    return {"httpGet": {"path": "/", "port": port}, "periodSeconds": 1}


def web_server(namespace, replicas, inject_args, **more):
    """A Deployment and Service `web`, available; the Service's address."""
    app = container(web(), readinessProbe=http_ready(), **more)
    namespace.apply(service("web"))
    namespace.apply(deployment("web", app, replicas=replicas, terminationGracePeriodSeconds=20),
                    inject_args=inject_args)
    namespace.wait_available("deployment/web")
    return namespace.get("service", "web")["spec"]["clusterIP"]
