# SPDX-License-Identifier: GPL-2.0-or-later
"""Manifests of workloads, and `sluice inject` run on them."""
import resource
import subprocess

from lib.sluice import DONE, SLUICE, environment

OURS = ("sluice-init", "sluice-proxy")
PATHS = {
    "Pod": ("v1", []),
    "ReplicationController": ("v1", ["spec", "template"]),
    "Deployment": ("apps/v1", ["spec", "template"]),
    "StatefulSet": ("apps/v1", ["spec", "template"]),
    "DaemonSet": ("apps/v1", ["spec", "template"]),
    "ReplicaSet": ("apps/v1", ["spec", "template"]),
    "Job": ("batch/v1", ["spec", "template"]),
    "CronJob": ("batch/v1", ["spec", "jobTemplate", "spec", "template"]),
}


def inject(text, *args, status=DONE, **limits):
    """Runs it on this text; returns what it printed, and its lines about each workload."""
    def limit():
        for what, value in limits.items():
            resource.setrlimit(getattr(resource, what), (value, value))

    data = text if isinstance(text, bytes) else text.encode()
    done = subprocess.run([SLUICE, "inject", *args], input=data, capture_output=True, timeout=60,
                          check=False, env=environment(), preexec_fn=limit)
    err = done.stderr.decode(errors="replace")
    assert done.returncode == status, (args, done.returncode, err)
    assert "sandbox refused" not in err, err
    if status != DONE:
        assert done.stdout == b"" and err.startswith("sluice: error: "), (done.stdout, err)
    return done.stdout.decode(), err


def template_of(manifest):
    """The template of a workload's pods."""
    for key in PATHS[manifest["kind"]][1]:
        manifest = manifest[key]
    return manifest


def names(containers):
    return [c["name"] for c in containers or []]


def workload(kind, spec=None, **metadata):
    """A manifest of that kind around a pod."""
    api, path = PATHS[kind]
    inner = {"spec": spec or {"containers": [{"name": "app", "image": "app"}]}}
    if metadata or kind == "Pod":
        inner["metadata"] = {"name": "web", **metadata} if kind == "Pod" else metadata
    for key in reversed(path):
        inner = {key: inner}
    return {"apiVersion": api, "kind": kind, "metadata": {"name": "web"}, **inner}
