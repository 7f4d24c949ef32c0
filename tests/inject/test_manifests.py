# SPDX-License-Identifier: GPL-2.0-or-later
"""container/kubernetes: what is committed is what the program prints, and the components of kustomize
give an overlay what `sluice inject` gives to its manifests."""
import copy
import os
import re
import shutil
import subprocess

import pytest
import yaml

from lib.sluice import DONE, ROOT, SLUICE, USAGE, environment

KUBERNETES = ROOT / "container/kubernetes"
KUBECTL = os.environ.get("SLUICE_KUBECTL") or shutil.which("kubectl")
OURS = ("sluice-init", "sluice-proxy")
NAMESPACE, NODE = "shop", "192.0.2.7"


def inject(*args, text="", status=DONE):
    done = subprocess.run([SLUICE, "inject", *args], input=text, capture_output=True, text=True,
                          timeout=60, check=False, env=environment())
    assert done.returncode == status, (args, done)
    return done


@pytest.mark.parametrize("path, args", [
    ("sidecar/kustomization.yaml", ["--component"]),
    ("classic/kustomization.yaml", ["--component", "--form=classic"]),
    ("example-sidecar.yaml", [KUBERNETES / "example.yaml"]),
    ("example-classic.yaml", ["--form=classic", KUBERNETES / "example.yaml"]),
])
def test_committed_is_what_is_printed(path, args):
    """`make manifests` writes it anew."""
    assert (KUBERNETES / path).read_text() == inject(*args).stdout


def test_a_component_takes_no_manifests():
    for args in (["--component", "--remove"], ["--component", KUBERNETES / "example.yaml"]):
        assert "--component" in inject(*args, status=USAGE).stderr


# ---- Overlays ----

TEMPLATE = """\
metadata:
  labels: {labels}
  annotations: {annotations}
spec:
  {more}
  containers:
  - name: app
    image: app:1
    ports: [{{name: http, containerPort: 8080}}]
  - {{name: second, image: "second:1"}}
"""
KINDS = {
    "Pod": ("v1", 0), "ReplicationController": ("v1", 1), "Deployment": ("apps/v1", 1),
    "StatefulSet": ("apps/v1", 1), "DaemonSet": ("apps/v1", 1), "ReplicaSet": ("apps/v1", 1),
    "Job": ("batch/v1", 1), "CronJob": ("batch/v1", 2),
}
PODS = {
    "plain": {"labels": {}, "annotations": {"note": "x"}},
    "named": {"labels": {"app": "web", "app.kubernetes.io/name": "shop-web"}},
    "app": {"labels": {"app": "web"}, "annotations": {
        "sluice.dev/outbound-exclude-ports": "3306,6379", "sluice.dev/access-log": "-",
        "sluice.dev/inbound-port": "9300", "sluice.dev/reject-quic": "on"}},
    "told": {"labels": {"app": "web", "app.kubernetes.io/name": "shop"}, "annotations": {
        "sluice.dev/service-name": "other", "sluice.dev/service-namespace": "elsewhere",
        "sluice.dev/route": "/a/{id},/b", "sluice.dev/exclude-uids": "5-7",
        "sluice.dev/access-log": "/tmp/$$a$(SLUICE_ROUTE)$"}},
    "inits": {"labels": {"app": "web"},
              "more": "initContainers: [{name: one, image: a}, {name: two, image: b}]"},
}


def template_of(manifest):
    for _ in range(KINDS[manifest["kind"]][1]):
        manifest = manifest["spec"].get("jobTemplate") or manifest["spec"]["template"]
    return manifest


def workload(kind, name, pod, above=None):
    """A manifest of that kind; `above`: metadata of the workload itself."""
    api, depth = KINDS[kind]
    inner = yaml.safe_load(TEMPLATE.format(labels=pod.get("labels", {}), more=pod.get("more", ""),
                                           annotations=pod.get("annotations") or {"note": "y"}))
    if depth:
        inner = {"spec": {"template": inner}}
    if depth == 2:
        inner = {"spec": {"schedule": "* * * * *", "jobTemplate": inner}}
    metadata = {"name": name, "namespace": NAMESPACE, **inner.pop("metadata", {}), **(above or {})}
    return {"apiVersion": api, "kind": kind, "metadata": metadata, **inner}


