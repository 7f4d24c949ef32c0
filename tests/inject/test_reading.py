# SPDX-License-Identifier: GPL-2.0-or-later
"""`sluice inject`: that it reads manifests as kubectl does, and refuses what cannot be told."""
import pytest
import yaml

from lib.manifests import inject, names, template_of, workload
from lib.sluice import USAGE

POD = "apiVersion: v1\nkind: Pod\nmetadata: {name: a}\nspec:\n"


@pytest.mark.parametrize("words, truth", [
    ("true True TRUE yes Yes YES on On ON y Y", True),
    ("false False FALSE no No NO off Off OFF n N null ~", False),
])
def test_a_boolean_is_read_as_kubectl_reads_it(words, truth):
    """YAML 1.1: redirecting the network of a node would be the worst of mistakes."""
    for word in words.split() + [f"!!bool '{w}'" for w in words.split()[:11]]:
        text = POD + f"  hostNetwork: {word}\n  containers: [{{name: a}}]\n"
        after, said = inject(text)
        assert ("left alone: hostNetwork" in said) == truth == (after == text), (word, said)


@pytest.mark.parametrize("value", ["'true'", '"false"', "1", "0", "tRue", "maybe", "{}", "[true]",
                                   "!!bool x"])
def test_what_is_no_boolean_is_refused(value):
    text = POD + f"  hostNetwork: {value}\n  containers: [{{name: a}}]\n"
    assert "Pod/a: line 5: 'hostNetwork' is neither" in inject(text, status=USAGE)[1]


def test_users_are_compared_as_numbers():
    def said(mine, theirs):
        text = POD + f"  containers: [{{name: app, securityContext: {{runAsUser: {theirs}}}}}]\n"
        return inject(text, f"--set=proxy-uid={mine}")[1]

    for mine, theirs in ("01400", "1400"), ("1400", "0x578"), ("1400", "02570"):
        assert "app runs as user 1400" in said(mine, theirs)
    for mine, theirs in ("01400", "768"), ("1400", "14000"), ("1400", "01400"), ("1400", "1400x"):
        assert "runs as user" not in said(mine, theirs)


DEPLOYMENT = """\
apiVersion: apps/v1
kind: Deployment
metadata: {name: web%s}
spec:
  common: &common {app: shop, sluice.dev/inject: "false"}
  template:
    metadata: {%s}
    spec:
      containers: [{name: app}]%s
"""


@pytest.mark.parametrize("outer, inner, more, why", [
    (', labels: {<<: {sluice.dev/inject: "false"}}', "", "", "says so"),
    (', annotations: {<<: [{a: b}, {sluice.dev/inject: "false"}]}', "", "", "says so"),
    ("", 'labels: {<<: {<<: {sluice.dev/inject: "false"}}}', "", "says so"),
    ("", 'annotations: {<<: {sluice.dev/inject: "false"}}', "", "says so"),
    ("", "labels: {<<: *common, app: other}", "", "says so"),
    ("", 'labels: {<<: {sluice.dev/inject: "true"}, sluice.dev/inject: "false"}', "", "says so"),
    ("", "", "\n      os: {<<: {name: windows}}", "Windows"),
    ("", "", "\n      nodeSelector: {<<: {kubernetes.io/os: windows}}", "Windows"),
    ("", "", "\n      initContainers: [{<<: {name: sluice-proxy}}]", "a container named"),
])
def test_merge_keys_are_read(outer, inner, more, why):
    """As kubectl reads them."""
    text = DEPLOYMENT % (outer, inner, more)
    after, said = inject(text)
    assert after == text and "left alone" in said and why in said


def test_a_merged_label_names_the_service():
    text = (DEPLOYMENT % ("", "labels: {<<: *common}", "")).replace(", sluice.dev/inject", ", x")
    after, _ = inject(text)
    proxy = template_of(yaml.safe_load(after))["spec"]["initContainers"][1]
    assert {"name": "SLUICE_SERVICE_NAME", "valueFrom": {"fieldRef": {
        "fieldPath": "metadata.labels['app']"}}} in proxy["env"]
    assert inject(after, "--remove")[0] == text
    # In quotes it is a key as any other.
    quoted, _ = inject(text.replace("<<", '"<<"').replace("*common", "x"))
    assert "SLUICE_SERVICE_NAME\"" not in quoted


