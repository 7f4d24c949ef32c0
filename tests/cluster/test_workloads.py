# SPDX-License-Identifier: GPL-2.0-or-later
"""Workloads of every kind, injected as a user would: they work, and their traffic is counted."""
import pathlib

import pytest
import yaml

from lib.cluster import (CALL, FORMS, container, deployment, eventually, http_ready, inject, job, pod,
                         service, template, web)

CALLS = 50


def get(address, count=1):
    """A shell line: that many requests, one connection each; the codes of the answers, counted."""
    return (f"for i in $(seq {count}); do curl -s -m 5 -o /dev/null -w '%{{http_code}}\\n' "
            f"http://{address}{CALL}; done | sort | uniq -c | xargs")


def address_of(namespace, name):
    return namespace.get("service", name)["spec"]["clusterIP"]


def shop(namespace, form):
    """tests/cluster/shop.yaml, injected."""
    text = (pathlib.Path(__file__).parent / "shop.yaml").read_text(encoding="utf-8")
    # Two shops may be there at once, and a Service's address is one's alone.
    namespace.apply(service("orders"))
    text = text.replace("  clusterIP: 10.96.100.1\n", "").replace(
        "10.96.100.1", address_of(namespace, "orders"))
    namespace.apply(text, inject_args=[f"--form={form}"])
    namespace.wait_available("deployment/web", "deployment/orders")
    namespace.wait_pod("customer")
    namespace.wait_armed(*(namespace.pod_name(f"app={name}") for name in ("web", "orders")))


@pytest.mark.parametrize("form", FORMS)
def test_two_services(namespace, form):
    """Each side counts each request once."""
    shop(namespace, form)
    assert namespace.sh("customer", get(address_of(namespace, "web"), CALLS)) == f"{CALLS} 200\n"
    front, back = (namespace.pod_name(f"app={n}") for n in ("web", "orders"))
    good = {"http_response_status_code": 200}
    assert namespace.calls(front, **good) == namespace.calls(back, **good) == CALLS
    assert namespace.calls(front, "client", server_address="orders", **good) == CALLS


def statefulset(namespace):
    namespace.apply(service("db", clusterIP="None"))
    namespace.apply(deployment("db", container(web("db"), readinessProbe=http_ready()),
                               kind="StatefulSet", replicas=2), inject_args=[])
    namespace.wait_available("statefulset/db")


def test_stateful_set(namespace):
    """Its pods come one after the other, and again under the same name."""
    statefulset(namespace)
    namespace.apply(pod("client", container("sleep 3600")))
    namespace.wait_pod("client")
    before = namespace.get("pod", "db-0")["metadata"]["uid"]
    namespace.kubectl("delete", "pod", "db-0")
    eventually(lambda: [p for p in namespace.pods("app=db")
                        if p["metadata"]["name"] == "db-0" and p["metadata"]["uid"] != before],
               "db-0 again")
    namespace.wait_available("statefulset/db")
    for name in ("db-0", "db-1"):
        namespace.wait_armed(name)
        address = namespace.get("pod", name)["status"]["podIP"]
        assert namespace.sh("client", get(f"{address}:8080", 10)) == "10 200\n"
        assert namespace.calls(name) == 10


def target(namespace):
    """A service of somebody else, for pods that do their work and end."""
    namespace.apply(service("target"), deployment(
        "target", container(web(), readinessProbe=http_ready())))
    namespace.wait_available("deployment/target")
    return address_of(namespace, "target")


def test_job_with_a_sidecar_completes(namespace):
    address = target(namespace)
    namespace.apply(job("work", container(f"curl -sf http://{address}/")), inject_args=[])
    namespace.wait_job("work")
    assert "hello" in namespace.kubectl("logs", "job/work", "-c", "app").stdout


def test_classic_job_completes_with_quit(namespace):
    """As documented: the work's last act is to end the proxy."""
    address = target(namespace)
    work = (f"until curl -sf -o /dev/null http://127.0.0.1:9901/ready; do sleep 0.1; done; "
            f"curl -sf http://{address}/ && curl -sf -X POST -H 'X-Sluice: 1' "
            "http://127.0.0.1:9901/quit")
    namespace.apply(job("work", container(work)), inject_args=["--form=classic"])
    namespace.wait_job("work")
    assert "hello" in namespace.kubectl("logs", "job/work", "-c", "app").stdout


def test_classic_job_whose_proxy_ends_first(namespace):
    """The work goes on directly: the rules let it by without anybody's help."""
    address = target(namespace)
    work = ("until curl -sf -X POST -H 'X-Sluice: 1' http://127.0.0.1:9901/quit; do sleep 0.1; "
            "done; while curl -s -o /dev/null http://127.0.0.1:9901/live; do sleep 0.1; done; "
            f"for i in 1 2 3; do curl -sf http://{address}/ || exit 1; done")
    namespace.apply(job("work", container(work)), inject_args=["--form=classic"])
    namespace.wait_job("work")
    assert namespace.kubectl("logs", "job/work", "-c", "app").stdout.count("hello") == 3


