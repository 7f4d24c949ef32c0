# SPDX-License-Identifier: GPL-2.0-or-later
"""A real Prometheus scrapes both exposition formats, and the queries of dashboards give data."""
import pathlib
import subprocess
import sys

import pytest

from lib.patience import PATIENCE
from lib.proc import Process, wait_until
from lib.prometheus import Prometheus
from lib.rawhttp import RawHttp
from lib.servers import Nginx
from lib.world import APP_UID, OUTSIDE, POD

PEER = pathlib.Path(__file__).parents[1] / "lib" / "grpc_peer.py"


def requests(netns, uid, address, count):
    """`count` on one connection, of classes 2, 4 and 5."""
    s = netns.socket(4, uid=uid)
    s.connect((address, 8080))
    client = RawHttp(s)
    for n in range(count):
        client.request("GET", ("/hello", "/none", "/broken")[n % 3])
        client.response()
    client.close()


def traffic(world):
    """HTTP both ways, gRPC to the outside."""
    requests(world.client, None, POD[4], 9)
    requests(world.pod, APP_UID, OUTSIDE[4], 9)
    world.pod.run([sys.executable, str(PEER), "client", f"{OUTSIDE[4]}:8081", "1",
                   "without-deadlines"])


INGRESS = 'envoy_http_conn_manager_prefix="ingress_http"'
EGRESS = 'envoy_http_conn_manager_prefix="egress_http"'

# What dashboards of the set-up that we replace ask, and Envoy's own; all must be above 0.
ENVOY_QUERIES = [
    'increase(envoy_cluster_external_upstream_rq_xx{envoy_cluster_name="grpc_proxy_cluster"}[1m])',
    'increase(envoy_cluster_external_upstream_rq_xx{envoy_cluster_name="rest_proxy_cluster"}[1m])',
    f'rate(envoy_http_downstream_rq_time_bucket{{{EGRESS}, le="1000"}}[2m]) / ignoring (le) '
    f'rate(envoy_http_downstream_rq_time_count{{{EGRESS}}}[2m])',
    f'sum by (envoy_response_code_class) (increase(envoy_http_downstream_rq_xx{{{INGRESS}}}[1m]))',
    'sum(rate(envoy_http_downstream_rq_total[1m]))',
    'histogram_quantile(0.99, sum by (le, envoy_http_conn_manager_prefix) '
    '(rate(envoy_http_downstream_rq_time_bucket[1m])))',
    'sum by (envoy_cluster_name) (rate(envoy_cluster_upstream_rq_total[1m]))',
    'sum by (envoy_cluster_name) (rate(envoy_cluster_upstream_rq_xx{envoy_response_code_class="5"}'
    '[1m])) / sum by (envoy_cluster_name) (rate(envoy_cluster_upstream_rq_completed[1m]))',
    'histogram_quantile(0.9, sum by (le) (rate(envoy_cluster_upstream_rq_time_bucket[1m])))',
    'histogram_quantile(0.9, sum by (le) (rate(envoy_cluster_upstream_cx_connect_ms_bucket[1m])))',
    'sum(rate(envoy_cluster_upstream_cx_destroy[1m]))',
    'sum by (envoy_cluster_name) (envoy_cluster_membership_healthy / '
    'envoy_cluster_membership_total)',
    'envoy_server_live',
    'envoy_server_memory_heap_size > envoy_server_memory_allocated',
]
# These have an answer, of 0.
ENVOY_QUIET = [
    'sum(rate(envoy_cluster_upstream_rq_retry[1m]))',
    'sum(rate(envoy_cluster_upstream_rq_timeout[1m]))',
    'sum(rate(envoy_cluster_upstream_cx_connect_fail[1m]))',
    'sum(rate(envoy_cluster_upstream_rq_pending_overflow[1m]))',
    'envoy_cluster_circuit_breakers_default_rq_pending_open > -1',
]
# docs/metrics.md's own questions.
QUERIES = [
    'sum by (instance, server_port, http_request_method, http_response_status_code) '
    '(rate({__name__=~"http_(server|client)_request_duration_seconds_count"}[1m]))',
    'histogram_quantile(0.99, sum by (le, instance, server_address, server_port) '
    '(rate(http_client_request_duration_seconds_bucket[1m])))',
    'sum by (instance, server_address, server_port, error_type) '
    '(rate({__name__=~"http_(server|client)_request_duration_seconds_count", error_type!=""}[1m]))',
    'sum by (instance, protocol, server_address, server_port) '
    '(rate(sluice_connections_closed_total{direction="outbound"}[1m]))',
]


def test_queries(world, proxy, nginx, tmp_path):
    nginx(world.pod)
    other = tmp_path / "outside"
    other.mkdir()
    world.keep(Nginx(world.client, other), "end")
    grpc = world.keep(Process([sys.executable, str(PEER), "server", "8081"], netns=world.client),
                      "end")
    grpc.wait_line("ready")
    traffic(world)
    prometheus = world.keep(Prometheus(world.client, tmp_path), "end")
    # A series has no increase before its second value: so there is a round of which it knows.
    for metric in ("envoy_http_downstream_rq_total", "http_server_request_duration_seconds_count",
                   "sluice_connections_closed_total"):
        prometheus.data(metric)
    traffic(world)
    for promql in ENVOY_QUERIES + QUERIES:
        prometheus.data(promql)
    for promql in ENVOY_QUIET:
        answer = wait_until(lambda q=promql: prometheus.query(q), f"an answer to {promql}")
        assert set(answer.values()) == {0.0}, (promql, answer)
    # Not only something, but what was sent.
    sent = {(("envoy_response_code_class", c),): n for c, n in zip("12345", (0, 6, 0, 6, 6))}
    classes = f"sum by (envoy_response_code_class) (envoy_http_downstream_rq_xx{{{INGRESS}}})"
    wait_until(lambda: prometheus.query(classes) == sent, "every request to be scraped")


def check_metrics(text):
    """promtool's verdict on an exposition: (exit status, what it says)."""
    done = subprocess.run(["promtool", "check", "metrics"], input=text, capture_output=True,
                          timeout=PATIENCE, check=False)
    return done.returncode, (done.stdout + done.stderr).decode()


def test_promtool(world, proxy, nginx):
    """It parses both; of our own names it has nothing to say, of Envoy's that there is no HELP."""
    nginx(world.pod)
    requests(world.client, None, POD[4], 9)
    proxy.settled()
    status, said = check_metrics(proxy.get("/metrics")[2])
    assert status == 0, said
    status, said = check_metrics(proxy.get("/stats/prometheus")[2])
    assert status in (0, 3), said  # 1: it does not parse; 3: it does, and there is advice
    assert "error while linting" not in said and "no help text" in said, said
