# SPDX-License-Identifier: GPL-2.0-or-later
"""/stats/prometheus against the real Envoy: the same traffic through both, family by family.

Each scenario is played in two worlds, one with Envoy in the pod and one with us, by the same
redirect. Every family that we have must be one of Envoy's, of its type, and equal in every series;
of histograms the counts are. What differs is named, with the reason, and must differ.
"""
import contextlib
import pathlib
import re
import socket
import struct
import sys
import threading
import time

import pytest
from h2 import events
from h2.config import H2Configuration
from h2.connection import H2Connection

from lib.envoy import Envoy, installed, readable
from lib.patience import PATIENCE
from lib.proc import Process, wait_until
from lib.proxy import Proxy
from lib.rawhttp import RawHttp
from lib.servers import Nginx, Server
from lib.sluice import sluice
from lib.world import APP_UID, OUTSIDE, POD, World

PEER = pathlib.Path(__file__).parents[1] / "lib" / "grpc_peer.py"
PATIENT = "--heartbeat-timeout=20s"
PORT = 8080
PREFIXES = ("ingress_http", "egress_http")

CALL = [(":method", "POST"), (":path", "/a.B/C"), (":scheme", "http"), (":authority", "x"),
        ("content-type", "application/grpc"), ("te", "trailers")]
ANSWER = [(":status", "200"), ("content-type", "application/grpc")]
MESSAGE = b"\0\0\0\0\1a"


class Stage:
    """A pod with one of the two proxies, and who connects where."""

    def __init__(self, stack, direction, envoy):
        self.world = stack.enter_context(contextlib.closing(World()))
        inbound = direction == "inbound"
        self.client = self.world.client if inbound else self.world.pod
        self.server = self.world.pod if inbound else self.world.client
        self.address = POD[4] if inbound else OUTSIDE[4]
        self.uid = None if inbound else APP_UID
        self.inbound = inbound
        self.host = f"{self.address}:{PORT}"
        sluice(self.world.pod, "apply", PATIENT, *(["--fail=closed"] if envoy else []))
        if envoy:
            self.proxy = self.world.keep(Envoy(self.world.pod, envoy), "end")
        else:
            mode = ["--outbound-mode=host"] if direction == "forward" else []
            self.proxy = self.world.keep(Proxy(self.world.pod, PATIENT, *mode), "end")
            self.proxy.wait_armed()
        self.is_envoy = bool(envoy)

    def scrape(self):
        return self.proxy.envoy_metrics()

    def settled(self):
        """Once no client's connection is open and scrapes say the same for a while."""
        last = []

        def still():
            # Envoy adds its histograms up every 100 ms, and holds some closed connections for 1 s.
            m = self.scrape()
            last.append(counts(m))
            busy = any(m.sum("envoy_http_downstream_cx_active", envoy_http_conn_manager_prefix=p)
                       for p in PREFIXES)
            same = 4 if self.is_envoy else 2
            if busy or len(last) < same or any(x != last[-1] for x in last[-same:]):
                time.sleep(0.25)
                return None
            return m

        return wait_until(still, "the counts to settle")

    def connect(self, port=PORT):
        s = self.client.socket(4, uid=self.uid)
        try:
            s.connect((self.address, port))
        except OSError:
            s.close()
            raise
        return s

    def http(self):
        return RawHttp(self.connect())

    def serve(self, serve):
        return self.world.keep(Server(self.server, 4, PORT, serve))


def counts(m):
    """What is to be compared: {(name, labels): value}; of histograms how many values there were."""
    def is_traffic(labels):
        return labels.get("envoy_http_conn_manager_prefix") in PREFIXES or \
            "envoy_cluster_name" in labels or "envoy_listener_address" in labels

    return {(name, *sorted(labels.items())): value for name, labels, value in m.samples
            if is_traffic(labels) and "le" not in labels
            and not (name.endswith("_sum") and name.removesuffix("_sum") in m.types)}


def reset(s):
    s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    s.close()


# ---- Scenarios ----

def nginx(stage, tmp_path):
    directory = tmp_path / ("envoy" if stage.is_envoy else "sluice")
    directory.mkdir()
    return stage.world.keep(Nginx(stage.server, directory, PORT), "end")


