# SPDX-License-Identifier: GPL-2.0-or-later
"""Pods of all sorts, and a value for each option that a pod can set by an annotation."""
import copy

from .randomly import generator

PREFIX = "sluice.dev/"

# Each fits every other one.
VALUES = {
    "proxy-uid": "1400", "proxy-gid": "1400", "inbound-port": "9300", "outbound-port": "9002",
    "admin-port": "09911", "inbound": "on", "outbound": "on", "inbound-include-ports": "80,8000-8999",
    "inbound-exclude-ports": "22", "inbound-exclude-cidrs": "10.0.0.0/8,fd00::/8",
    "inbound-closed": "redirect", "inbound-mode": "tproxy", "inbound-target": ":8080",
    "drop-invalid": "on", "outbound-include-ports": "1-65535", "outbound-exclude-ports": "3306,6379",
    "outbound-include-cidrs": "0.0.0.0/0", "outbound-exclude-cidrs": "169.254.169.254/32",
    "exclude-interfaces": "lo,veth+", "virtual-interfaces": "tap0", "reject-quic": "on",
    "exclude-uids": "100-200", "exclude-gids": "7", "include-uids": "1000", "include-gids": "1000",
    "fail": "closed", "heartbeat-timeout": "500ms", "backend": "iptables", "lock-timeout": "2s",
    "node-address": "192.0.2.1",
    "admin-listen": "0.0.0.0:8001,[::]:8001", "admin-open": "on", "outbound-mode": "host",
    "transparent": "off", "threads": "2", "heartbeat-interval": "50ms", "drain-timeout": "5s",
    "max-connections": "1000", "max-descriptors": "4000", "max-memory": "64MiB",
    "max-samples": "1000", "keepalive-idle": "30s", "keepalive-interval": "30s",
    "keepalive-count": "3", "access-log": "/tmp/a\"b\\n'c", "access-log-buffer": "64",
    "access-log-target": "path", "service-name": "shop",
    "service-namespace": "prod", "sandbox": "off", "route": "/a$$b/$(HOME)/{id},/it's/{rest...}",
    "no-ptr": "on", "cluster-cidrs": "100.64.0.0/10", "resolv-conf": "/etc/resolv.conf",
    "semconv": "dup", "log-level": "debug",
}


def pod(name="web", spec=None, **metadata):
    """The least that the API server takes, and more."""
    spec = {"containers": [{"name": "app", "image": "app"}], **(spec or {})}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, **metadata},
            "spec": spec}


def annotated(name, **options):
    """A pod that sets these options, `_` for `-`."""
    return pod(name, annotations={PREFIX + k.replace("_", "-"): v for k, v in options.items()})


# What is left alone, and why.
LEFT_ALONE = {
    "annotation-false": pod(annotations={"sluice.dev/inject": "false"}),
    "annotation-disabled": pod(annotations={"sluice.dev/inject": "disabled", "a": "b"}),
    "label-false": pod(labels={"sluice.dev/inject": "false"}),
    "label-disabled": pod(labels={"sluice.dev/inject": "disabled", "app": "web"}),
    "host-network": pod(spec={"hostNetwork": True}),
    "os-windows": pod(spec={"os": {"name": "windows"}}),
    "selects-windows": pod(spec={"nodeSelector": {"kubernetes.io/os": "windows"}}),
    "has-proxy": pod(spec={"containers": [{"name": "app", "image": "app"},
                                          {"name": "sluice-proxy", "image": "x"}]}),
    "has-init": pod(spec={"initContainers": [{"name": "sluice-init", "image": "x"}]}),
}

# What looks like it, and is not.
NOT_LEFT_ALONE = {
    "annotation-true": pod(annotations={"sluice.dev/inject": "true"}),
    "label-enabled": pod(labels={"sluice.dev/inject": "enabled"}),
    "own-network": pod(spec={"hostNetwork": False}),
    "os-linux": pod(spec={"os": {"name": "linux"}, "nodeSelector": {"kubernetes.io/os": "linux"}}),
}


class Pods:
    """Generated ones, the same of the same number."""

    def __init__(self, number):
        self.random = generator("pods", number)
        self.number = number

    def chance(self, likely=0.5):
        return self.random.random() < likely

    def some(self, items, most):
        return self.random.sample(items, self.random.randint(0, most))

    def container(self, name, init=False):
        c = {"name": name, "image": self.random.choice(["nginx:1", "a.example/b:2", "c"])}
        if self.chance():
            c["args"] = [self.random.choice(["x y", "a\nb", "'q'", "# no", "${e}", "", "é"])]
        if self.chance():
            c["env"] = [{"name": "A", "value": "b"}]
        if self.chance() and not init:
            c["ports"] = [{"name": "http", "containerPort": 8080}]
            c["readinessProbe"] = {"tcpSocket": {"port": "http"}}
        if self.chance(0.3):
            c["resources"] = {"requests": {"cpu": "1", "memory": "0.5Gi"}}
        if self.chance(0.3):
            c["securityContext"] = {"runAsUser": self.random.choice([1000, 1337])}
        if init and self.chance(0.3):
            c["restartPolicy"] = "Always"
        return c

    def spec(self):
        spec = {"containers": [self.container(f"c{n}") for n in range(self.random.randint(1, 3))]}
        if self.chance():
            spec["initContainers"] = [self.container(f"i{n}", True)
                                      for n in range(self.random.randint(1, 3))]
        if self.chance(0.3):
            spec["volumes"] = [{"name": "v", "emptyDir": {}}]
        if self.chance(0.3):
            spec["securityContext"] = {"fsGroup": 7, "runAsNonRoot": True}
        if self.chance(0.3):
            spec["automountServiceAccountToken"] = False
        if self.chance(0.3):
            spec["terminationGracePeriodSeconds"] = self.random.choice([0, 30, 31, 600, 86400, 86401])
        if self.chance(0.3):
            spec["restartPolicy"] = self.random.choice(["Never", "OnFailure"])
        return spec

    def annotations(self):
        found = {"note": "a: b", "other.example/x": ""} if self.chance() else {}
        for key in self.some(["prometheus.io/scrape", "prometheus.io/port", "prometheus.io/path"],
                             2 if self.chance(0.3) else 0):
            found[key] = self.random.choice(["false", "8080", ""])
        for option in self.some(sorted(VALUES), 5):
            found[PREFIX + option] = VALUES[option]
        return found

    def labels(self):
        found = {key: self.random.choice(["web", "shop", ""])
                 for key in self.some(["app", "app.kubernetes.io/name", "tier"], 3)}
        return found

    def pod(self):
        """One of any kind; some of those that are left alone among them."""
        if self.chance(0.1):
            kinds = {**LEFT_ALONE, **NOT_LEFT_ALONE}
            made = copy.deepcopy(kinds[self.random.choice(sorted(kinds))])
        else:
            made = pod(spec=self.spec())
        meta = made["metadata"]
        # A name is what they are found by, if they have one.
        meta["name"] = f"pod-{self.number}"
        for what in ("annotations", "labels"):
            more = getattr(self, what)()
            if more and self.chance(0.8):
                meta[what] = {**more, **meta.get(what, {})}
        if self.chance(0.2):
            meta["generateName"] = meta.pop("name") + "-"
        return made
