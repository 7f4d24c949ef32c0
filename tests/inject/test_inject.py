# SPDX-License-Identifier: GPL-2.0-or-later
"""`sluice inject`: what it adds, what it leaves alone, and that --remove gives back every byte."""
import copy
import json
import random
import re
import resource

import pytest
import yaml

from lib.manifests import OURS, PATHS, inject, names, template_of, workload
from lib.randomly import seed
from lib.sluice import USAGE, sanitized


@pytest.mark.parametrize("style", ["block", "flow", "json"])
@pytest.mark.parametrize("form", ["sidecar", "classic"])
@pytest.mark.parametrize("kind", sorted(PATHS))
def test_every_kind(kind, form, style):
    """Ours come first, the rest is as it was, a second time changes nothing, and out is out."""
    before = workload(kind, labels={"app": "web"})
    text = json.dumps(before, indent=2) + "\n" if style == "json" else \
        yaml.safe_dump(before, default_flow_style=style == "flow")
    after, said = inject(text, f"--form={form}")
    assert f"{kind}/web: injected" in said
    manifest = (json.loads if style == "json" else yaml.safe_load)(after)
    pod = template_of(manifest)["spec"]
    if form == "sidecar":
        assert names(pod["initContainers"]) == list(OURS)
        assert pod["initContainers"][1]["restartPolicy"] == "Always"
        assert names(pod["containers"]) == ["app"]
    else:
        assert names(pod["initContainers"]) == ["sluice-init"]
        assert names(pod["containers"]) == ["app", "sluice-proxy"]
    again, said = inject(after, f"--form={form}")
    assert again == after and "already injected" in said
    assert inject(after, "--remove")[0] == text


def test_what_the_containers_are():
    """Least privilege, and what a cluster refuses if it is missing."""
    pod = template_of(yaml.safe_load(inject(yaml.safe_dump(workload("Deployment")))[0]))
    rules, proxy = pod["spec"]["initContainers"]
    assert rules["command"] == ["sluice", "apply"] and proxy["command"] == ["sluice-proxy"]
    for c in rules, proxy:
        s = c["securityContext"]
        assert s["runAsNonRoot"] is True and s["runAsUser"] == 1337
        assert s["readOnlyRootFilesystem"] is True
        assert s["seccompProfile"] == {"type": "RuntimeDefault"}
    assert rules["securityContext"]["capabilities"] == {"drop": ["ALL"], "add": ["NET_ADMIN"]}
    assert proxy["securityContext"]["capabilities"] == {"drop": ["ALL"]}
    assert proxy["securityContext"]["allowPrivilegeEscalation"] is False
    assert proxy["ports"] == [{"name": "sluice-admin", "containerPort": 9901, "protocol": "TCP"}]
    assert "readinessProbe" not in proxy
    assert pod["metadata"]["annotations"]["prometheus.io/port"] == "9901"


def variables(container):
    return {v["name"]: v.get("value") for v in container.get("env", [])}


@pytest.mark.parametrize("form", ["sidecar", "classic"])
def test_the_rules_know_whose_the_node_is(form):
    """For a pod with hostNetwork that slips through; once, if somebody says another address."""
    def addresses(*args, **annotations):
        text = yaml.safe_dump(workload("Pod", annotations=annotations))
        rules = yaml.safe_load(inject(text, f"--form={form}", *args)[0])["spec"]["initContainers"][0]
        return [{k: v for k, v in one.items() if k != "name"} for one in rules["env"]
                if one["name"] == "SLUICE_NODE_ADDRESS"]

    assert addresses() == [{"valueFrom": {"fieldRef": {"fieldPath": "status.hostIP"}}}]
    assert addresses("--set=node-address=192.0.2.1") == [{"value": "192.0.2.1"}]
    assert addresses(**{"sluice.dev/node-address": "192.0.2.2"}) == [{"value": "192.0.2.2"}]


