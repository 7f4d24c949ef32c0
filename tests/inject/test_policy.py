# SPDX-License-Identifier: GPL-2.0-or-later
"""`sluice inject --policy`: what it prints, and that the committed policy is what it prints.

That the API server does with it what `inject` does is for tests/cluster.
"""
import re
import subprocess

import pytest
import yaml

from lib.pods import PREFIX, VALUES, annotated
from lib.sluice import DONE, ROOT, SLUICE, USAGE, environment

COMMITTED = ROOT / "container/kubernetes/policy.yaml"


def printed(*args, status=DONE):
    done = subprocess.run([SLUICE, "inject", "--policy", *args], capture_output=True, text=True,
                          timeout=60, check=False, env=environment(), stdin=subprocess.DEVNULL)
    assert done.returncode == status, (args, done)
    if status != DONE:
        assert done.stdout == "" and done.stderr.startswith("sluice: error: "), done
        assert done.stderr.count("\n") == 1, done
        return done.stderr
    assert done.stderr == "", done
    return done.stdout


def policy(*args):
    return next(yaml.safe_load_all(printed(*args)))


def variable(spec, name):
    return next(v["expression"] for v in spec["variables"] if v["name"] == name)


def patch(spec):
    return spec["mutations"][0]["jsonPatch"]["expression"]


def test_the_committed_one_is_what_is_printed():
    """`make manifests` writes it anew."""
    assert COMMITTED.read_text() == printed()


def test_two_objects():
    one, two = yaml.safe_load_all(printed())
    assert one["apiVersion"] == two["apiVersion"] == "admissionregistration.k8s.io/v1beta1"
    assert (one["kind"], two["kind"]) == ("MutatingAdmissionPolicy",
                                          "MutatingAdmissionPolicyBinding")
    assert one["metadata"] == two["metadata"] == {"name": two["spec"]["policyName"]}
    assert two["spec"]["matchResources"] == {
        "namespaceSelector": {"matchLabels": {"sluice.dev/inject": "enabled"}}}
    assert one["spec"]["matchConstraints"]["resourceRules"] == [
        {"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"],
         "resources": ["pods"]}]


def test_the_version_of_the_api():
    for one in yaml.safe_load_all(printed("--policy-api=v1")):
        assert one["apiVersion"] == "admissionregistration.k8s.io/v1"


def test_fails_as_the_redirect_does():
    assert policy()["spec"]["failurePolicy"] == "Ignore"
    assert policy("--set=fail=closed")["spec"]["failurePolicy"] == "Fail"


def option_names(command):
    text = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60,
                          env=environment()).stdout
    return set(re.findall(r"^  --([a-z0-9-]+)", text, re.M))


def test_knows_the_options_that_set_knows():
    """Of all options of both programs, the policy takes as annotations those that --set takes."""
    spec = policy()["spec"]
    known = {name: set(re.findall(r"'([a-z0-9-]+)'", variable(spec, name)))
             for name in ("forRules", "forProxy")}
    everything = {"forRules": option_names([SLUICE, "help", "apply"]),
                  "forProxy": option_names([SLUICE.parent / "sluice-proxy", "--help"])}
    assert len(known["forRules"]) > 20 and len(known["forProxy"]) > 20
    for name, names in known.items():
        assert names <= everything[name], name
    both = known["forRules"] | known["forProxy"]
    # What the tests in the cluster try.
    assert set(VALUES) == both
    for name in everything["forRules"] | everything["forProxy"]:
        done = subprocess.run([SLUICE, "inject", f"--set={name}=?"], capture_output=True, text=True,
                              check=False, timeout=60, env=environment(), input="")
        assert done.returncode in (DONE, USAGE), done
        assert ("that a pod can set" not in done.stderr) == (name in both), (name, done.stderr)


def test_the_values_of_the_tests_are_accepted():
    """One by one and all at once."""
    everything = [annotated(name, **{name: value}) for name, value in VALUES.items()]
    everything.append(annotated("all", **VALUES))
    text = "---\n".join(yaml.safe_dump(one) for one in everything)
    assert text.count(PREFIX) == 2 * len(VALUES)
    done = subprocess.run([SLUICE, "inject"], capture_output=True, text=True, check=False,
                          timeout=60, env=environment(), input=text)
    assert done.returncode == DONE, done.stderr


def test_what_is_chosen_is_in_it():
    spec = policy("--image=registry.example/s:7", "--image-pull-policy=Never", "--memory-limit=64Mi",
                  "--set=threads=2", "--set=access-log=-", "--cpu-request=20m")["spec"]
    assert variable(spec, "chosen") == '{"threads": "2", "access-log": "-"}'
    assert patch(spec).count('image: "registry.example/s:7"') == 2
    assert patch(spec).count('imagePullPolicy: "Never"') == 2
    assert '"memory": "64Mi"' in patch(spec) and '"cpu": "20m"' in patch(spec)


@pytest.mark.parametrize("form, path", [("sidecar", "/spec/initContainers/1"),
                                        ("classic", "/spec/containers/-")])
def test_forms(form, path):
    text = patch(policy(f"--form={form}")["spec"])
    assert f'path: "{path}"' in text
    assert ("restartPolicy" in text) == (form == "sidecar") == ("?startupProbe: " in text)


def test_strings_of_the_user_stay_strings():
    """What would end a string or a line, in CEL or in YAML, does not."""
    value = "/a'b\"c\\d${e}%f: #g"
    spec = policy(f"--set=access-log={value}", "--image=a\"b\nc")["spec"]
    assert variable(spec, "chosen") == \
        '{"access-log": "/a\'b\\"c\\\\d${e}%f: #g"}'
    assert 'image: "a\\"b\\u000ac"' in patch(spec)


@pytest.mark.parametrize("args, part", [
    (["app.yaml"], "app.yaml"), (["-"], "'-'"), (["--remove"], "--remove"),
    (["--component"], "--component"),
    (["--policy-api=v2"], "--policy-api"), (["--set=nothing=1"], "nothing"),
    (["--set=threads=0"], "--threads"), (["--policy"], "--policy"),
])
def test_bad_options(args, part):
    assert part in printed(*args, status=USAGE)
