# SPDX-License-Identifier: GPL-2.0-or-later
"""What the documents say of metrics, held against a proxy that has seen a bit of everything: the
table of docs/metrics.md, the dashboard, the rules."""
import json
import pathlib
import re
import subprocess
import sys

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as read_openmetrics

from lib.dns import Dnsmasq, ResolvConf
from lib.patience import PATIENCE
from lib.proc import Process, wait_until
from lib.prometheus import Prometheus
from lib.rawhttp import RawHttp
from lib.servers import Nginx, Server
from lib.sluice import sluice
from lib.world import APP_UID, OUTSIDE, POD

DOCS = pathlib.Path(__file__).parents[2] / "docs"
PEER = pathlib.Path(__file__).parents[1] / "lib" / "grpc_peer.py"
PATIENT = "--heartbeat-timeout=20s"
SERVICE = {"service_name", "service_namespace"}
TWO_LENGTHS = b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabcd"


def client_hello(name, alpn):
    def block(data, size):
        return len(data).to_bytes(size, "big") + data

    def extension(kind, data):
        return kind.to_bytes(2, "big") + block(data, 2)

    extensions = (extension(0, block(b"\0" + block(name, 2), 2)) +
                  extension(16, block(block(alpn, 1), 2)) + extension(43, block(b"\x03\x04", 1)))
    body = b"\x03\x03" + bytes(32) + b"\0" + block(b"\x13\x01", 2) + block(b"\0", 1) + \
        block(extensions, 2)
    return b"\x16\x03\x01" + block(b"\x01" + block(body, 3), 2)


def talk(netns, uid, address, port, data):
    with netns.socket(4, uid=uid) as s:
        s.connect((address, port))
        s.sendall(data)
        s.shutdown(1)
        try:
            while s.recv(1 << 16):
                pass
        except ConnectionResetError:
            pass


def traffic(world, server, client, uid, address):
    """One direction's: HTTP of classes 2, 4 and 5, gRPC, TLS, what is lost, what is refused."""
    s = client.socket(4, uid=uid)
    s.connect((address, 8080))
    http = RawHttp(s)
    for path in ("/hello", "/none", "/broken"):
        http.request("GET", path, host="web.example")
        http.response()
    http.close()
    talk(client, uid, address, 8443, client_hello(b"web.example", b"h2"))
    talk(client, uid, address, 8444, b"GET / HTTP/1.1\r\nHost: web.example\r\n\r\n")
    process = Process([sys.executable, str(PEER), "client", f"{address}:8081", "1",
                       "without-deadlines"], netns=client, uid=uid)
    try:
        assert process.wait() == 0, process.output
    finally:
        process.end()


@pytest.fixture
def everything(world, start_proxy, nginx, tmp_path):
    """A proxy with every kind of label, and a function that makes traffic of every kind."""
    sluice(world.pod, "apply", PATIENT)
    conf = world.keep(ResolvConf(OUTSIDE[4]))
    proxy = start_proxy(PATIENT, "--semconv=dup", "--service-name=web", "--service-namespace=shop",
                        "--route=/hello,/broken", f"--resolv-conf={conf.path}")
    proxy.wait_armed()
    nginx(world.pod)
    (tmp_path / "outside").mkdir()
    world.keep(Nginx(world.client, tmp_path / "outside"), "end")
    for netns in (world.pod, world.client):
        world.keep(Server(netns, 4, 8443, lambda s: s.recv(4096)))
        world.keep(Server(netns, 4, 8444, lambda s: (s.recv(4096), s.sendall(TWO_LENGTHS))))
        world.keep(Process([sys.executable, str(PEER), "server", "8081"], netns=netns),
                   "end").wait_line("ready")

    def both_ways():
        traffic(world, world.pod, world.client, None, POD[4])
        traffic(world, world.client, world.pod, APP_UID, OUTSIDE[4])
        with world.pod.socket(4, uid=APP_UID) as s:
            with pytest.raises(ConnectionResetError):
                s.connect((OUTSIDE[4], 9))
                s.recv(1)
    both_ways()
    return proxy, both_ways


def documented():
    """The table of docs/metrics.md: {family: (type, labels)}."""
    text = (DOCS / "metrics.md").read_text(encoding="utf-8")
    table = text.split("\n## All of them\n")[1].split("\n## ")[0]
    rows = re.findall(r"^\| `(\w+)` \| (\w+)[^|]*\|([^|]*)\|", table, re.M)
    assert len(rows) == len({name for name, _, _ in rows}) > 40
    return {name: (kind, set(re.findall(r"`(\w+)`", labels))) for name, kind, labels in rows}


def labels_of(samples):
    """{family: the labels that any of its samples has}, but for the service's."""
    found = {}
    for family, labels in samples:
        found.setdefault(family, set()).update(set(labels) - SERVICE - {"le"})
    return found


