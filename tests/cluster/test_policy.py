# SPDX-License-Identifier: GPL-2.0-or-later
"""`sluice inject --policy` in a real API server: new pods of a namespace with the label are given
what `sluice inject` gives to the same pods' manifests, and run."""
import copy
import itertools
import json
import re
import subprocess

import pytest
import yaml

from lib.cluster import (FORMS, INJECT, container, deployment, eventually, http_ready, inject, job,
                         pod, service, template, web)
from lib.pods import LEFT_ALONE, NOT_LEFT_ALONE, VALUES, Pods, annotated
from lib.pods import pod as bare
from lib.sluice import DONE, SLUICE, environment

OURS = ["sluice-init", "sluice-proxy"]
SWITCH = "sluice.dev/inject"
SEEN = "http_server_request_duration_seconds_count"
_numbers = itertools.count(1)


def printed(*args):
    """The objects that the program prints, for the image that is in the cluster."""
    done = subprocess.run([SLUICE, "inject", "--policy", *INJECT, *args], capture_output=True,
                          text=True, timeout=60, check=False, env=environment())
    assert done.returncode == DONE, done.stderr
    return list(yaml.safe_load_all(done.stdout))


class Policy:
    """One in force in one namespace alone, since tests may run at once."""

    def __init__(self, namespace, *args, name=None):
        self.namespace = namespace
        self.name = f"{name or 'sluice'}-{namespace.name}-{next(_numbers)}"
        self.objects = self.mine(printed(*args))
        namespace.cluster.kubectl("label", "namespace", namespace.name, f"{SWITCH}=enabled",
                                  f"test.local/policy={namespace.name}", "--overwrite")

    def mine(self, objects):
        policy, binding = objects
        policy["metadata"]["name"] = binding["metadata"]["name"] = self.name
        binding["spec"]["policyName"] = self.name
        labels = binding["spec"]["matchResources"]["namespaceSelector"]["matchLabels"]
        assert labels == {SWITCH: "enabled"}
        labels["test.local/policy"] = self.namespace.name
        return objects

    def put(self):
        """In force when it returns: the API server takes a moment to notice."""
        self.namespace.cluster.kubectl(
            "apply", "-f", "-", stdin=stream(self.objects))
        eventually(lambda: injected(dry_run(self.namespace, bare("probe"))[0]),
                   "the policy being in force", timeout=30)
        return self

    def delete(self):
        self.namespace.cluster.kubectl(
            "delete", "--ignore-not-found",
            f"mutatingadmissionpolicybinding/{self.name}", f"mutatingadmissionpolicy/{self.name}")

    def take(self):
        self.delete()
        eventually(lambda: not injected(dry_run(self.namespace, bare("probe"))[0]),
                   "the policy being gone", timeout=30)


@pytest.fixture
def make_policy(namespace):
    """Policies for the test's namespace, which go with the test."""
    made = []

    def make(*args, **more):
        made.append(Policy(namespace, *args, **more))
        return made[-1].put()

    ready(namespace)
    yield make
    for one in made:
        one.delete()


def ready(namespace):
    """Pods are refused until their namespace has this account."""
    eventually(lambda: namespace.kubectl("get", "serviceaccount", "default",
                                         check=False).returncode == 0, "the account of pods")


def objects_in(text):
    """JSON, one behind the other."""
    decoder, at = json.JSONDecoder(), 0
    while at < len(text.rstrip()):
        one, at = decoder.raw_decode(text, at)
        at += len(text[at:]) - len(text[at:].lstrip())
        yield from one["items"] if one["kind"] == "List" else [one]


def stream(objects):
    """As JSON, of which nobody reads a number where there is a string."""
    return json.dumps({"apiVersion": "v1", "kind": "List", "items": list(objects)}, indent=1)


def dry_run(namespace, *pods):
    """What the API server would make of them, in this order."""
    done = namespace.kubectl("create", "--dry-run=server", "-o", "json", "-f", "-",
                             stdin=stream(pods))
    found = list(objects_in(done.stdout))
    assert len(found) == len(pods), done
    return found