def kept_alive(stage, tmp_path):
    """One connection, every class of status, with and without content."""
    n = nginx(stage, tmp_path)
    (n.root / "large").write_bytes(bytes(300000))
    client = stage.http()
    for method, path, status in (("GET", "/hello", 200), ("HEAD", "/hello", 200),
                                 ("GET", "/empty", 204), ("GET", "/moved", 302),
                                 ("GET", "/none", 404), ("GET", "/broken", 503),
                                 ("GET", "/large", 200)):
        client.request(method, path, host=stage.host)
        assert client.response(method)[0] == status
    for size in (1, 5000):
        client.request("POST", "/post", b"x" * size, host=stage.host)
        assert client.response()[0] == 200
    client.close()


def new_connections(stage, tmp_path):
    """One request each."""
    nginx(stage, tmp_path)
    for _ in range(5):
        client = stage.http()
        client.request("GET", "/hello", host=stage.host)
        assert client.response()[0] == 200
        client.close()


def grpc_calls(stage, _):
    """All kinds, failing and cancelled ones too. At a deadline both sides may be the first to end."""
    server = stage.world.keep(Process([sys.executable, str(PEER), "server", str(PORT)],
                                      netns=stage.server), "end")
    server.wait_line("ready")
    # Envoy adds headers of its own.
    stage.client.run([sys.executable, str(PEER), "client", stage.host, "2", "without-deadlines",
                      "more-metadata"])


def h2_server(stage, answer):
    """Serves HTTP/2: `answer(connection, stream)` is called with each whole request."""
    def serve(s):
        h2 = H2Connection(H2Configuration(client_side=False))
        h2.initiate_connection()
        s.sendall(h2.data_to_send())
        while data := s.recv(65536):
            for event in h2.receive_data(data):
                if isinstance(event, events.StreamEnded) and answer(h2, s, event.stream_id):
                    return
            s.sendall(h2.data_to_send())

    stage.serve(serve)


def h2_call(stage, until, then=None, began=None):
    """One gRPC call; `until`: the event that ends it, or None: at once; `then(connection, socket)`.
    `began` is set when something of an answer has come."""
    with stage.connect() as s:
        h2 = H2Connection(H2Configuration(client_side=True))
        h2.initiate_connection()
        call = [(k, stage.host if k == ":authority" else v) for k, v in CALL]
        h2.send_headers(1, call)
        h2.send_data(1, MESSAGE, end_stream=True)
        s.sendall(h2.data_to_send())
        seen = until is None
        with contextlib.suppress(ConnectionError):
            while not seen and (data := s.recv(65536)):
                came = h2.receive_data(data)
                seen = any(isinstance(e, until) for e in came)
                if began and any(isinstance(e, (events.ResponseReceived, events.DataReceived))
                                 for e in came):
                    began.set()
                s.sendall(h2.data_to_send())
        if then:
            then(h2, s)


def stream_reset(stage, _):
    """By the server, with RST_STREAM, before and within an answer."""
    turn, began = [], threading.Event()

    def answer(h2, s, stream):
        turn.append(stream)
        if len(turn) > 1:
            h2.send_headers(stream, ANSWER)
            h2.send_data(stream, MESSAGE)
            s.sendall(h2.data_to_send())
            assert began.wait(PATIENCE)
        h2.reset_stream(stream, 2)

    h2_server(stage, answer)
    h2_call(stage, (events.StreamReset, events.StreamEnded))
    h2_call(stage, (events.StreamReset, events.StreamEnded), began=began)


def call_given_up(stage, _):
    """By the client: RST_STREAM, and a reset of its connection."""
    begun = threading.Semaphore(0)
    h2_server(stage, lambda *_: begun.release())

    def give_up(h2, s):
        assert begun.acquire(timeout=PATIENCE)
        h2.reset_stream(1, 8)
        s.sendall(h2.data_to_send())

    def leave(_, s):
        assert begun.acquire(timeout=PATIENCE)
        reset(s)

    h2_call(stage, None, give_up)
    h2_call(stage, None, leave)


def call_abandoned(stage, _):
    """The server's connection ends under a call, before and within the answer."""
    turn, began = [], threading.Event()

    def answer(h2, s, stream):
        turn.append(stream)
        if len(turn) > 1:
            h2.send_headers(stream, ANSWER)
            s.sendall(h2.data_to_send())
            assert began.wait(PATIENCE)
        return True

    h2_server(stage, answer)
    h2_call(stage, (events.StreamReset, events.StreamEnded))
    h2_call(stage, (events.StreamReset, events.StreamEnded), began=began)