def test_options_come_from_annotations_and_from_set():
    """The annotation is the nearer one; each container is given what it knows."""
    text = yaml.safe_dump(workload("Pod", annotations={
        "sluice.dev/outbound-exclude-ports": "3306,5432", "sluice.dev/admin-port": "9911",
        "sluice.dev/proxy-uid": "1500"}))
    after, _ = inject(text, "--set", "outbound-exclude-ports=1", "--set=threads=2",
                      "--set=inbound-mode=tproxy", "--image=registry.example/sluice:7",
                      "--image-pull-policy=Never", "--memory-limit=64Mi")
    pod = yaml.safe_load(after)
    rules, proxy = pod["spec"]["initContainers"]
    assert variables(rules)["SLUICE_OUTBOUND_EXCLUDE_PORTS"] == "3306,5432"
    assert "SLUICE_THREADS" not in variables(rules)
    assert variables(proxy)["SLUICE_THREADS"] == "2"
    assert "SLUICE_OUTBOUND_EXCLUDE_PORTS" not in variables(proxy)
    for c in rules, proxy:
        assert variables(c)["SLUICE_INBOUND_MODE"] == "tproxy"
        assert variables(c)["SLUICE_ADMIN_PORT"] == "9911"
        assert c["securityContext"]["runAsUser"] == 1500
        assert c["image"] == "registry.example/sluice:7" and c["imagePullPolicy"] == "Never"
    assert proxy["securityContext"]["capabilities"]["add"] == ["NET_RAW"]
    assert proxy["livenessProbe"]["httpGet"]["port"] == 9911
    assert proxy["resources"]["limits"] == {"memory": "64Mi"}
    assert pod["metadata"]["annotations"]["prometheus.io/port"] == "9911"


@pytest.mark.parametrize("form", ["sidecar", "classic"])
def test_what_was_added_is_told_briefly(form):
    """podman refuses annotations of more than 63 characters; and what only sounds like it stays."""
    text = yaml.safe_dump({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "a"},
                           "spec": {"template": {"spec": workload("Pod")["spec"]}}})
    after, _ = inject(text, f"--form={form}")
    for value in template_of(yaml.safe_load(after))["metadata"]["annotations"].values():
        assert len(value) <= 63
    text = yaml.safe_dump(workload("Pod", annotations={"initContainers": "1", "scrape": "1"}))
    assert inject(inject(text, f"--form={form}")[0], "--remove")[0] == text


@pytest.mark.parametrize("change, why", [
    ({"hostNetwork": True}, "hostNetwork"),
    ({"os": {"name": "windows"}}, "Windows"),
    ({"nodeSelector": {"kubernetes.io/os": "windows"}}, "Windows"),
    ({"nodeSelector": {"beta.kubernetes.io/os": "windows"}}, "Windows"),
    ({"containers": []}, "no containers"),
])
def test_left_alone(change, why):
    spec = {"containers": [{"name": "app", "image": "app"}], **change}
    text = yaml.safe_dump(workload("Deployment", spec))
    after, said = inject(text)
    assert after == text and "left alone" in said and why in said


def test_opted_out_and_not_ours():
    for text in (yaml.safe_dump(workload("Pod", annotations={"sluice.dev/inject": "false"})),
                 "kind: Service\napiVersion: v1\n", "", "# nothing\n", "--- # a\n---\nx: [1]\n",
                 "apiVersion: example.com/v1\nkind: Deployment\nspec: {}\n", "just text\n"):
        assert inject(text)[0] == text


@pytest.mark.parametrize("word", ["False", "no", "off", "0", "flase"])
@pytest.mark.parametrize("key", ["annotations", "labels"])
def test_a_switch_that_is_a_slip(key, word):
    """It would measure a pod that was not to be."""
    pod = workload("Pod")
    pod["metadata"][key] = {"sluice.dev/inject": word}
    _, said = inject(yaml.safe_dump(pod), status=USAGE)
    assert f"sluice.dev/inject: '{word}' is none of true, enabled, false, disabled" in said
    pod["metadata"][key] = {"sluice.dev/inject": "true"}
    assert "injected" in inject(yaml.safe_dump(pod))[1]