def names(pod_, what="initContainers"):
    return [c["name"] for c in pod_["spec"].get(what, [])]


def injected(pod_):
    return [name for name in names(pod_) + names(pod_, "containers") if name in OURS] == OURS


def comparable(pod_):
    """Without what the API server makes up anew for each pod: where and when it was made, and the
    ends of two names."""
    one = json.loads(re.sub(r"\bkube-api-access-[a-z0-9]{5}\b", "kube-api-access",
                            json.dumps(pod_)))
    for key in ("namespace", "uid", "creationTimestamp"):
        one["metadata"].pop(key)
    if "generateName" in one["metadata"]:
        one["metadata"].pop("name")
    return one


def assert_same(namespace, other, pods, *args):
    """The policy's pods here are those of `sluice inject` there; how many were injected."""
    text, _ = inject(stream(pods), *args)
    wanted = dry_run(other, *json.loads(text)["items"])
    found = dry_run(namespace, *pods)
    for one, got, want in zip(pods, found, wanted):
        assert comparable(got) == comparable(want), one
    return sum(map(injected, found))


# ---- The same as inject ----


@pytest.mark.parametrize("form", FORMS)
def test_generated_pods(namespace, make_namespace, make_policy, form):
    """A hundred and twenty of them, as objects."""
    other = make_namespace()
    ready(other)
    make_policy(f"--form={form}")
    pods = [Pods(f"{form}-{n}").pod() for n in range(120)]
    assert assert_same(namespace, other, pods, f"--form={form}") > 80


@pytest.mark.parametrize("form", FORMS)
def test_every_option(namespace, make_namespace, make_policy, form):
    """Each by an annotation, alone and with all others, over what was chosen for all pods."""
    other = make_namespace()
    ready(other)
    args = [f"--form={form}", "--set=threads=3", "--set=admin-port=9950", "--set=proxy-uid=1500",
            "--set=inbound-mode=tproxy", "--set=backend=iptables", "--set=service-name=all",
            "--set=access-log=/a'b\"c\\d${e}%f: #g", "--cpu-request=15m", "--memory-limit=1Gi"]
    make_policy(*args)
    pods = [annotated(name, **{name: value}) for name, value in VALUES.items()]
    pods += [annotated("all", **VALUES), bare("none", labels={"app": "web"}),
             annotated("not", inbound_mode="redirect", backend="nft")]
    assert assert_same(namespace, other, pods, *args) == len(pods)


def test_left_alone(namespace, make_policy):
    make_policy()
    for what in ({**LEFT_ALONE}, {**NOT_LEFT_ALONE}):
        pods = [copy.deepcopy(one) for one in what.values()]
        found = dry_run(namespace, *pods)
        assert [any(name in OURS for name in set(names(after) + names(after, "containers"))
                    - set(names(before) + names(before, "containers")))
                for before, after in zip(pods, found)] == [what == NOT_LEFT_ALONE] * len(pods)


def test_order(namespace, make_policy):
    """Ours are before the pod's own, and the rules are first of all."""
    policy = make_policy()
    own = [{"name": "first", "image": "x"}, {"name": "side", "image": "x", "restartPolicy": "Always"}]
    one = bare("own", spec={"initContainers": own})
    assert names(dry_run(namespace, one)[0]) == [*OURS, "first", "side"]
    policy.take()
    make_policy("--form=classic")
    found = dry_run(namespace, one)[0]
    assert names(found) == ["sluice-init", "first", "side"]
    assert names(found, "containers") == ["app", "sluice-proxy"]


def stored(pod_):
    """As somebody would write it who has it from the API server."""
    one = comparable(pod_)
    one.pop("status", None)
    return one


@pytest.mark.parametrize("form", FORMS)
def test_again_and_back(namespace, make_namespace, make_policy, form):
    """What has been given ours is not given them again; and --remove takes them out."""
    make_policy(f"--form={form}")
    pods = [p for p in (Pods(f"again-{n}").pod() for n in range(30)) if "name" in p["metadata"]]
    once = dry_run(namespace, *pods)
    twice = dry_run(namespace, *map(stored, once))
    assert list(map(comparable, twice)) == list(map(comparable, once))
    other = make_namespace()
    ready(other)
    text, _ = inject(stream(map(stored, once)), "--remove")
    back = dry_run(other, *json.loads(text)["items"])
    for one, got, want in zip(once, back, dry_run(other, *pods)):
        if injected(one):
            assert comparable(got) == comparable(want)