def http1_server(stage, answer):
    """Reads a request's head and calls `answer(socket)`, for each connection once."""
    def serve(s):
        head = b""
        while b"\r\n\r\n" not in head:
            data = s.recv(65536)
            if not data:
                return
            head += data
        answer(s)

    stage.serve(serve)


def read_until(s, part):
    data = b""
    while part not in data:
        data += (more := s.recv(65536))
        assert more, data


def ask(stage, then=None):
    """One request on a connection of its own, to its end, or then(socket)."""
    client = stage.http()
    client.request("GET", "/", host=stage.host)
    if then:
        then(client.socket)
    else:
        with contextlib.suppress(EOFError, ConnectionError):
            client.response()
    client.close()


def no_answer(stage, _):
    """The server ends the connection, by FIN and by reset."""
    turn = []

    def answer(s):
        turn.append(1)
        time.sleep(0.1)
        if len(turn) > 1:
            reset(s)

    http1_server(stage, answer)
    ask(stage)
    ask(stage)


def half_an_answer(stage, _):
    """The server ends within its content, by FIN and by reset."""
    turn, begun = [], threading.Semaphore(0)

    def answer(s):
        turn.append(1)
        s.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nabc")
        assert begun.acquire(timeout=PATIENCE)
        if len(turn) > 1:
            reset(s)

    def read(s):
        read_until(s, b"abc")
        begun.release()
        with contextlib.suppress(ConnectionError):
            while s.recv(65536):
                pass

    http1_server(stage, answer)
    ask(stage, read)
    ask(stage, read)


def client_leaves(stage, _):
    """It resets, before the answer and within it."""
    begun = threading.Semaphore(0)
    turn = []

    def answer(s):
        turn.append(1)
        if len(turn) > 1:
            s.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nabc")
        begun.release()
        with contextlib.suppress(ConnectionError):
            s.recv(1)

    def leave(s):
        assert begun.acquire(timeout=PATIENCE)
        reset(s)

    def read_and_leave(s):
        assert begun.acquire(timeout=PATIENCE)
        read_until(s, b"abc")
        time.sleep(0.1)
        reset(s)

    http1_server(stage, answer)
    ask(stage, leave)
    ask(stage, read_and_leave)


def server_closes(stage, _):
    """After its answer: by Connection: close, and by the end of an answer without a length."""
    turn = []

    def answer(s):
        turn.append(1)
        length = b"Content-Length: 3\r\nConnection: close\r\n" if len(turn) == 1 else b""
        s.sendall(b"HTTP/1.1 200 OK\r\n" + length + b"\r\nabc")

    def read(s):
        data = b""
        while b"abc" not in data:
            data += s.recv(65536)
        # Envoy makes chunks of an answer without a length: leaving before the last is a reset.
        while b"chunked" in data and not data.endswith(b"0\r\n\r\n"):
            data += s.recv(65536)
        # So that the server is the first to end; Envoy keeps the client's connection.
        assert stage.is_envoy or s.recv(1) == b""

    http1_server(stage, answer)
    ask(stage, read)
    ask(stage, read)


def early_hints(stage, _):
    """Interim responses."""
    def answer(s):
        s.sendall(b"HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc")
        s.recv(1)

    http1_server(stage, answer)
    client = stage.http()
    client.request("GET", "/", host=stage.host)
    while client.response()[0] == 103:
        pass
    client.close()


def refused(stage, _):
    """Nobody listens."""
    with contextlib.suppress(ConnectionError, EOFError), stage.connect() as s:
        client = RawHttp(s)
        client.request("GET", "/", host=stage.host)
        client.response()


def idle(stage, _):
    """A connection on which nothing is said."""
    stage.serve(lambda s: s.recv(1))
    with stage.connect():
        wait_until(lambda: stage.scrape().sum("envoy_listener_downstream_cx_active") > 0,
                   "the connection to be counted")