def test_warnings():
    spec = {"containers": [{"name": "app", "securityContext": {"runAsUser": 1337}}]}
    _, said = inject(yaml.safe_dump(workload("Deployment", spec)))
    assert "runs as user 1337" in said
    assert "runs as user" not in inject(yaml.safe_dump(workload("Deployment", spec)),
                                        "--set=proxy-uid=1400")[1]
    assert "outlives" in inject(yaml.safe_dump(workload("Job")), "--form=classic")[1]
    text = yaml.safe_dump(workload("Pod", annotations={"prometheus.io/port": "8080"}))
    after, said = inject(text)
    assert "of its own" in said
    assert yaml.safe_load(after)["metadata"]["annotations"]["prometheus.io/port"] == "8080"
    assert inject(after, "--remove")[0] == text


def test_a_sidecar_is_warned_of_as_a_container():
    """Istio's runs as user 1337, too; what is over before the application starts does no harm."""
    def said(**container):
        spec = {"containers": [{"name": "app"}], "initContainers": [{"name": "mesh", **container}]}
        return inject(yaml.safe_dump(workload("Deployment", spec)), "--set=inbound-closed=redirect")[1]

    user = {"securityContext": {"runAsUser": 1337}}
    port = {"ports": [{"containerPort": 9001}]}
    probe = {"startupProbe": {"tcpSocket": {"port": 80}}}
    assert "mesh runs as user 1337" in said(restartPolicy="Always", **user)
    assert "mesh has port 9001" in said(restartPolicy="Always", **port)
    assert "startupProbe of mesh" in said(restartPolicy="Always", **probe)
    assert "warning" not in said(**user, **port, **probe)
    assert "warning" not in said(restartPolicy="Always")


@pytest.mark.parametrize("level", ["privileged", "baseline", "restricted"])
def test_level_of_a_namespace(level):
    """Said where the namespace is seen, in a list, too; the API server would say it too late."""
    space = {"apiVersion": "v1", "kind": "Namespace", "metadata": {
        "name": "shop", "labels": {"pod-security.kubernetes.io/enforce": level}}}
    listed = {"apiVersion": "v1", "kind": "List", "items": [space, workload("Pod")]}
    for text in yaml.safe_dump_all([space, workload("Pod")]), yaml.safe_dump(listed):
        after, said = inject(text)
        assert ("Namespace/shop: warning" in said and f"enforce={level}" in said) == \
            (level != "privileged"), said
        again, said = inject(after, "--remove")
        assert again == text and "Namespace" not in said


def test_who_waits_for_the_proxy():
    """Nobody, but where connections fail without it."""
    def probes(*args, **annotations):
        text = yaml.safe_dump(workload("Pod", annotations=annotations))
        spec = yaml.safe_load(inject(text, *args)[0])["spec"]
        proxy = next(c for c in spec["initContainers"] + spec["containers"]
                     if c["name"] == "sluice-proxy")
        return {key: value for key, value in proxy.items() if key.endswith("Probe")}

    live = {"httpGet": {"path": "/live", "port": 9901}, "periodSeconds": 10, "timeoutSeconds": 5,
            "failureThreshold": 6}
    ready = {"httpGet": {"path": "/ready", "port": 9901}, "periodSeconds": 1, "timeoutSeconds": 1,
             "failureThreshold": 60}
    closed = {"sluice.dev/fail": "closed"}
    assert probes() == probes("--form=classic") == {"livenessProbe": live}
    assert probes("--set=fail=closed") == {"startupProbe": ready, "livenessProbe": live}
    assert probes(**closed) == {"startupProbe": ready, "livenessProbe": live}
    assert probes("--form=classic", **closed) == {"livenessProbe": live}