def overlay(directory, manifests, form, **more):
    """What kustomize makes of these manifests with our components, by kind and name."""
    shutil.copytree(KUBERNETES, directory / "kubernetes")
    (directory / "overlay").mkdir()
    (directory / "overlay/app.yaml").write_text(yaml.safe_dump_all(manifests))
    (directory / "overlay/kustomization.yaml").write_text(yaml.safe_dump({
        "resources": ["app.yaml"],
        "components": [f"../kubernetes/{form}", "../kubernetes/scrape"], **more}))
    assert KUBECTL, "no kubectl: scripts/kubectl has one"
    done = subprocess.run([KUBECTL, "kustomize", directory / "overlay"], capture_output=True,
                          text=True, check=False, timeout=110)
    assert done.returncode == 0, done.stderr
    return by_name(yaml.safe_load_all(done.stdout))


def by_name(documents):
    return {(d["kind"], d["metadata"]["name"]): d for d in documents}


def field(template, path):
    """As the kubelet fills it in: empty where it is not there."""
    found = re.fullmatch(r"metadata\.(labels|annotations)\['(.*)'\]", path)
    if found:
        return template["metadata"].get(found[1], {}).get(found[2], "")
    return {"metadata.namespace": NAMESPACE, "status.hostIP": NODE}[path]


def variables(template, container):
    """What the program finds in its environment, as it takes it."""
    values = {}
    for item in container.pop("env", []):
        if "valueFrom" in item:
            value = field(template, item["valueFrom"]["fieldRef"]["fieldPath"])
        else:
            value = re.sub(r"\$\$|\$\((\w+)\)", lambda m: values[m[1]] if m[1] else "$",
                           item.get("value", ""))
        if item["name"].startswith("SLUICE_SERVICE_"):
            value = next((part for part in value.split(",") if part), "")
        values[item["name"]] = value
    return {n: v for n, v in values.items() if v and not n.startswith("POD_")}


def comparable(manifest):
    """With environments as they will be, and without the note of what to take out again."""
    manifest = copy.deepcopy(manifest)
    template = template_of(manifest)
    template.get("metadata", {}).get("annotations", {}).pop("sluice.dev/injected", None)
    spec = template["spec"]
    for container in spec.get("initContainers", []) + spec["containers"]:
        if container["name"] in OURS:
            container["env"] = variables(template, container)
    return manifest


@pytest.mark.parametrize("form", ["sidecar", "classic"])
def test_the_component_is_as_inject(tmp_path, form):
    """Every kind, and pods with annotations, labels, initContainers of their own: the same."""
    manifests = [workload(kind, name, pod) for kind in KINDS for name, pod in PODS.items()]
    made = overlay(tmp_path, manifests, form)
    expected = by_name(yaml.safe_load_all(
        inject(f"--form={form}", text=yaml.safe_dump_all(manifests)).stdout))
    assert made.keys() == expected.keys()
    for key, manifest in made.items():
        ours, theirs = comparable(manifest), comparable(expected[key])
        rules = template_of(ours)["spec"]["initContainers"][0]
        assert rules["env"]["SLUICE_NODE_ADDRESS"] == NODE
        assert ours == theirs, key
        assert rules["name"] == "sluice-init"


@pytest.mark.parametrize("where", ["annotations", "labels"])
@pytest.mark.parametrize("word", ["false", "disabled"])
def test_who_opts_out_above_the_template(tmp_path, where, word):
    """The component cannot see the pods' annotations, but the workload's; inject goes by both."""
    manifests = [workload(kind, "web", PODS["plain"], {where: {"sluice.dev/inject": word}})
                 for kind in KINDS]
    assert overlay(tmp_path, manifests, "classic") == by_name(manifests)
    done = inject(text=yaml.safe_dump_all(manifests))
    assert done.stderr.count("left alone: sluice.dev/inject") == len(KINDS)


