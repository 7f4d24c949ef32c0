# SPDX-License-Identifier: GPL-2.0-or-later
"""The real Envoy in a pod, as the proxy that one has before: ingress on 9211, egress on 9001."""
import contextlib
import http.client
import os
import pathlib
import shutil
import subprocess
import tempfile

from .metrics import Metrics
from .proc import Process, wait_until
from .world import PROXY_UID

ADMIN = 9901

# An HTTP connection manager a way: gRPC to one cluster, the rest to another; outbound wherever the
# Host says.
CONFIG = """
stats_flush_interval: 0.1s
admin: {address: {socket_address: {address: 127.0.0.1, port_value: 9901}}}
static_resources:
  listeners:
  - address: {socket_address: {address: 0.0.0.0, port_value: 9211}}
    filter_chains:
    - filters:
      - name: envoy.filters.network.http_connection_manager
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
          stat_prefix: ingress_http
          codec_type: AUTO
          route_config:
            virtual_hosts:
            - name: local
              domains: ["*"]
              routes:
              - match: {prefix: "/", grpc: {}}
                route: {cluster: grpc_local_service}
              - match: {prefix: "/"}
                route: {cluster: rest_local_service}
          http_filters:
          - name: envoy.filters.http.router
            typed_config: &router
              "@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router
  - address: {socket_address: {address: 127.0.0.1, port_value: 9001}}
    filter_chains:
    - filters:
      - name: envoy.filters.network.http_connection_manager
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
          stat_prefix: egress_http
          codec_type: AUTO
          route_config:
            virtual_hosts:
            - name: any
              domains: ["*"]
              routes:
              - match: {prefix: "/", grpc: {}}
                route: {cluster: grpc_proxy_cluster}
              - match: {prefix: "/"}
                route: {cluster: rest_proxy_cluster}
          http_filters:
          - name: envoy.filters.http.dynamic_forward_proxy
            typed_config:
              "@type": type.googleapis.com/envoy.extensions.filters.http.dynamic_forward_proxy.v3.FilterConfig
              dns_cache_config: &dns {name: proxy_dns_cache, dns_lookup_family: V4_PREFERRED}
          - name: envoy.filters.http.router
            typed_config: *router
  clusters:
  - name: grpc_local_service
    type: STATIC
    typed_extension_protocol_options: &h2
      envoy.extensions.upstreams.http.v3.HttpProtocolOptions:
        "@type": type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions
        explicit_http_config: {http2_protocol_options: {}}
    load_assignment: &application
      cluster_name: application
      endpoints:
      - lb_endpoints:
        - endpoint: {address: {socket_address: {address: 127.0.0.1, port_value: 8080}}}
  - name: rest_local_service
    type: STATIC
    load_assignment: *application
  - name: grpc_proxy_cluster
    lb_policy: CLUSTER_PROVIDED
    typed_extension_protocol_options: *h2
    cluster_type: &forward
      name: envoy.clusters.dynamic_forward_proxy
      typed_config:
        "@type": type.googleapis.com/envoy.extensions.clusters.dynamic_forward_proxy.v3.ClusterConfig
        dns_cache_config: *dns
        allow_insecure_cluster_options: true
  - name: rest_proxy_cluster
    lb_policy: CLUSTER_PROVIDED
    cluster_type: *forward
"""


def installed():
    """Where scripts/envoy has put it: `make check` says so, else it is asked."""
    program = os.environ.get("SLUICE_ENVOY")
    if not program:
        script = pathlib.Path(__file__).parents[2] / "scripts" / "envoy"
        done = subprocess.run([script], capture_output=True, text=True, timeout=300, check=False)
        assert done.returncode == 0, done.stderr
        program = done.stdout.strip()
    assert os.access(program, os.X_OK), f"no Envoy at {program}: see scripts/envoy"
    return program


@contextlib.contextmanager
def readable(program):
    """A directory that the proxy's user can read, wherever the program is, with it inside."""
    directory = pathlib.Path(tempfile.mkdtemp(prefix="sluice-envoy."))
    try:
        directory.chmod(0o755)
        shutil.copy(program, directory / "envoy")
        (directory / "envoy.yaml").write_text(CONFIG, encoding="ascii")
        yield directory
    finally:
        shutil.rmtree(directory)


class Envoy(Process):
    """Started and ready. `directory`: as readable() makes it."""

    def __init__(self, netns, directory):
        self.netns = netns
        super().__init__([str(directory / "envoy"), "-c", str(directory / "envoy.yaml"),
                          "--disable-hot-restart", "--concurrency", "1", "-l", "warning"],
                         netns=netns, uid=PROXY_UID, caps=())
        try:
            wait_until(self._ready, "Envoy to be ready")
        except (AssertionError, OSError) as e:
            self.end()
            raise AssertionError(f"{e}: {self.output}") from e

    def _ready(self):
        with contextlib.suppress(ConnectionError, http.client.HTTPException):
            return self.get("/ready")[0] == 200
        return False

    def get(self, path):
        connection = http.client.HTTPConnection("127.0.0.1", ADMIN)
        connection.sock = self.netns.socket(4)
        with contextlib.closing(connection):
            connection.sock.connect(("127.0.0.1", ADMIN))
            connection.request("GET", path)
            response = connection.getresponse()
            return response.status, response.read().decode()

    def envoy_metrics(self):
        status, body = self.get("/stats/prometheus")
        assert status == 200
        return Metrics(body)