def test_a_port_that_the_proxy_has_too():
    """By what the pod's annotations make of the ports."""
    def said(port, **annotations):
        spec = {"containers": [{"name": "a"}, {"name": "app", "ports": [
            {"containerPort": 80}, {"containerPort": port}, {"containerPort": "no"}]}]}
        return inject(yaml.safe_dump(workload("Deployment", spec, annotations=annotations)))[1]

    for port in (9001, 9211, 9226, 9901):
        assert f"app has port {port}" in said(port)
    for port in (9002, 9210, 9227, 80):
        assert "has port" not in said(port)
    moved = {"sluice.dev/admin-port": "9902", "sluice.dev/inbound-port": "9300"}
    assert "has port" not in said(9901, **moved) and "has port" not in said(9211, **moved)
    assert "app has port 9902" in said(9902, **moved)
    assert "app has port 9315" in said(9315, **moved)


def test_a_probe_that_would_always_pass():
    spec = {"containers": [{"name": "app", "livenessProbe": {"tcpSocket": {"port": "http"}},
                            "readinessProbe": {"httpGet": {"port": 80}}}]}
    text = yaml.safe_dump(workload("Pod", spec))
    for args in ([], ["--set=inbound-closed=refuse"]):
        assert "Probe" not in inject(text, *args)[1]
    said = inject(text, "--set=inbound-closed=redirect")[1]
    assert "the livenessProbe of app (tcpSocket)" in said and "readinessProbe" not in said


def test_the_quality_of_service():
    """It was Guaranteed where every container's limits were its requests."""
    def said(*resources, args=(), key="containers"):
        spec = {"containers": [{"name": "a", "resources": resources[0]}]}
        spec.setdefault(key, []).extend({"name": f"c{n}", "resources": r}
                                        for n, r in enumerate(resources[1:]))
        return "Guaranteed" in inject(yaml.safe_dump(workload("Job", spec)), *args)[1]

    full = {"limits": {"cpu": 1, "memory": "1Gi"}}
    same = {"limits": {"cpu": "1", "memory": "1Gi"}, "requests": {"cpu": "1"}}
    more = {"limits": {"cpu": "1", "memory": "1Gi"}, "requests": {"cpu": "500m"}}
    half = {"limits": {"memory": "1Gi"}}
    assert said(full) and said(full, same) and said(same, full, key="initContainers")
    assert not said(more) and not said(half) and not said({})
    assert not said(full, half) and not said(full, {}, key="initContainers")
    keep = ["--cpu-limit=10m", "--cpu-request=10m", "--memory-limit=16Mi", "--memory-request=16Mi"]
    assert not said(full, args=keep) and said(full, args=keep[1:])
    pod = yaml.safe_load(inject(yaml.safe_dump(workload("Pod")), *keep)[0])
    for c in pod["spec"]["initContainers"]:
        assert c["resources"] == {"requests": {"cpu": "10m", "memory": "16Mi"},
                                  "limits": {"cpu": "10m", "memory": "16Mi"}}


def test_the_classic_proxy_has_the_time_that_the_application_has():
    """Told to stop together with it, it would else reset what the application still serves."""
    def drain(seconds, *args, **annotations):
        spec = {"containers": [{"name": "app"}], "terminationGracePeriodSeconds": seconds}
        text = yaml.safe_dump(workload("Deployment", spec, annotations=annotations))
        pod = template_of(yaml.safe_load(inject(text, *args)[0]))["spec"]
        proxy = (pod["containers"] + pod["initContainers"])[1 if "--form=classic" in args else 2]
        assert proxy["name"] == "sluice-proxy"
        return variables(proxy).get("SLUICE_DRAIN_TIMEOUT")

    assert drain(300, "--form=classic") == "300s"
    assert drain(31, "--form=classic") == "31s"
    for seconds in (0, 10, 30, "x", 10 ** 9):
        assert drain(seconds, "--form=classic") is None
    assert drain(300) is None
    assert drain(300, "--form=classic", "--set=drain-timeout=5s") == "5s"
    assert drain(300, "--form=classic", **{"sluice.dev/drain-timeout": "7s"}) == "7s"


LAYOUT = """\
# A comment at the head.\r
apiVersion: apps/v1   # trailing
kind: 'Deployment'

metadata: {name: "wé\u4e16b", labels: {"on": y}}
spec:
    template:
        metadata:
            labels: &labels
                app: web
        spec:
            # what runs
            containers:
            # the first
            -   name: app
                command: ["sh", '-c', "x # no comment"]
                args:
                  - |
                    echo hello

                    # not a comment
                  - >-
                    folded

                    text
            # after the last
            volumes: []  # none
    selector: {matchLabels: *labels}
...
---
kind: Service
"""


