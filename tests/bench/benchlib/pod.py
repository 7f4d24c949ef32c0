# SPDX-License-Identifier: GPL-2.0-or-later
"""The stage: one client namespace, and a pod namespace with nginx for each contender."""

import os
import time

from . import load, netns, settings as conf

NGINX = """\
daemon off;
master_process off;
worker_processes 1;
pid {work}/nginx-{name}.pid;
error_log {work}/nginx-{name}.log warn;
events {{ worker_connections {connections}; accept_mutex off; }}
http {{
    access_log off;
    tcp_nodelay on;
    keepalive_timeout 1h;
    keepalive_requests 1000000000;
    client_header_timeout 1h;
    open_file_cache max=16 inactive=1h;
    open_file_cache_valid 1h;
    types {{ }}
    default_type application/octet-stream;
    client_body_temp_path {work}/tmp-{name}-1;
    proxy_temp_path {work}/tmp-{name}-2;
    fastcgi_temp_path {work}/tmp-{name}-3;
    uwsgi_temp_path {work}/tmp-{name}-4;
    scgi_temp_path {work}/tmp-{name}-5;
    server {{
        listen 8080 backlog=8192;
        root {work}/www;
        location = /1m {{ sendfile on; tcp_nopush on; }}
    }}
    server {{
        listen {http2_port} http2 backlog=8192;
        root {work}/www;
        http2_max_requests 1000000000;
    }}
}}
"""

# So that a new connection per request measures connections, not the exhaustion of ports.
SYSCTL = {
    "ipv4/ip_local_port_range": "1024 65535",
    "ipv4/ip_local_reserved_ports": f"8080,{load.HTTP2_PORT},9001-9016,9211-9226,9901",
    "ipv4/tcp_congestion_control": "reno",  # nothing is lost here; bbr would pace
    "ipv4/tcp_max_tw_buckets": 2000,
    "ipv4/tcp_max_syn_backlog": 8192,
    "core/somaxconn": 8192,
}
CONNTRACK = {
    "netfilter/nf_conntrack_tcp_timeout_time_wait": 1,
    "netfilter/nf_conntrack_tcp_timeout_close": 1,
    "netfilter/nf_conntrack_tcp_timeout_fin_wait": 10,
    "netfilter/nf_conntrack_tcp_timeout_last_ack": 10,
}


def make_www(work):
    """The files that nginx serves, and a scratch directory that its user may write."""
    os.chmod(work, 0o777)
    os.mkdir(f"{work}/www")
    for s in load.SCENARIO.values():
        with open(f"{work}/www{s['path']}", "wb") as f:
            f.write(bytes(i * 7 % 251 for i in range(1024)) * (s["size"] // 1024))


class Client:
    """The namespace that the load comes from; pods are wired to it."""

    def __init__(self, settings):
        self.settings = settings
        self.ns = netns.new_namespace()
        netns.run([settings.programs["ip"], "link", "set", "lo", "up"], ns=self.ns)
        netns.sysctl(self.ns, SYSCTL)
        self.pods = 0

    def close(self):
        os.close(self.ns)


class Pod:
    """A namespace with a server on 8080, redirected or not, and a veth to the client."""

    def __init__(self, settings, client, name):
        self.settings = settings
        self.name = name
        self.server = None
        client.pods += 1
        self.ns = netns.new_namespace()
        self.address = f"10.77.{client.pods}.2"
        self._wire(client, f"10.77.{client.pods}.1", f"c{client.pods}")
        netns.sysctl(self.ns, SYSCTL)
        self._serve()

    def _wire(self, client, client_address, link):
        ip = self.settings.programs["ip"]
        netns.run([ip, "link", "add", link, "type", "veth", "peer", "name", "eth0", "netns",
                   netns.path_of(self.ns)], ns=client.ns)
        for ns, dev, address in ((client.ns, link, client_address),
                                 (self.ns, "eth0", self.address)):
            netns.run([ip, "addr", "add", f"{address}/24", "dev", dev], ns=ns)
            netns.run([ip, "link", "set", dev, "up"], ns=ns)
        netns.run([ip, "link", "set", "lo", "up"], ns=self.ns)

    def _serve(self):
        work = self.settings.work
        path = f"{work}/nginx-{self.name}.conf"
        with open(path, "w", encoding="ascii") as f:
            f.write(NGINX.format(work=work, name=self.name, http2_port=load.HTTP2_PORT,
                                 connections=netns.NOFILE - 100))
        self.server = netns.Process(
            [self.settings.programs["nginx"], "-e", f"{work}/nginx-{self.name}.log", "-c", path],
            ns=self.ns, uid=conf.SERVER_UID, cpu=self.settings.load_cpu,
            log=f"{work}/nginx-{self.name}.out")
        wait_for(lambda: netns.within(self.ns, lambda: load.get_once("127.0.0.1")),
                 self.server, "nginx")

    def redirect(self):
        """The rules of `sluice apply` with its defaults."""
        netns.run([self.settings.sluice, "apply"], ns=self.ns)
        netns.sysctl(self.ns, CONNTRACK)

    def arm(self):
        """The redirect holds for a day without a heartbeat, which only sluice-proxy sends."""
        netns.run([self.settings.programs["nft"], "-f", "-"], ns=self.ns, text=(
            "flush set inet sluice alive\n"
            "add element inet sluice alive { ipv4 timeout 1d, ipv6 timeout 1d }\n"))

    def close(self):
        if self.server:
            self.server.stop()
        os.close(self.ns)


def wait_for(attempt, process, what, seconds=20):
    """Tries until attempt() raises no OSError; the process must live meanwhile."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            return attempt()
        except OSError as e:
            process.check_alive()
            if time.monotonic() > deadline:
                raise RuntimeError(f"{what} does not answer: {e}: {process.log_tail()}") from e
            time.sleep(0.002)