@pytest.mark.parametrize("outer, inner, more, part", [
    ("", 'labels: {sluice.dev/inject: "true", sluice.dev/inject: "false"}', "", "twice"),
    (', labels: {sluice.dev/inject: "false", sluice.dev/inject: "true"}', "", "", "twice"),
    # kubectl takes the merged one, others do not.
    ("", 'labels: {sluice.dev/inject: "true", <<: *common}', "", "twice"),
    ("", "labels: {<<: *common, <<: *common}", "", "twice"),
    ("", "annotations: {<<: {a: b}}", "", "merge key"),
    ("", "annotations: {sluice.dev/threads: '1', sluice.dev/threads: '2'}", "", "twice"),
    ("", "labels: {<<: text}", "", "takes maps"),
    ("", "", "\n      os: {name: linux, name: windows}", "twice"),
    ("", "", "\n      initContainers: [{name: a, name: sluice-proxy}]", "twice"),
    ("", "", "\n      hostNetwork: false\n      hostNetwork: true", "twice"),
    ("", "labels: &a {<<: *a}", "", "more than"),
    ("", "labels: {<<: [" + "{a: b}, " * 300 + "]}", "", "more than"),
], ids=lambda value: value[:40])
def test_what_cannot_be_told_is_refused(outer, inner, more, part):
    _, err = inject(DEPLOYMENT % (outer, inner, more), status=USAGE)
    assert "Deployment/web: line " in err and part in err and err.count("\n") == 1, err


@pytest.mark.parametrize("spec", [
    {"containers": [{"name": "sluice-proxy", "image": "mine"}]},
    {"containers": [{"name": "app"}, {"name": "sluice-proxy", "image": "mine"}]},
    {"initContainers": [{"name": "sluice-init"}], "containers": [{"name": "app"}]},
])
def test_the_name_alone_does_not_make_it_ours(spec):
    """A component of kustomize leaves no annotation either; what it added goes with it."""
    text = yaml.safe_dump(workload("Deployment", spec, annotations={"note": "a"}))
    after, said = inject(text, "--remove")
    assert after == text and "left alone: not injected by us" in said
    after, said = inject(text)
    assert after == text and "that inject did not put there" in said
    # Nor does its neighbour's annotation.
    both = [yaml.safe_load(text), workload("Pod")]
    after, said = inject(yaml.safe_dump_all(both))
    assert "Pod/web: injected" in said and list(yaml.safe_load_all(after))[0] == both[0]
    assert inject(after, "--remove")[0] == yaml.safe_dump_all(both)


def test_a_pod_is_not_left_without_containers():
    spec = {"containers": [{"name": "sluice-proxy"}]}
    text = yaml.safe_dump(workload("Deployment", spec, annotations={"sluice.dev/injected": ""}))
    after, said = inject(text, "--remove")
    assert after == text and "left alone: it has no containers but ours" in said
    assert inject(text)[0] == text


@pytest.mark.parametrize("value", ['"initContainers"', "x y", "", "''", "~", "null", "!!str a"])
@pytest.mark.parametrize("others", ["", "{0}a: b", "{0}prometheus.io/scrape: 'no'{0}"
                                    "prometheus.io/port: '1'{0}prometheus.io/path: /x"])
@pytest.mark.parametrize("between", ["\n    ", "flow"])
def test_a_note_left_over_is_renewed(value, others, between):
    """Our containers were taken out by hand: what the annotation says is true of nothing."""
    others = [one for one in others.split("{0}") if one]
    notes = others[:1] + [f"sluice.dev/injected: {value}"] + others[1:]
    notes = f"{{{', '.join(notes)}}}" if between == "flow" else between + between.join(notes)
    text = POD.replace("{name: a}", f"\n  annotations: {notes}\n  name: a") + \
        "  containers: [{name: app}]\n"
    before = yaml.safe_load(text)["metadata"]["annotations"]
    after, said = inject(text)
    assert "injected sluice-init" in said and after.count("sluice.dev/injected") == 1
    found = yaml.safe_load(after)
    assert names(found["spec"]["initContainers"]) == ["sluice-init", "sluice-proxy"]
    done = found["metadata"]["annotations"].pop("sluice.dev/injected")
    assert done == "initContainers" + (" scrape port path" if len(others) < 2 else "")
    del before["sluice.dev/injected"]
    assert before.items() <= found["metadata"]["annotations"].items()
    removed = yaml.safe_load(inject(after, "--remove")[0])
    assert (removed["metadata"]["annotations"] or {}) == before
    assert "initContainers" not in removed["spec"]


@pytest.mark.parametrize("value, part", [("|\n      a\n", "one line"), ("{a: b}", "one line"),
                                         ("*n", "one line"), ("&m x\n    b: *m", "alias")])
def test_a_note_that_cannot_be_renewed(value, part):
    text = POD.replace("{name: a}", f"\n  annotations:\n    &n a: b\n    sluice.dev/injected: {value}"
                       "\n  name: a") + "  containers: [{name: app}]\n"
    _, err = inject(text, status=USAGE)
    assert part in err and "Pod/a: line " in err and err.count("\n") == 1, err