@pytest.mark.parametrize("form", ["sidecar", "classic"])
def test_all_that_is_not_ours_stays_as_it_is(form):
    """Comments, quotes, blank lines, block scalars, two kinds of line ends."""
    text = LAYOUT if form == "sidecar" else LAYOUT.replace("\r", "")
    after, _ = inject(text, f"--form={form}")
    kept = [line for line in after.splitlines() if line in text.splitlines()]
    assert [line for line in text.splitlines() if line not in kept] == []
    documents = list(yaml.safe_load_all(after))
    pod = template_of(documents[0])["spec"]
    assert pod["containers"][0]["args"] == ["echo hello\n\n# not a comment\n", "folded\ntext"]
    assert "sluice-proxy" in names(pod["initContainers"]) + names(pod["containers"])
    assert inject(after, "--remove")[0] == text


@pytest.mark.parametrize("text, part", [
    ("a: [1\nb: }\n", "line 2"),
    ("a: b: c\n", "line 1"),
    ("\tkind: Pod\n", "line 1"),
    (b"kind: \xff\xfe\n", "byte"),
    ("kind: Pod\napiVersion: v1\nspec:\n  <<: {a: b}\n  containers: []\n", "merge key"),
    ("kind: Pod\napiVersion: v1\nspec:\n  containers: []\n  containers: []\n", "twice"),
    ("apiVersion: v1\nkind: List\nitems:\n- &p {apiVersion: v1, kind: Pod, spec: &s {containers: "
     "[{name: a}]}}\n- {apiVersion: v1, kind: Pod, spec: *s}\n", "alias"),
    ("apiVersion: v1\nkind: List\nitems:\n- &a {apiVersion: v1, kind: Pod, metadata: {name: x}, spec: "
     "{containers: [{name: a}]}}\n- *a\n", "alias"),
    ("kind: Pod\napiVersion: v1\nspec:\n  containers:\n  - name: a\r  - name: b\n", "lone CR"),
    ("kind: Pod\napiVersion: v1\nspec:\n  containers:\n  - name: 'a\u2028b'\n", "U+2028"),
    ("kind: Pod\napiVersion: v1\nmetadata: {annotations: {sluice.dev/proxy-uid: '0'}}\nspec:\n"
     "  containers: [{name: a}]\n", "from 1 to 2147483647"),
    ("kind: Pod\napiVersion: v1\nspec:\n  initContainers: {}\n  containers: [{name: a}]\n",
     "no list"),
    ("kind: Pod\napiVersion: v1\nmetadata: {annotations: {sluice.dev/no-such: x}}\nspec:\n"
     "  containers: [{name: a}]\n", "sluice.dev/no-such"),
    ("kind: Pod\napiVersion: v1\nmetadata: {annotations: {sluice.dev/threads: many}}\nspec:\n"
     "  containers: [{name: a}]\n", "--threads"),
    ("[" * 100000, "line 1"),
    ("{a: " * 100000, "line 1"),
    ("- " * 100000, "line 1"),
], ids=lambda value: value[:3] if len(value) > 999 else None)
def test_bad_input_is_one_line(text, part):
    _, err = inject(text, status=USAGE)
    assert part in err and err.count("\n") == 1, err


@pytest.mark.parametrize("args, part", [
    (["--set=nothing=1"], "nothing"), (["--set=threads"], "NAME=VALUE"),
    (["--set=threads="], "empty"), (["--set=threads=0"], "--threads"),
    (["--set=exclude-uids=@/etc/passwd"], "files"), (["--set=proxy-uid=root"], "proxy-uid"),
    (["--set=config=x"], "config"), (["--form=pod"], "--form"), (["--cpu-request=1x"], "1x"),
    (["--image-pull-policy=never"], "--image-pull-policy"), (["/no/such/file"], "/no/such/file"),
    (["--set=inbound-port=9901"], "9901"), (["--set=proxy-uid=2147483648"], "from 1 to 2147483647"),
    (["--set=proxy-uid=99999999999999999999"], "from 1 to 2147483647"),
    (["--set=proxy-uid=1400,1500"], "one number"),
])
def test_bad_options(args, part):
    assert part in inject("", *args, status=USAGE)[1]