def test_cron_job(namespace):
    """On schedule: within the next minute."""
    address = target(namespace)
    namespace.apply({
        "apiVersion": "batch/v1", "kind": "CronJob", "metadata": {"name": "tick"},
        "spec": {"schedule": "* * * * *", "jobTemplate": {"spec": {"template": template(
            "tick", container(f"curl -sf http://{address}/"), restartPolicy="Never")}}}},
        inject_args=[])
    done = eventually(lambda: [j for j in namespace.get("jobs")["items"]
                               if j.get("status", {}).get("succeeded")], "a job", timeout=150)
    spec = done[0]["spec"]["template"]["spec"]
    assert [c["name"] for c in spec["initContainers"]] == ["sluice-init", "sluice-proxy"]


@pytest.mark.parametrize("form", FORMS)
def test_own_init_containers_have_network(namespace, form):
    """They run between our rules and, in the classic form, the proxy's first breath."""
    address = target(namespace)
    first = container(f"curl -sf http://{address}/ >/shared/page", name="first",
                      volumeMounts=[{"name": "shared", "mountPath": "/shared"}])
    app = container("cat /shared/page; sleep 3600",
                    volumeMounts=[{"name": "shared", "mountPath": "/shared"}])
    namespace.apply(pod("app", app, initContainers=[first],
                        volumes=[{"name": "shared", "emptyDir": {}}]),
                    inject_args=[f"--form={form}"])
    namespace.wait_pod("app")
    names = [c["name"] for c in namespace.get("pod", "app")["spec"]["initContainers"]]
    assert names.index("sluice-init") < names.index("first")
    assert "hello" in eventually(lambda: namespace.kubectl("logs", "app", "-c", "app").stdout,
                                 "the page")


@pytest.mark.parametrize("fail, code", [("open", "200"), ("closed", "000")])
def test_without_a_proxy(namespace, fail, code):
    """Its image is missing: connections go directly, unless asked that they fail."""
    address = target(namespace)
    manifest = pod("app", container("sleep 3600"), annotations={"sluice.dev/fail": fail})
    text = inject(yaml.safe_dump(manifest), "--form=classic")[0]
    at = text.index("name: sluice-proxy")
    text = text[:at] + text[at:].replace("localhost/sluice:", "localhost/missing:", 1)
    namespace.apply(text)
    eventually(lambda: "running" in namespace.container_state("app", "app").get("state", {}),
               "the application's start")
    eventually(lambda: "waiting" in namespace.container_state("app", "sluice-proxy")
               .get("state", {}), "the proxy not being there")
    assert namespace.sh("app", get(address)) == f"1 {code}\n"


@pytest.mark.parametrize("form", FORMS)
def test_services_called_as_our_ports_are(namespace, form):
    """Kubernetes tells of them by variables, SLUICE_ADMIN_PORT=tcp://... among them."""
    names = ("sluice-admin", "sluice-inbound", "sluice-outbound", "proxy-ingress", "proxy-egress")
    namespace.apply(*(service(name) for name in names))
    manifest = yaml.safe_load(inject(yaml.safe_dump(pod("app", container("sleep 3600"))),
                                     f"--form={form}")[0])
    rules = manifest["spec"]["initContainers"][0]
    rules["image"] = rules["image"].replace("sluice:", "sluice-init:")
    rules["command"] = ["sluice", "apply", "--script-environment"]
    namespace.apply(manifest)
    namespace.wait_pod("app")
    namespace.wait_armed("app")
    told = namespace.sh("app", "env")
    for name in names:
        assert f"{name.upper().replace('-', '_')}_PORT=tcp://" in told, told


def test_removed_again(namespace):
    """What `inject --remove` gives back is the workload without us, in the cluster, too."""
    plain = deployment("app", container(web(), readinessProbe=http_ready()))
    namespace.apply(plain, inject_args=[])
    namespace.wait_available("deployment/app")
    live = namespace.kubectl("get", "deployment", "app", "-o", "yaml").stdout
    namespace.apply(inject(live, "--remove")[0])
    namespace.wait_available("deployment/app")
    eventually(lambda: len(namespace.pods("app=app")) == 1, "the old pod being gone")
    assert "initContainers" not in namespace.pods("app=app")[0]["spec"]


@pytest.mark.parametrize("how", [["create"], ["apply", "--server-side"]])
def test_taken_out_of_what_was_not_applied(namespace, how):
    """Nothing says which fields kubectl has set, and `replace` needs no such word."""
    def live():
        spec = namespace.get("deployment", "web")["spec"]["template"]["spec"]
        return [c["name"] for c in spec.get("initContainers", []) + spec["containers"]]

    namespace.kubectl(*how, "-f", "-", stdin=yaml.safe_dump(deployment("web", container(web("web")))))
    for args, expected in ([], ["sluice-init", "sluice-proxy", "app"]), (["--remove"], ["app"]):
        # A status that was written in between is no error of ours: kubectl says Conflict.
        eventually(lambda: namespace.kubectl(
            "replace", "-f", "-", check=False, stdin=inject(namespace.kubectl(
                "get", "deployments", "-o", "yaml").stdout, *args)[0]).returncode == 0, "a replacing")  # pylint: disable=cell-var-from-loop
        assert live() == expected
        namespace.wait_available("deployment/web")