# ---- Values that are wrong ----


def test_wrong_values_are_for_the_programs_to_tell(namespace, make_policy):
    """No pod is refused for them by the policy; each program ends with a line that says what."""
    make_policy()
    wrong = {"admin-port": "9999999999", "proxy-uid": "0", "outbound-exclude-ports": "70000",
             "exclude-uids": "@/nowhere", "inbound": "no way"}
    namespace.apply(*(pod(option, container("sleep 60"), annotations={f"sluice.dev/{option}": value})
                      for option, value in wrong.items()))
    for option, value in wrong.items():
        assert injected(namespace.get("pod", option))
        said = eventually(lambda: namespace.kubectl(  # pylint: disable=cell-var-from-loop
            "logs", option, "-c", "sluice-init", check=False).stdout, f"the end of {option}")
        assert said.count("\n") == 1 and said.startswith("sluice: error: "), said
        name = "SLUICE_" + option.upper().replace("-", "_")
        assert option in said or name in said, said
        assert value.lstrip("@") in said, said


def test_wrong_value_of_the_proxy(namespace, make_policy):
    make_policy()
    namespace.apply(pod("app", container("sleep 60"), annotations={"sluice.dev/threads": "many"}))
    said = eventually(lambda: namespace.kubectl("logs", "app", "-c", "sluice-proxy",
                                                check=False).stdout, "the proxy's end")
    assert said.startswith("sluice-proxy: error: ") and "many" in said, said


# A port, or a user, that the API server or the kubelet would not take as one of a container's.
NO_PORTS = ["0", "00", "65536", "70000", "9999999999", "99999999999999999999", "-1", "1,2"]
NO_USERS = ["0", "000", "2147483648", "3000000000", "9999999999", "99999999999999999999", "-1",
            "1400,1500", "5-7"]


@pytest.mark.parametrize("form", FORMS)
def test_numbers_that_kubernetes_refuses(namespace, make_policy, form):
    """The pod is taken, with the default in the places of the number, and the rules say no."""
    make_policy(f"--form={form}")
    wrong = [(option, value) for option, values in (("admin-port", NO_PORTS),
                                                    ("proxy-uid", NO_USERS)) for value in values]
    made = dry_run(namespace, *(bare(f"w{n}", annotations={f"sluice.dev/{option}": value})
                                for n, (option, value) in enumerate(wrong)))
    for (option, value), one in zip(wrong, made):
        assert injected(one), (option, value)
        spec = one["spec"]
        ours = [c for c in spec["initContainers"] + spec["containers"] if c["name"] in OURS]
        assert [c["securityContext"]["runAsUser"] for c in ours] == [1337, 1337]
        assert ours[1]["ports"][0]["containerPort"] == 9901
        name = "SLUICE_" + option.upper().replace("-", "_")
        told, = (v["value"] for v in ours[0]["env"] if v["name"] == name)
        done = subprocess.run([SLUICE, "plan"], capture_output=True, text=True, timeout=60,
                              check=False, env={**environment(), name: told})
        assert done.returncode != DONE and done.stderr.count("\n") == 1, (told, done)
        assert done.stderr.startswith(f"sluice: error: {name}: "), (told, done)
        assert re.split("[-,]", value)[-1] in done.stderr, (told, done)


def test_the_largest_numbers(namespace, make_policy):
    """And with zeros before them."""
    make_policy()
    for user, port in (("2147483647", "65535"), ("1", "1"), ("0000000000001400", "00000009902")):
        one, = dry_run(namespace, bare(annotations={"sluice.dev/proxy-uid": user,
                                                    "sluice.dev/admin-port": port}))
        rules, proxy = one["spec"]["initContainers"]
        assert rules["securityContext"]["runAsUser"] == int(user)
        assert proxy["ports"][0]["containerPort"] == int(port)
        assert {"name": "SLUICE_PROXY_UID", "value": user} in rules["env"]