def test_what_is_no_line_of_ours_is_not_touched():
    """No newline at the end of what had none, a byte order mark, odd breaks where nothing changes."""
    for text in ("apiVersion: v1\nkind: ConfigMap\ndata:\n  key: |\n    secret",
                 "\ufeffapiVersion: v1\nkind: ConfigMap\n", 'kind: ConfigMap\na: "b\u2028c\rd"\n'):
        assert inject(text)[0] == text
    text = "\ufeff" + yaml.safe_dump(workload("Pod"))
    after, said = inject(text)
    assert after[0] == "\ufeff" and "injected" in said
    assert inject(after, "--remove")[0] == text


@pytest.mark.parametrize("dash", ["-\n    ", "- # why\n    ", "-   # why\n\n    # and how\n    "])
@pytest.mark.parametrize("form", ["sidecar", "classic"])
def test_a_dash_on_a_line_of_its_own(form, dash):
    text = f"apiVersion: v1\nkind: Pod\nmetadata: {{name: x}}\nspec:\n  initContainers:\n  {dash}" \
        f"name: b\n  containers:\n  {dash}name: a\n  {dash}name: c\n"
    after, _ = inject(text, f"--form={form}")
    spec = yaml.safe_load(after)["spec"]
    assert names(spec["initContainers"])[0] == "sluice-init"
    assert names(spec["containers"])[:2] == ["a", "c"]
    assert inject(after, "--remove")[0] == text


def test_numbers_are_decimal():
    """To YAML 1.1 what begins with a zero is octal."""
    text = yaml.safe_dump(workload("Pod", annotations={
        "sluice.dev/proxy-uid": "01337", "sluice.dev/admin-port": "09911"}))
    pod = yaml.safe_load(inject(text)[0])
    rules, proxy = pod["spec"]["initContainers"]
    assert rules["securityContext"]["runAsUser"] == proxy["securityContext"]["runAsUser"] == 1337
    assert proxy["ports"][0]["containerPort"] == 9911
    assert pod["metadata"]["annotations"]["prometheus.io/port"] == "9911"


def test_the_legacy_tables_have_a_lock_that_is_a_file():
    pod = yaml.safe_load(inject(yaml.safe_dump(workload("Pod")), "--set=backend=iptables")[0])
    rules, proxy = pod["spec"]["initContainers"]
    assert rules["securityContext"]["readOnlyRootFilesystem"] is False
    assert rules["securityContext"]["capabilities"]["add"] == ["NET_ADMIN", "NET_RAW"]
    assert proxy["securityContext"]["readOnlyRootFilesystem"] is True


def test_a_bomb_stays_small():
    """Aliases of aliases of aliases: nothing is expanded, within 64 MiB in all."""
    bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
        f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]\n" for n in range(1, 30))
    text = "kind: ConfigMap\napiVersion: v1\n" + bomb
    assert inject(text)[0] == text