def test_what_is_no_workload_stays(tmp_path):
    """Nor is a kind of another group that happens to be called the same."""
    manifests = [
        {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "web"}, "spec": {}},
        {"apiVersion": "example.com/v1", "kind": "Deployment", "metadata": {"name": "web"},
         "spec": {"template": {"spec": {"containers": [{"name": "a"}]}}}},
        {"apiVersion": "example.com/v1", "kind": "Pod", "metadata": {"name": "web"},
         "spec": {"containers": [{"name": "a"}]}},
    ]
    made = overlay(tmp_path, manifests, "sidecar")
    assert made == by_name(manifests)


def test_the_image_is_the_overlays(tmp_path):
    made = overlay(tmp_path, [workload("Deployment", "web", PODS["app"])], "sidecar",
                   images=[{"name": "sluice", "newName": "registry.example/s", "newTag": "7"}])
    spec = template_of(made["Deployment", "web"])["spec"]
    assert [c["image"] for c in spec["initContainers"]] == ["registry.example/s:7"] * 2


def test_dollars_are_what_they_are():
    """The kubelet reads two as one, and $(NAME) as another variable, in all but what fields say."""
    value = "a$$b$(SLUICE_SERVICE_NAMESPACE)$"
    plain = {"labels": {"app": "web"}}
    for args, pod in ([], {"annotations": {"sluice.dev/service-name": value}}), \
            ([f"--set=service-name={value}"], plain):
        manifest = yaml.safe_load(inject(*args, text=yaml.safe_dump(workload("Pod", "a", pod))).stdout)
        proxy = manifest["spec"]["initContainers"][1]
        assert variables(manifest, proxy)["SLUICE_SERVICE_NAME"] == value
    component = yaml.safe_load(inject("--component", f"--set=service-name={value}").stdout)
    assert component["patches"][0]["patch"].count(f'"{value.replace("$", "$$")}"') == 1


def test_a_component_of_other_options(tmp_path):
    """What is chosen for all is in it, and no annotation in its place."""
    text = inject("--component", "--set=inbound-mode=tproxy", "--set=admin-port=9911",
                  "--set=threads=2", "--set=service-name=all", "--cpu-limit=1").stdout
    component = yaml.safe_load(text)
    assert component["kind"] == "Component" and len(component["patches"]) == 3
    for patch in component["patches"]:
        spec = yaml.safe_load(patch["patch"])
        while "initContainers" not in spec:
            spec = spec.get("spec") or spec.get("template") or spec["jobTemplate"]
        proxy = spec["initContainers"][1]
        env = {v["name"]: v.get("value") for v in proxy["env"]}
        assert env["SLUICE_INBOUND_MODE"] == "tproxy" and env["SLUICE_THREADS"] == "2"
        assert env["SLUICE_SERVICE_NAME"] == "all" and "POD_LABEL_APP" not in env
        assert proxy["ports"][0]["containerPort"] == 9911
        assert proxy["securityContext"]["capabilities"]["add"] == ["NET_RAW"]
        assert proxy["resources"]["limits"]["cpu"] == "1"


# ---- The PodMonitor ----

def test_the_pod_monitor():
    """It asks for the port that the containers have, and for what is served there."""
    monitor = yaml.safe_load((KUBERNETES / "podmonitor.yaml").read_text())
    pod = yaml.safe_load(inject(text=yaml.safe_dump(workload("Pod", "web", PODS["app"]))).stdout)
    assert (monitor["apiVersion"], monitor["kind"]) == ("monitoring.coreos.com/v1", "PodMonitor")
    endpoint, = monitor["spec"]["podMetricsEndpoints"]
    ports = [p["name"] for c in pod["spec"]["initContainers"] for p in c.get("ports", [])]
    assert ports == [endpoint["port"]]
    assert endpoint["path"] == pod["metadata"]["annotations"]["prometheus.io/path"]