def test_what_no_option_is_called_changes_nothing(namespace, make_policy):
    make_policy()
    one, two = dry_run(namespace, annotated("web", no_such="x", threads=""), bare())
    for key in ("containers", "initContainers"):
        assert comparable(one)["spec"][key] == comparable(two)["spec"][key]


# ---- Who else changes pods, and the policy itself ----


def another(name, namespace):
    """Somebody else's policy: one more container in front of all, and an option for us."""
    expression = """\
        [JSONPatch{op: "add", path: "/spec/containers/0",
           value: Object.spec.containers{name: "another", image: "x"}}] +
        (has(object.metadata.annotations) ? [] :
          [JSONPatch{op: "add", path: "/metadata/annotations", value: {}}]) +
        [JSONPatch{op: "add", path: "/metadata/annotations/" + jsonpatch.escapeKey("sluice.dev/threads"),
           value: "4"}]"""
    policy, binding = printed()
    policy["spec"] = {
        **policy["spec"], "variables": [],
        "matchConditions": [{"name": "once",
                             "expression": "!object.spec.containers.exists(c, c.name == 'another')"}],
        "mutations": [{"patchType": "JSONPatch", "jsonPatch": {"expression": expression}}]}
    for one in (policy, binding):
        one["metadata"]["name"] = name
    binding["spec"] = {"policyName": name, "matchResources": {"namespaceSelector": {
        "matchLabels": {"kubernetes.io/metadata.name": namespace.name}}}}
    return policy, binding


def test_another_policy(namespace, make_policy):
    """Whoever of both is asked first, both do their part, once."""
    make_policy()
    name = f"another-{namespace.name}"
    try:
        namespace.cluster.kubectl("apply", "-f", "-", stdin=stream(another(name, namespace)))
        found = eventually(lambda: [one for one in dry_run(namespace, bare())
                                    if "another" in names(one, "containers")], "both")[0]
        assert injected(found)
        assert sorted(names(found, "containers")) == ["another", "app"]
        assert names(found) == OURS
        assert found["metadata"]["annotations"]["sluice.dev/threads"] == "4"
    finally:
        namespace.cluster.kubectl("delete", f"mutatingadmissionpolicybinding/{name}",
                                  f"mutatingadmissionpolicy/{name}")


def test_made_again(namespace, make_policy):
    """Deleted, it does nothing; made again with other options, these count."""
    policy = make_policy("--set=threads=2")
    assert injected(dry_run(namespace, bare())[0])
    policy.take()
    again = make_policy("--set=threads=5", "--form=classic")
    proxy = dry_run(namespace, bare())[0]["spec"]["containers"][1]
    assert {"name": "SLUICE_THREADS", "value": "5"} in proxy["env"]
    # Changed in place.
    again.objects = again.mine(printed("--set=threads=6"))
    again.put()
    eventually(lambda: {"name": "SLUICE_THREADS", "value": "6"}
               in dry_run(namespace, bare())[0]["spec"].get("initContainers", [{}, {}])[-1]
               .get("env", []), "the change being in force", timeout=30)


def test_label_of_the_namespace(namespace, make_policy):
    """Taken off, or with another value, new pods are left alone."""
    make_policy()
    for label, wanted in ((f"{SWITCH}=disabled", False), (f"{SWITCH}=enabled", True),
                          (f"{SWITCH}-", False)):
        namespace.cluster.kubectl("label", "namespace", namespace.name, label, "--overwrite")
        eventually(lambda: injected(dry_run(namespace, bare())[0])
                   == wanted,  # pylint: disable=cell-var-from-loop
                   f"{label} being heeded", timeout=30)