def test_ten_megabytes():
    """No more than 40 bytes of memory for each of what is written."""
    spec = {"containers": [{"name": "app", "image": "app", "args": ["x" * 60] * 80}]}
    one = yaml.safe_dump(workload("Deployment", spec, labels={"app": "web"}))
    text = "---\n".join([one] * (10_000_000 // (len(one) + 4)))
    before = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    after, said = inject(text)
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    count = text.count("kind:")
    assert after.count("name: sluice-init") == count == said.count("injected")
    assert inject(after, "--remove")[0] == text
    assert peak == before or peak < 40 * len(after) // 1024 or sanitized()


def test_files_and_standard_input(tmp_path):
    """Several files become one stream."""
    one, two = tmp_path / "1.yaml", tmp_path / "2.json"
    one.write_text(yaml.safe_dump(workload("Pod")).rstrip("\n"))
    two.write_text(json.dumps(workload("Job")))
    after, _ = inject(yaml.safe_dump(workload("StatefulSet")), one, two, "-")
    assert [d["kind"] for d in yaml.safe_load_all(after)] == ["Pod", "Job", "StatefulSet"]
    assert after.count("sluice-proxy") >= 3


class Generator:
    """Manifests as people and programs write them."""

    def __init__(self, number):
        self.random = random.Random(f"{seed()}/{number}")

    def chance(self, likely=0.5):
        return self.random.random() < likely

    def container(self, n):
        c = {"name": f"c{n}", "image": self.random.choice(["nginx:1", "a/b@sha256:0"])}
        if self.chance():
            c["args"] = [self.random.choice(["x y", "a\nb\n", "'q'", "# no", "y", "1e3", "", "\n\n"])
                         for _ in range(self.random.randint(0, 3))]
        if self.chance():
            c["ports"] = [{"name": "http", "containerPort": 8080}]
        return c

    def pod(self):
        spec = {"containers": [self.container(n) for n in range(self.random.randint(1, 3))]}
        if self.chance():
            spec["initContainers"] = [self.container(9 + n)
                                      for n in range(self.random.randint(0, 2))]
        if self.chance():
            spec["volumes"] = [{"name": "v", "emptyDir": {}}]
        items = list(spec.items())
        self.random.shuffle(items)
        return dict(items)

    def manifest(self):
        metadata = {}
        if self.chance():
            metadata["labels"] = {"app": "web"} if self.chance() else {}
        if self.chance():
            metadata["annotations"] = {"note": "a: b"} if self.chance() else {}
        return workload(self.random.choice(sorted(PATHS)), self.pod(), **metadata)

    def text(self, manifest):
        kind = self.random.randrange(4)
        if kind == 0:
            return json.dumps(manifest, indent=self.random.choice([None, 1, 2, 4]),
                              ensure_ascii=False) + "\n"
        text = yaml.safe_dump(
            manifest, sort_keys=self.chance(), indent=self.random.choice([2, 3, 4]),
            default_flow_style=self.random.choice([None, False, True]),
            default_style=self.random.choice([None, None, '"', "'", "|"]),
            width=self.random.choice([20, 80, 1000]))
        if kind == 1:
            text = re.sub(r"(?m)^( *)(containers|spec|metadata|- name):", r"\1# about\n\1\2:", text)
        elif kind == 2 and "|" not in text:
            text = text.replace("\n", "\r\n")
        return text


@pytest.mark.parametrize("number", range(100))
def test_generated_manifests(number):
    """Injected, each says what it should; taken out again, each is the same to the byte."""
    g = Generator(number)
    manifests = [g.manifest() for _ in range(g.random.randint(1, 3))]
    before = [copy.deepcopy(m) for m in manifests]
    if g.chance(0.3):
        manifests = [{"apiVersion": "v1", "kind": "List", "items": manifests}]
    text = "---\n".join(g.text(m) for m in manifests)
    if list(yaml.safe_load_all(text)) != manifests:
        pytest.fail("the generator's own mistake")
    form = g.random.choice(["sidecar", "classic"])
    after, _ = inject(text, f"--form={form}")
    loaded = list(yaml.safe_load_all(after))
    loaded = loaded[0]["items"] if loaded[0]["kind"] == "List" else loaded
    assert len(loaded) == len(before)
    for old, new in zip(before, loaded):
        spec = template_of(new)["spec"]
        found = names(spec.get("initContainers")) + names(spec["containers"])
        assert sorted(n for n in found if n in OURS) == sorted(OURS)
        assert names(spec["initContainers"])[0] == "sluice-init"
        # Ours taken out by another program leave the old one.
        for key in ("initContainers", "containers"):
            kept = [c for c in spec[key] if c["name"] not in OURS]
            assert kept == (template_of(old)["spec"].get(key) or [])
    assert inject(after, "--remove")[0] == text