def garbage(stage, _):
    """What is no HTTP, to a server that takes it."""
    def serve(s):
        if s.recv(100):
            s.sendall(b"taken")
            s.recv(1)

    stage.serve(serve)
    with stage.connect() as s:
        s.sendall(b"\0\1\2garbage\r\n\r\n")
        s.recv(100)


# ---- What differs, and why: docs/metrics.md says the same ----

# {reason: (families, without "envoy_"; external_upstream_* differs as upstream_* does)}
DIFFERENCES = {
    "Envoy changes and adds headers, or answers by itself. Ours are the bytes that went by.":
        "http_downstream_cx_tx_bytes_total cluster_upstream_cx_tx_bytes_total",
    "In HTTP/2 Envoy makes frames of its own towards both sides.":
        "http_downstream_cx_rx_bytes_total cluster_upstream_cx_rx_bytes_total",
    "Envoy keeps its connection to a server when the client has gone. Ours goes with it.":
        "cluster_upstream_cx_active cluster_upstream_cx_destroy cluster_upstream_cx_length_ms",
    "Envoy gives a kept connection to the next client. Each of ours is one client's.":
        "cluster_upstream_cx_total cluster_upstream_cx_http1_total cluster_upstream_cx_http2_total "
        "cluster_upstream_cx_connect_ms cluster_upstream_rq_pending_total",
    "When the server ends a connection, Envoy keeps the client's, which is the client's to end. Ours "
    "ends with the server's, so it is ended from this side.":
        "http_downstream_cx_destroy_local http_downstream_cx_destroy_remote",
    "Envoy knows no member of the outbound clusters before the first request. Ours is always 1.":
        "cluster_membership_healthy cluster_membership_total",
    "Envoy counts interim responses (1xx) of servers as answers, too.":
        "cluster_upstream_rq cluster_upstream_rq_xx cluster_upstream_rq_completed",
    "Where a server cannot be reached, Envoy reads the request all the same, and answers 503. With us "
    "the client is reset before it has asked, so there is a failed connection and no request.":
        "http_rq_total http_downstream_rq_total http_downstream_rq_completed "
        "http_downstream_rq_http1_total http_downstream_rq_xx http_downstream_rq_time "
        "http_downstream_cx_http1_total http_downstream_cx_rx_bytes_total "
        "listener_http_downstream_rq_xx cluster_upstream_cx_http1_total "
        "cluster_upstream_rq cluster_upstream_rq_xx cluster_upstream_rq_completed "
        "cluster_upstream_rq_pending_total cluster_upstream_rq_pending_failure_eject",
    "What is no HTTP, Envoy takes for a bad request, answers 400, and closes. With us it goes through, "
    "and is a connection without a request.":
        "http_downstream_rq_total http_downstream_rq_completed http_downstream_rq_http1_total "
        "http_downstream_rq_xx http_downstream_rq_rx_reset http_downstream_rq_time "
        "http_downstream_cx_http1_total http_downstream_cx_protocol_error "
        "http_downstream_cx_destroy_local http_downstream_cx_destroy_remote "
        "listener_http_downstream_rq_xx",
}
(HEADERS, FRAMES, KEPT, SHARED, ENDS, MEMBERS, INTERIM, REFUSED, NOT_HTTP) = DIFFERENCES

SCENARIOS = {
    kept_alive: (HEADERS, KEPT),
    new_connections: (HEADERS, KEPT, SHARED),
    server_closes: (HEADERS, ENDS),
    no_answer: (HEADERS, ENDS),
    half_an_answer: (HEADERS,),
    client_leaves: (HEADERS,),
    early_hints: (HEADERS, KEPT, INTERIM),
    grpc_calls: (HEADERS, FRAMES, KEPT),
    stream_reset: (HEADERS, FRAMES, KEPT, SHARED),
    call_given_up: (HEADERS, FRAMES, KEPT, SHARED),
    call_abandoned: (HEADERS, ENDS),
    refused: (HEADERS, ENDS, REFUSED),
    idle: (MEMBERS,),
    garbage: (HEADERS, MEMBERS, NOT_HTTP),
}


@pytest.fixture(scope="module")
def envoy():
    with readable(installed()) as directory:
        yield directory


def play(scenario, direction, envoy, tmp_path):
    """The counts when all is over."""
    with contextlib.ExitStack() as stack:
        stage = Stage(stack, direction, envoy)
        scenario(stage, tmp_path)
        m = stage.settled()
        stage.proxy.end()  # and with it the connections that Envoy keeps
        return m