@pytest.mark.parametrize("level", ["baseline", "restricted"])
def test_pod_security_says_who_it_was(make_namespace, level):
    """The pod is refused, with the name of our container and of the capability it wants."""
    namespace = make_namespace(level)
    ready(namespace)
    policy = Policy(namespace)
    fits = {"allowPrivilegeEscalation": False, "runAsNonRoot": True, "runAsUser": 65534,
            "capabilities": {"drop": ["ALL"]}, "seccompProfile": {"type": "RuntimeDefault"}}
    one = pod("app", container("sleep 60", securityContext=fits))
    namespace.kubectl("create", "--dry-run=server", "-f", "-", stdin=json.dumps(one))
    try:
        namespace.cluster.kubectl("apply", "-f", "-",
                                  stdin=stream(policy.objects))

        def refused():
            done = namespace.kubectl("create", "--dry-run=server", "-f", "-",
                                     stdin=json.dumps(one), check=False)
            return done.stderr if done.returncode else ""

        said = eventually(refused, "the policy being in force", timeout=30)
        assert f'violates PodSecurity "{level}:latest"' in said
        assert "sluice-init" in said and "NET_ADMIN" in said and "sluice-proxy" not in said
    finally:
        policy.delete()


# ---- Pods that run ----


def fetch(address, name="web"):
    return f"curl -sf -m 5 -H 'Host: {name}' http://{address}/"


def wait_armed(namespace, name):
    eventually(lambda: namespace.metrics(name).sum("sluice_armed") == 1, f"{name} being armed")


@pytest.mark.parametrize("form", FORMS)
def test_workloads_run(namespace, make_policy, form):
    """Nothing of ours is in their manifests; each is measured."""
    make_policy(f"--form={form}")
    namespace.apply(
        service("web"), service("db", clusterIP="None"),
        deployment("web", container(web(), readinessProbe=http_ready())),
        deployment("db", container(web("db"), readinessProbe=http_ready()), kind="StatefulSet"))
    namespace.wait_available("deployment/web", "statefulset/db")
    address = namespace.get("service", "web")["spec"]["clusterIP"]
    front = namespace.pod_name("app=web")
    wait_armed(namespace, front)
    wait_armed(namespace, "db-0")
    # As documented: in the classic form a Job's last act is to end the proxy.
    ready_line = "until curl -sf -o /dev/null http://127.0.0.1:9901/ready; do sleep 0.1; done; "
    work = ready_line + fetch(address)
    if form == "classic":
        work += " && curl -sf -X POST -H 'X-Sluice: 1' http://127.0.0.1:9901/quit"
    namespace.apply(job("work", container(work)))
    namespace.apply({
        "apiVersion": "batch/v1", "kind": "CronJob", "metadata": {"name": "tick"},
        "spec": {"schedule": "0 0 1 1 *", "jobTemplate": {"spec": {"template": template(
            "tick", container(work), restartPolicy="Never")}}}})
    namespace.kubectl("create", "job", "now", "--from=cronjob/tick")
    for name in ("work", "now"):
        namespace.wait_job(name)
    for one in namespace.get("pods")["items"]:
        assert injected(one), one["metadata"]["name"]
    there = namespace.get("pod", "db-0")["status"]["podIP"]
    namespace.sh(front, fetch(f"{there}:8080", "db"))
    assert namespace.metrics(front).sum(SEEN, server_port=8080, service_name="web",
                                        service_namespace=namespace.name) >= 2
    assert namespace.metrics("db-0").sum(SEEN, service_name="db") >= 1


def test_as_printed(cluster, make_namespace):
    """As a user does it: printed, applied, a label; and a namespace without it."""
    measured, other = make_namespace(), make_namespace()
    text = stream(printed())
    for one in (measured, other):
        ready(one)
    cluster.kubectl("label", "namespace", measured.name, f"{SWITCH}=enabled")
    cluster.kubectl("apply", "-f", "-", stdin=text)
    try:
        eventually(lambda: injected(dry_run(measured, bare())[0]), "the policy", timeout=30)
        assert not injected(dry_run(other, bare())[0])
        cluster.kubectl("apply", "-f", "-", stdin=text)  # once more
        assert injected(dry_run(measured, bare())[0])
    finally:
        cluster.kubectl("delete", "-f", "-", stdin=text)
