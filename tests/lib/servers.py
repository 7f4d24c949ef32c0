# SPDX-License-Identifier: GPL-2.0-or-later
"""Servers and clients of the wire tests: nginx, byte-exact TCP endpoints, a load of connections."""
import contextlib
import hashlib
import http.client
import threading
import time
from dataclasses import dataclass

from .patience import PATIENCE
from .proc import Process, wait_until
from .world import ANY

NGINX = """
daemon off; master_process off; worker_processes 1; pid {dir}/pid;
error_log stderr warn;
events {{ worker_connections 4096; }}
http {{
    access_log {dir}/access.log combined;
    client_body_temp_path {dir}/b; proxy_temp_path {dir}/p; fastcgi_temp_path {dir}/f;
    uwsgi_temp_path {dir}/u; scgi_temp_path {dir}/s;
    default_type text/plain; keepalive_requests 1000000; client_max_body_size 200m;
    gzip on; gzip_min_length 1; gzip_types text/plain; gzip_http_version 1.1;
    server {{
        listen 0.0.0.0:{port}; listen [::]:{port};
        root {dir}/www;
        location = /hello {{ return 200 "hello\\n"; }}
        location = /post {{ client_body_buffer_size 1m; proxy_pass http://127.0.0.1:{port}/sink; }}
        location = /sink {{ return 200 "taken\\n"; }}
        location = /broken {{ return 503; }}
        location = /empty {{ return 204; }}
        location = /moved {{ return 302 /hello; }}
    }}
    {more}
}}
"""

# HTTP/2 without TLS, and TLS.
NGINX_MORE = """
    server {{
        listen 0.0.0.0:8081 http2; listen [::]:8081 http2; root {dir}/www;
        location = /hello {{ return 200 "hello\\n"; }}
    }}
    server {{
        listen 0.0.0.0:8443 ssl http2; listen [::]:8443 ssl http2; root {dir}/www;
        ssl_certificate {cert}; ssl_certificate_key {key}; ssl_session_tickets off;
        location = /hello {{ return 200 "hello\\n"; }}
    }}
"""


def listens(netns, port):
    """Whether somebody there takes connections."""
    with netns.socket() as s:
        return s.connect_ex(("127.0.0.1", port)) == 0


class Nginx(Process):
    """nginx in a namespace with a directory of its own; `root` is what it serves."""

    def __init__(self, netns, tmp_path, port=8080, certificate=None):
        self.dir = tmp_path
        more = ""
        if certificate:
            key, cert = certificate
            more = NGINX_MORE.format(dir=tmp_path, key=key, cert=cert)
        self.root = tmp_path / "www"
        self.root.mkdir()
        config = tmp_path / "nginx.conf"
        config.write_text(NGINX.format(dir=tmp_path, port=port, more=more))
        super().__init__(["nginx", "-c", str(config), "-p", str(tmp_path), "-e", "stderr"],
                         netns=netns)
        try:
            wait_until(lambda: self._answers(netns, port), "nginx to listen")
        except AssertionError as e:
            self.end()
            raise AssertionError(f"{e}: {self.output}") from e

    @staticmethod
    def _answers(netns, port):
        """Both its listeners: they are opened one after the other."""
        with netns.socket(4) as s4, netns.socket(6) as s6:
            return not (s4.connect_ex(("127.0.0.1", port)) or s6.connect_ex(("::1", port)))


def http_connection(netns, address, port, uid=None):
    """An http.client connection from a namespace."""
    connection = http.client.HTTPConnection(address, port)
    connection.sock = netns.socket(6 if ":" in address else 4, uid=uid)
    connection.sock.connect((address, port))
    return connection


class Server:
    """Accepts on one port and runs `serve(socket)` in a thread for each connection.

    Port 0: any, `port` is which.
    """

    def __init__(self, netns, family, port, serve, address=None):
        self._listener = netns.listen(address or ANY[family], port)
        self.port = self._listener.getsockname()[1]
        self._listener.settimeout(None)
        self._serve = serve
        self._threads = [threading.Thread(target=self._accept, daemon=True)]
        self._threads[0].start()

    def _accept(self):
        while True:
            try:
                s, _ = self._listener.accept()
            except OSError:
                return
            s.settimeout(4 * PATIENCE)  # clients may be idle for as long as a test takes
            thread = threading.Thread(target=self._run, args=(s,), daemon=True)
            self._threads.append(thread)
            thread.start()

    def _run(self, s):
        # A client that is silent for long is no fault of the server's; the test waits for it, too.
        with s, contextlib.suppress(ConnectionError, TimeoutError):
            self._serve(s)

    def wait(self):
        """Until all connections accepted so far have been served."""
        for thread in self._threads[1:]:
            thread.join(PATIENCE)
            assert not thread.is_alive(), "a connection is still being served"

    def close(self):
        with contextlib.suppress(OSError):
            self._listener.shutdown(2)
        self._listener.close()
        for thread in self._threads:
            thread.join(5)


def pattern(size, seed=0):
    """Bytes without a short period, the same for the same seed."""
    block = b"".join(hashlib.sha256(f"{seed}/{n}".encode()).digest() for n in range(2048 + seed))
    return (block * (size // len(block) + 1))[:size]


def digest(data):
    return hashlib.sha256(data).hexdigest()


def read_all(s, chunk=1 << 16, pause=0.0, pause_until=0):
    """Everything up to the FIN. The first `pause_until` bytes are read slowly."""
    parts, total = [], 0
    while True:
        data = s.recv(chunk)
        if not data:
            return b"".join(parts)
        parts.append(data)
        total += len(data)
        if total < pause_until:
            time.sleep(pause)


@dataclass
class Attempt:
    started: float
    ended: float
    answer: dict

    @property
    def ok(self):
        return self.answer["by"] == "app"


class Load:
    """New connections in a loop, each asking who answers (witness.ask)."""

    def __init__(self, attempt, threads=2):
        self.attempts = []
        self._attempt = attempt
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._run, daemon=True) for _ in range(threads)]
        for t in self._threads:
            t.start()

    def _run(self):
        while not self._stop.is_set():
            started = time.monotonic()
            answer = self._attempt()
            self.attempts.append(Attempt(started, time.monotonic(), answer))

    def wait(self, more=100, condition=lambda a: True):
        """Lets that many more attempts end that fulfil the condition."""
        before = len(self.attempts)
        wait_until(lambda: sum(map(condition, self.attempts[before:])) >= more,
                   f"{more} more attempts", timeout=2 * PATIENCE)

    @property
    def failures(self):
        return [a for a in list(self.attempts) if not a.ok]

    def close(self):
        self._stop.set()
        for t in self._threads:
            t.join(2 * PATIENCE)
            assert not t.is_alive(), "an attempt hangs"