def test_the_table_of_metrics(everything):
    proxy, _ = everything
    m = proxy.settled(opened=9)
    table = documented()
    # Who asks DNS, and when, is for tests that have a server of it.
    table = {name: row for name, row in table.items()
             if not name.startswith("sluice_dns_") or name in m.types}
    assert {name: kind for name, (kind, _) in table.items()} == m.types

    def family(name):
        stem = re.sub(r"_(bucket|sum|count)$", "", name)
        return stem if m.types.get(stem) == "histogram" else name

    # Whatever a table's row names is there, and nothing else is.
    found = labels_of((family(name), labels) for name, labels, _ in m.samples)
    assert found == {name: labels for name, (_, labels) in table.items()}
    assert all(SERVICE <= set(labels) for _, labels, _ in m.samples)

    body = proxy.get("/metrics", headers={"Accept": "application/openmetrics-text"})[2].decode()
    of = {}
    for f in read_openmetrics(body):
        suffix = {"counter": "_total", "info": "_info"}.get(f.type, "")
        of[f.name + suffix] = "gauge" if f.type == "info" else f.type
    assert of == m.types


def test_every_label_is_explained():
    text = (DOCS / "metrics.md").read_text(encoding="utf-8")
    explained = set()
    for row in re.findall(r"^\| (`[^|]*) \|", text.split("\n## Labels\n")[1].split("\n## ")[0], re.M):
        explained |= set(re.findall(r"`(\w+)`", row))
    used = set().union(*(labels for _, labels in documented().values()))
    assert used - explained <= {"metric"} and explained <= used | {"version"}


def ask_for(world, *hosts):
    """What the forward proxy does not reach."""
    for host in hosts:
        with world.pod.socket(4, uid=APP_UID) as s:
            s.connect(("127.0.0.1", 9001))
            http = RawHttp(s)
            http.request("GET", f"http://{host}/", host=host)
            assert http.response()[0] in (403, 502)


def dashboard_queries():
    panels = json.loads((DOCS / "dashboards" / "sluice.json").read_text(encoding="utf-8"))["panels"]
    queries = [t["expr"] for p in panels for t in p.get("targets", [])]
    assert len(queries) >= 35
    return [q.replace("$__rate_interval", "1m").replace("$instance", ".*") for q in queries]


def rule_queries():
    """What rules.yml asks: of recording rules the record, of alerts what they compare."""
    text = (DOCS / "dashboards" / "rules.yml").read_text(encoding="utf-8")
    records = re.findall(r"- record: (\S+)$", text, re.M)
    alerts = []
    for block in text.split("- alert: ")[1:]:
        expr = re.search(r"expr: (?:\|-\n)?(.*?)\n    (?:for|labels):", block, re.S)[1]
        compared = re.fullmatch(r"(.*?)\s*(?:>|==)\s*[0-9.]+", expr.strip(), re.S)
        assert compared, expr
        alerts.append(compared[1])
    assert len(records) >= 5 and len(alerts) >= 10
    return records + alerts


@pytest.mark.timeout(180)
def test_dashboard_and_rules_have_data(world, everything, tmp_path):
    """Every query, in a real Prometheus that scrapes the proxy and evaluates the rules."""
    proxy, both_ways = everything
    proxy.settled(opened=9)
    world.keep(Dnsmasq(world.client, [OUTSIDE[4]]), "end")
    prometheus = world.keep(Prometheus(world.client, tmp_path, [DOCS / "dashboards" / "rules.yml"]),
                            "end")
    # A series has no rate before its second value: so there is a round of which it knows.
    ask_for(world, "first.cluster.local.", "169.254.169.254")
    for known in ('outcome="unresolved"', 'outcome="forbidden"', 'outcome="closed"'):
        prometheus.data(f"sluice_connections_closed_total{{{known}}}")
    prometheus.data("sluice_dns_queries_total")
    both_ways()
    # Another name: that there is none such is remembered.
    ask_for(world, "second.cluster.local.", "169.254.169.254")
    for query in dashboard_queries() + rule_queries():
        wait_until(lambda q=query: prometheus.query(q), f"an answer to {query}")
    # The service answers a third of its requests with 503: after its five minutes this alert fires.
    pending = prometheus.data('ALERTS{alertname="ServiceFails"}')
    assert len(pending) == 1


@pytest.mark.parametrize("armed,opened,fires", [
    ("0x10", None, True), ("0x10", "0+1x10", False), ("1x2 0x8", "0+1x10", True),
    ("1x10", "0+1x10", False)],
    ids=["nothing-comes", "without-rules", "no-longer", "armed"])
def test_the_alert_of_a_proxy_that_is_not_armed(tmp_path, armed, opened, fires):
    """It tells of what is not measured, not of a proxy that clients name by themselves."""
    series = {"sluice_armed": armed, **({"sluice_connections_opened_total": opened} if opened
                                        else {})}
    alert = {"exp_labels": {"instance": "a", "severity": "warning"}, "exp_annotations": {
        "summary": "Nothing is redirected to the proxy of a: its connections are not measured"}}
    case = {"interval": "1m",
            "input_series": [{"series": f'{name}{{instance="a"}}', "values": values}
                             for name, values in series.items()],
            "alert_rule_test": [{"eval_time": "9m", "alertname": "ProxyNotArmed",
                                 "exp_alerts": [alert] if fires else []}]}
    path = tmp_path / "case.json"
    path.write_text(json.dumps({"rule_files": [str(DOCS / "dashboards" / "rules.yml")],
                                "evaluation_interval": "1m", "tests": [case]}))
    done = subprocess.run(["promtool", "test", "rules", path], capture_output=True, text=True,
                          check=False, timeout=PATIENCE)
    assert done.returncode == 0, done.stdout + done.stderr