def family_of(name, m):
    """Without what a histogram's samples add, and "envoy_"."""
    if name not in m.types:
        name = name.removesuffix("_count")
    return name.removeprefix("envoy_").replace("external_upstream", "upstream")


# An inbound port without a listener is never redirected: the kernel refuses.
CASES = [(s, d) for s in SCENARIOS for d in ("inbound", "outbound")
         if (s, d) != (refused, "inbound")]
# Outbound by the Host, as Envoy goes there, where neither answers by itself.
CASES += [(s, "forward") for s in (kept_alive, new_connections, server_closes, half_an_answer,
                                   client_leaves, early_hints)]


@pytest.mark.parametrize("scenario, direction", CASES, ids=lambda x: getattr(x, "__name__", x))
def test_same(scenario, direction, envoy, tmp_path):
    theirs = play(scenario, direction, envoy, tmp_path)
    ours = play(scenario, direction, None, tmp_path)
    reasons = {*SCENARIOS[scenario], *([MEMBERS] if direction == "inbound" else [])}
    excused = {reason: set(DIFFERENCES[reason].split()) for reason in reasons}
    there, here = counts(theirs), counts(ours)
    differing = {}
    for name, kind in ours.types.items():
        assert theirs.types.get(name, kind) == kind, name
    for key, value in here.items():
        if there.get(key, 0) != value:
            differing.setdefault(family_of(key[0], ours), {})[key] = there.get(key, 0), value
    for key, value in there.items():
        family = family_of(key[0], theirs)
        if "envoy_" + family in ours.types and value and key not in here:
            differing.setdefault(family, {})[key] = value, 0
    unexcused = set(differing) - set().union(*excused.values())
    assert not unexcused, {f: differing[f] for f in unexcused}
    for reason, families in excused.items():
        assert families & set(differing), f"no such difference: {reason}"


def test_dns(world, proxy):
    """What a forward proxy looks up. It goes nowhere: localhost is no destination of its."""
    for _ in range(2):
        client = RawHttp(world.pod.socket(4, uid=APP_UID))
        client.socket.connect(("127.0.0.1", 9001))
        client.request("GET", f"http://localhost:{PORT}/")
        assert client.response()[0] == 403
        client.close()
    m = proxy.envoy_metrics()
    # The second is answered out of the cache.
    assert {name: m.sum(f"envoy_dns_cache_proxy_dns_cache_{name}") for name in (
        "dns_query_attempt", "dns_query_success", "dns_query_failure", "host_added")} == {
            "dns_query_attempt": 1, "dns_query_success": 1, "dns_query_failure": 0,
            "host_added": 1}


DOCS = pathlib.Path(__file__).parents[2] / "docs" / "metrics.md"


def rows(heading):
    """The rows of the table below a heading of docs/metrics.md, as lists of cells."""
    text = DOCS.read_text(encoding="utf-8").split(f"\n{heading}\n", 1)[1]
    table = re.search(r"(?:^\|.*\n)+", text, re.M)[0].splitlines()
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in table[2:]]


def words(cell):
    return re.findall(r"`([^`]+)`", cell)


def test_differences_documented():
    told = {reason: set(words(families)) for families, reason in rows("### What differs")}
    assert told == {reason: set(f.split()) for reason, f in DIFFERENCES.items()}


def test_families_documented(world, start_proxy, nginx):
    """Every family by name, type and labels, and no other."""
    sluice(world.pod, "apply", PATIENT)
    proxy = start_proxy(PATIENT)
    proxy.wait_armed()
    nginx(world.pod)
    client = RawHttp(world.client.socket(4))
    client.socket.connect((POD[4], PORT))
    client.request("GET", "/hello")
    assert client.response()[0] == 200
    client.close()
    m = proxy.envoy_metrics()
    told = {prefix + name: (kind, set(words(labels)))
            for prefixes, kind, names, labels in rows("### Families")
            for prefix in words(prefixes) for name in words(names)}
    assert {f: kind for f, (kind, _) in told.items()} == m.types
    for name, labels, _ in m.samples:
        family = name if name in m.types else name.rsplit("_", 1)[0]
        assert set(labels) - {"le"} == told[family][1], name
