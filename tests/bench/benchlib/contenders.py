# SPDX-License-Identifier: GPL-2.0-or-later
"""The proxies, each with one thread, all behind the same redirect, with connection limits alike."""

import json
import os
import subprocess

from . import load, netns, pod as stage, settings as conf

PORTS = range(9211, 9227)
CONNECTIONS = conf.MAX_CONNECTIONS

HAPROXY = """\
global
    maxconn {connections}
    maxpipes 200
    nbthread 1
    log stderr local0 emerg
defaults
    mode {mode}
    timeout connect 5s
    timeout client 1h
    timeout server 1h
{extra}
frontend inbound
    bind 0.0.0.0:9211-9226
    default_backend original
{choice}
backend original
    server destination 0.0.0.0:0
"""
# As it is spoken to, so it speaks.
HAPROXY_HTTP2 = """\
    use_backend original2 if { fc_http_major 2 }
backend original2
    server destination 0.0.0.0:0 proto h2"""


def _haproxy(settings, name, mode, extra=""):
    path = f"{settings.work}/{name}.cfg"
    with open(path, "w", encoding="ascii") as f:
        f.write(HAPROXY.format(connections=CONNECTIONS, mode=mode, extra=extra,
                               choice=HAPROXY_HTTP2 if mode == "http" else ""))
    return [settings.programs["haproxy"], "-db", "-f", path]


def _envoy_filter(kind):
    prefix = "type.googleapis.com/envoy.extensions.filters"
    if kind == "l4":
        return {"name": "tcp", "typed_config": {
            "@type": f"{prefix}.network.tcp_proxy.v3.TcpProxy",
            "stat_prefix": "inbound", "cluster": "original", "idle_timeout": "3600s"}}
    return {"name": "http", "typed_config": {
        "@type": f"{prefix}.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "inbound", "codec_type": "AUTO",
        "http_filters": [{"name": "router", "typed_config": {
            "@type": f"{prefix}.http.router.v3.Router"}}],
        "route_config": {"virtual_hosts": [{"name": "all", "domains": ["*"], "routes": [
            {"match": {"prefix": "/"}, "route": {"cluster": "original"}}]}]}}}


def _envoy(settings, name, kind):
    address = lambda port: {"socket_address": {"address": "0.0.0.0", "port_value": port}}
    limit = {"max_connections": CONNECTIONS, "max_pending_requests": CONNECTIONS,
             "max_requests": CONNECTIONS}
    options = {"envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
        "@type": "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
        "use_downstream_protocol_config": {"http2_protocol_options": {}}}}
    config = {"static_resources": {
        "listeners": [{
            "name": "inbound", "address": address(PORTS[0]),
            "additional_addresses": [{"address": address(p)} for p in PORTS[1:]],
            "listener_filters": [{"name": "original_dst", "typed_config": {
                "@type": "type.googleapis.com/envoy.extensions.filters.listener.original_dst"
                         ".v3.OriginalDst"}}],
            "filter_chains": [{"filters": [_envoy_filter(kind)]}]}],
        "clusters": [{"name": "original", "type": "ORIGINAL_DST", "lb_policy": "CLUSTER_PROVIDED",
                      "connect_timeout": "5s", "circuit_breakers": {"thresholds": [limit]},
                      **({"typed_extension_protocol_options": options} if kind == "http" else {})}]}}
    path = f"{settings.work}/{name}.json"
    with open(path, "w", encoding="ascii") as f:
        json.dump(config, f)
    return [settings.envoy, "-c", path, "--concurrency", "1", "--disable-hot-restart",
            "--log-level", "error"]


def install_envoy(settings):
    """The Envoy of scripts/envoy, as the tests have it; None when done, else why there is none."""
    try:
        done = subprocess.run(
            [f"{settings.root}/scripts/envoy", os.path.abspath(f"{settings.build}/envoy")],
            check=True, capture_output=True, text=True, timeout=300)
    except subprocess.CalledProcessError as e:
        return e.stderr.strip()[-200:]
    except (OSError, subprocess.SubprocessError) as e:
        return str(e)[:200]
    settings.envoy = done.stdout.strip()
    return None


def build_relay(settings):
    """Compiles relay.c where it is newer than the program; its path."""
    source = os.path.join(settings.root, "tests", "bench", "relay.c")
    target = os.path.join(settings.build, "bench-relay")
    if not os.path.exists(target) or os.path.getmtime(target) < os.path.getmtime(source):
        fresh = f"{target}.{os.getpid()}"
        netns.run([os.environ.get("CC", "cc"), "-std=c11", "-D_GNU_SOURCE", "-O2", "-Wall",
                   "-Wextra", "-o", fresh, source])
        os.rename(fresh, target)
    return target


def _argv(settings, name):
    if name == "relay":
        return [build_relay(settings), str(PORTS[0]), str(PORTS[-1])]
    if name == "haproxy-tcp":
        return _haproxy(settings, name, "tcp")
    if name == "haproxy-splice":
        return _haproxy(settings, name, "tcp", "    option splice-request\n    option splice-response")
    if name == "haproxy-http":
        return _haproxy(settings, name, "http")
    if name == "envoy-l4":
        return _envoy(settings, name, "l4")
    if name == "envoy-http":
        return _envoy(settings, name, "http")
    return [settings.sluice_proxy, f"--max-connections={CONNECTIONS}"]


class Contender:
    """A pod and the proxy in it ("direct": no proxy, no redirect)."""

    def __init__(self, settings, client, name):
        self.settings = settings
        self.name = name
        self.proxy = None
        self.pod = stage.Pod(settings, client, name)
        self.argv = None if name == "direct" else _argv(settings, name)
        if self.argv:
            self.pod.redirect()

    def start(self):
        """Starts the proxy; does not wait for it. Until then the redirect leads nowhere."""
        self.pod.arm()
        self.proxy = netns.Process(
            self.argv, ns=self.pod.ns, uid=conf.PROXY_UID, cpu=self.settings.proxy_cpu,
            env={"PATH": os.environ.get("PATH", "/usr/bin:/bin")},
            log=f"{self.settings.work}/{self.name}.out")

    def wait_ready(self, client):
        """Until a request from the client's namespace is answered through the redirect."""
        stage.wait_for(lambda: netns.within(client.ns, lambda: load.get_once(self.pod.address)),
                       self.proxy or self.pod.server, self.name)

    def pids(self):
        return self.proxy.pids() if self.proxy else []

    def stop(self):
        if self.proxy:
            self.proxy.stop()
            self.proxy = None

    def close(self):
        self.stop()
        self.pod.close()
