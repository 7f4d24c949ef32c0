# SPDX-License-Identifier: GPL-2.0-or-later
"""HTTP/2 with prior knowledge through the forward proxy: one server, by the first :authority."""
import contextlib
import socket
import subprocess
import sys
from pathlib import Path

import h2.config
import h2.connection
import h2.events
import pytest

from lib.patience import PATIENCE
from lib.proc import Process, child_setup, wait_until
from lib.servers import Server
from lib.sluice import sluice
from lib.world import OUTSIDE, OUTSIDE_NEAR

from wire.conftest import PATIENT
from wire.test_forward import authority, connect, curl

PORT = 8080
PEER = Path(__file__).parent.parent / "lib" / "grpc_peer.py"
CALLS = Path(__file__).parent.parent / "lib" / "grpc_by_authority.py"

DATA, HEADERS, SETTINGS, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = 0, 1, 4, 6, 7, 8, 9
UNKNOWN = 250
WHOLE = 5  # END_STREAM and END_HEADERS
MARK = b"the mark"


@pytest.fixture
def proxy(start_proxy):
    return start_proxy()


@pytest.fixture
def nghttpd(world, tmp_path):
    """Starts nghttpd in the client's namespace: its files have 1 MiB and 5 bytes."""
    def start(port=PORT):
        (tmp_path / "large").write_bytes(bytes(range(256)) * 4096)
        (tmp_path / "small").write_bytes(b"hello")
        p = world.keep(Process(["nghttpd", "--no-tls", "-v", "-a", "::", "-d", str(tmp_path),
                                str(port)], netns=world.client), "end")
        p4 = world.keep(Process(["nghttpd", "--no-tls", "-v", "-a", "0.0.0.0", "-d",
                                 str(tmp_path), str(port)], netns=world.client), "end")

        def listens():
            with world.client.socket(4) as s4, world.client.socket(6) as s6:
                return not (s4.connect_ex(("127.0.0.1", port)) or s6.connect_ex(("::1", port)))

        wait_until(listens, "nghttpd to listen")
        return p, p4
    return start


class Client:
    """python3-h2 on one connection; requests of any :authority."""

    def __init__(self, s):
        self.socket = s
        self.h2 = h2.connection.H2Connection(h2.config.H2Configuration(
            validate_outbound_headers=False, normalize_outbound_headers=False))
        self.rest = b""
        self.h2.initiate_connection()
        self.answers, self.resets, self.goaway = {}, {}, None
        self.closed = self.corked = False
        self.flush()

    def flush(self):
        if not self.corked:
            self.socket.sendall(self.h2.data_to_send())

    @contextlib.contextmanager
    def cork(self):
        """What is said within it goes out at once."""
        self.corked = True
        yield
        self.corked = False
        self.flush()

    def request(self, host, path="/small", method="GET", end=True, headers=()):
        stream = self.h2.get_next_available_stream_id()
        self.h2.send_headers(stream, [(":method", method), (":scheme", "http"),
                                      (":authority", host), (":path", path), *headers],
                             end_stream=end)
        self.flush()
        return stream

    def without_goaway(self, data):
        """h2 takes a GOAWAY for the end of everything; streams before it go on."""
        self.rest += data
        passed = b""
        while len(self.rest) >= 9 and len(self.rest) >= 9 + int.from_bytes(self.rest[:3], "big"):
            end = 9 + int.from_bytes(self.rest[:3], "big")
            frame, self.rest = self.rest[:end], self.rest[end:]
            if frame[3] == 7:
                self.goaway = (int.from_bytes(frame[13:17], "big"), int.from_bytes(frame[9:13], "big"))
            else:
                passed += frame
        return passed

    def step(self):
        data = self.socket.recv(65536)
        if not data:
            self.closed = True
            return
        for e in self.h2.receive_data(self.without_goaway(data)):
            if isinstance(e, h2.events.ResponseReceived):
                self.answers[e.stream_id] = [dict(e.headers)[b":status"].decode(), b"", False]
            elif isinstance(e, h2.events.DataReceived):
                self.answers[e.stream_id][1] += e.data
                self.h2.acknowledge_received_data(e.flow_controlled_length, e.stream_id)
            elif isinstance(e, h2.events.StreamEnded):
                self.answers[e.stream_id][2] = True
            elif isinstance(e, h2.events.StreamReset):
                self.resets[e.stream_id] = int(e.error_code)
        self.flush()

    def until(self, condition):
        while not condition():
            assert not self.closed, (self.answers, self.resets, self.goaway)
            self.step()

    def answer(self, stream):
        self.until(lambda: self.answers.get(stream, [0, 0, 0])[2])
        return self.answers[stream][:2]


def test_curl(world, proxy, nghttpd, family):
    nghttpd()
    url = f"http://{authority(family)}/small"
    through = ("--http2-prior-knowledge", "--connect-to", "::127.0.0.1:9001")
    for _ in range(2):
        assert curl(world, *through, url).stdout == "hello"
    m = proxy.settled("outbound", 2)
    assert m.by("http_client_request_duration_seconds_count", "network_protocol_version") == {
        "2": 2}
    assert m.by("sluice_connections_closed_total", "server_address") == {OUTSIDE[family]: 2}
    assert m.by("sluice_connections_closed_total", "protocol") == {"http2": 2}


def test_h2load(world, proxy, nghttpd):
    """Many streams over several connections, counted exactly."""
    nghttpd()
    done = subprocess.run(
        ["h2load", "-n", "2000", "-c", "10", "-m", "20", "--connect-to=127.0.0.1:9001",
         f"http://{authority(4)}/small"], capture_output=True, text=True, timeout=2 * PATIENCE, check=True,
        preexec_fn=child_setup(world.pod, uid=1000))
    assert "2000 succeeded, 0 failed" in done.stdout, done.stdout
    m = proxy.settled("outbound", 10)
    assert m.sum("http_client_request_duration_seconds_count",
                 http_response_status_code="200") == 2000


def test_large_answers_at_once(world, proxy, nghttpd):
    nghttpd()
    c = Client(connect(world))
    streams = [c.request(authority(4), "/large") for _ in range(5)]
    for stream in streams:
        assert c.answer(stream) == ["200", bytes(range(256)) * 4096]


def test_another_host_is_left_to_another_connection(world, proxy, nghttpd):
    """GOAWAY without it; what was begun goes on to its end, large as it is."""
    servers = nghttpd()
    other = authority(4, where=OUTSIDE_NEAR)
    c = Client(connect(world))
    first = c.request(authority(4), "/large")
    c.until(lambda: first in c.answers)
    foreign = c.request(other, "/secret")
    c.until(lambda: c.goaway)
    assert c.goaway == (0, first)
    assert c.answer(first) == ["200", bytes(range(256)) * 4096]
    assert foreign not in c.answers
    assert not any("secret" in line for s in servers for line in s.lines)
    again = Client(connect(world))
    assert again.answer(again.request(other)) == ["200", b"hello"]
    again.socket.close()
    c.socket.close()
    m = proxy.settled("outbound", 2)
    assert m.sum("http_client_request_duration_seconds_count") == 2


def test_the_same_host_in_another_spelling(world, proxy, nghttpd):
    nghttpd(80)
    c = Client(connect(world))
    for host in (OUTSIDE[4], f"{OUTSIDE[4]}:80", f"{OUTSIDE[4]}:"):
        assert c.answer(c.request(host)) == ["200", b"hello"]
    assert c.goaway is None


def test_content_for_a_host_that_is_left_out(world, proxy, nghttpd):
    """It is dropped, and the connection's window does not shrink."""
    nghttpd()
    c = Client(connect(world))
    first = c.request(authority(4), method="POST", end=False)
    foreign = c.request(authority(4, where=OUTSIDE_NEAR), method="POST", end=False)
    c.h2.send_data(foreign, b"x" * 10000)
    c.flush()
    c.until(lambda: c.goaway and c.h2.outbound_flow_control_window >= 65535)
    c.h2.send_data(first, b"y" * 10000)
    c.h2.end_stream(first)
    c.flush()
    assert c.answer(first)[0] in ("200", "405")


def test_trailers_behind_a_host_that_is_left_out(world, proxy, nghttpd):
    """The server's table of headers is behind: their stream ends, and no other."""
    nghttpd()
    c = Client(connect(world))
    first = c.request(authority(4), method="POST", end=False)
    second = c.request(authority(4), "/large")
    c.request(authority(4, where=OUTSIDE_NEAR), headers=[("x-new", "y")])
    c.until(lambda: c.goaway)
    c.h2.send_headers(first, [("x-trailer", "z")], end_stream=True)
    c.flush()
    c.until(lambda: first in c.resets)
    assert c.resets == {first: 2}
    assert c.answer(second)[1] == bytes(range(256)) * 4096


@pytest.mark.parametrize("host,status", [("127.0.0.1:80", "403"), (f"{OUTSIDE[4]}:81", "502"),
                                         ("a b", "400"), (f"{OUTSIDE[4]}:9901", "403")])
def test_failures(world, proxy, host, status):
    """An answer to the request, and a GOAWAY behind it."""
    c = Client(connect(world))
    stream = c.request(host)
    assert c.answer(stream)[0] == status
    c.until(lambda: c.goaway)
    assert c.goaway == (0, stream)
    c.until(lambda: c.closed)


def test_connect_is_for_http1(world, proxy, nghttpd):
    nghttpd()
    c = Client(connect(world))
    stream = c.h2.get_next_available_stream_id()
    c.h2.send_headers(stream, [(":method", "CONNECT"), (":authority", authority(4))])
    c.flush()
    assert c.answer(stream)[0] == "400"


@pytest.mark.parametrize("frames", [
    b"\0\0\x01\x09\0\0\0\0\1x", b"\0\0\x01\x01\x04\0\0\0\2x", b"\0\0\x01\x01\x04\0\0\0\1\xff",
    b"\0\0\x01\x01\x0c\0\0\0\1\x05", b"\0\0\x01\x01\0\0\0\0\1\x82\0\0\0\0\0\0\0\0\1"])
def test_what_is_not_http2(world, proxy, frames):
    """Frames that cannot be end the connection with a GOAWAY."""
    s = connect(world)
    s.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0" + frames)
    data = b""
    while more := s.recv(1000):
        data += more
    assert data == b"\0\0\0\4\0\0\0\0\0" + b"\0\0\x08\x07\0\0\0\0\0\0\0\0\0\0\0\0\1"


@pytest.mark.parametrize("pieces", [1, 7])
def test_in_pieces(world, proxy, nghttpd, pieces):
    nghttpd()
    s = connect(world)
    c = Client(s)
    c.flush = lambda: [s.sendall(data[i:i + pieces]) for data in [c.h2.data_to_send()]
                       for i in range(0, len(data), pieces)]
    for _ in range(3):
        assert c.answer(c.request(authority(4), headers=[("x-long", "y" * 3000)])) == [
            "200", b"hello"]


def test_grpc(world, proxy, family):
    """A client that waits for the server's SETTINGS before it speaks, and streams of all kinds."""
    server = world.keep(Process([sys.executable, str(PEER), "server", "50051"],
                                netns=world.client), "end")
    server.wait_line("ready")
    client = world.keep(Process([sys.executable, str(CALLS), authority(family, 50051)],
                                netns=world.pod, uid=1000), "end")
    assert client.wait() == 0, client.output
    assert client.lines[-1] == "OK 20"
    m = proxy.settled("outbound", 1)
    assert m.by("rpc_client_call_duration_seconds_count", "rpc_response_status_code") == {
        "OK": 20}


def test_redirected_by_authority(world, start_proxy, nghttpd, family):
    """With --outbound-mode=host a redirected client, too, goes where its :authority says."""
    nghttpd()
    sluice(world.pod, "apply", PATIENT)
    start_proxy(PATIENT, "--outbound-mode=host").wait_armed()
    s = world.keep(world.pod.socket(family, uid=1000))
    s.connect((OUTSIDE_NEAR[family], 99))
    c = Client(s)
    assert c.answer(c.request(authority(family))) == ["200", b"hello"]


# ---- Frames that no library makes ----

def frame(kind, flags=0, stream=0, payload=b""):
    return b"".join((len(payload).to_bytes(3, "big"), bytes([kind, flags]),
                     stream.to_bytes(4, "big"), payload))


def request(stream, host):
    """A whole GET, without Huffman codes and tables."""
    return frame(HEADERS, WHOLE, stream, b"\x82\x86\x84\x01" + bytes([len(host)]) + host.encode())


def trailers(stream):
    return frame(HEADERS, WHOLE, stream, b"\0\1x\1y")


def goaway(last, error=0):
    return frame(GOAWAY, 0, 0, last.to_bytes(4, "big") + error.to_bytes(4, "big"))


class Raw:
    """A client of frames; those that come, as (kind, stream, payload)."""

    def __init__(self, world, first=b""):
        self.socket = connect(world)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.rest = b""
        self.socket.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + frame(SETTINGS) + first)

    def send(self, *frames):
        self.socket.sendall(b"".join(frames))

    def has(self, data):
        """Until these bytes are among those that no frame was made of yet."""
        while data not in self.rest:
            self.rest += (more := self.socket.recv(65536))
            assert more, self.rest

    def frames(self, last=None):
        """Up to the last one wanted, or the end."""
        while True:
            while len(self.rest) < 9 or len(self.rest) < 9 + int.from_bytes(self.rest[:3], "big"):
                more = b""
                with contextlib.suppress(ConnectionResetError):
                    more = self.socket.recv(65536)
                if not more:
                    assert last is None, "the connection ended"
                    return
                self.rest += more
            end = 9 + int.from_bytes(self.rest[:3], "big")
            head, payload, self.rest = self.rest[:9], self.rest[9:end], self.rest[end:]
            yield head[3], int.from_bytes(head[5:9], "big"), payload
            if (head[3], payload) == last:
                return


def lasts(frames):
    return [int.from_bytes(payload[:4], "big") for kind, _, payload in frames if kind == GOAWAY]


@pytest.fixture
def answering(world):
    """A server: `first` at once, `then` when it has read the mark; and what it has read."""
    def start(first, then=b""):
        taken = bytearray()

        def serve(s):
            s.sendall(frame(SETTINGS) + first)
            marked = False
            while data := s.recv(65536):
                taken.extend(data)
                if not marked and MARK in taken:
                    marked = True
                    s.sendall(then)

        server = world.keep(Server(world.client, 4, PORT, serve))
        return server, taken
    return start


def test_frames_before_the_first_request(world, proxy):
    """They wait for a server: 128 KiB of them, counted, and not one more."""
    piece = frame(UNKNOWN, payload=bytes(16384))
    c = Raw(world, piece * 7)
    wait_until(lambda: proxy.metrics().sum("sluice_backlog_bytes") >= 7 * len(piece),
               "what waits to be counted")
    c.send(piece)
    assert list(c.frames()) == [(SETTINGS, 0, b""), (GOAWAY, 0, goaway(0, 11)[9:])]
    wait_until(lambda: proxy.metrics().sum("sluice_backlog_bytes") == 0, "it to be forgotten")


def test_frames_before_the_first_request_are_passed_on(world, proxy, answering):
    """As they are, and in order, when there is a server; then nothing waits any more."""
    server, taken = answering(b"", frame(PING, 1, 0, MARK))
    before = b"".join(frame(UNKNOWN, payload=bytes([n]) * 16000) for n in range(7))
    c = Raw(world, before)
    c.send(request(1, authority(4)), frame(PING, 0, 0, MARK))
    assert list(c.frames((PING, MARK)))[-1] == (PING, 0, MARK)
    assert proxy.metrics().sum("sluice_backlog_bytes") == 0
    c.socket.close()
    server.wait()
    assert before + request(1, authority(4)) in bytes(taken)


def test_content_that_is_left_out_while_the_server_is_within_a_frame(world, proxy, answering):
    """One WINDOW_UPDATE says it all, however many frames it were."""
    answering(frame(DATA, 0, 1, b"begun" + bytes(100))[:20],
              frame(DATA, 0, 1, b"begun" + bytes(100))[20:])
    c = Raw(world, request(1, authority(4)))
    c.has(b"begun")
    c.send(request(3, authority(4, where=OUTSIDE_NEAR)))
    for _ in range(10):
        c.send(frame(DATA, 0, 3, b"x") * 5000)
    c.send(frame(PING, 0, 0, MARK))
    came = list(c.frames((WINDOW_UPDATE, (50000).to_bytes(4, "big"))))
    assert [kind for kind, _, _ in came] == [SETTINGS, SETTINGS, DATA, GOAWAY, WINDOW_UPDATE]
    assert lasts(came) == [1]


def test_trailers_without_end_while_the_server_is_within_a_frame(world, proxy, answering):
    """The resets that they mean wait for its end: some of them."""
    server, _ = answering(frame(DATA, 0, 1, b"begun" + bytes(100))[:20])
    c = Raw(world, request(1, authority(4)))
    c.has(b"begun")
    c.send(request(3, authority(4, where=OUTSIDE_NEAR)), trailers(1) * 2000)
    assert [kind for kind, _, _ in c.frames()] == [SETTINGS, SETTINGS]
    server.wait()
    wait_until(lambda: proxy.metrics().sum("sluice_backlog_bytes") == 0, "them to be forgotten")


@pytest.mark.parametrize("cut", [0, 9, 13, 17])
def test_no_goaway_takes_back_an_earlier_one(world, proxy, answering, cut):
    """RFC 9113 sect. 6.8: also where the server's is under way while the proxy has one to send."""
    marked = frame(PING, 1, 0, MARK)
    answering(marked + goaway(1)[:cut], goaway(1)[cut:] + marked)
    c = Raw(world, b"".join(request(stream, authority(4)) for stream in (1, 3, 5)))
    c.has(marked + goaway(1)[:cut])
    c.send(request(7, authority(4, where=OUTSIDE_NEAR)), frame(PING, 0, 0, MARK))
    came = list(c.frames((PING, MARK)))
    came += list(c.frames((PING, MARK)))
    c.send(frame(CONTINUATION, 0, 1))
    came += list(c.frames())
    assert lasts(came) == ([5, 1, 1] if cut == 0 else [1, 1, 1])


@pytest.mark.parametrize("near", [False, True])
def test_a_request_on_an_older_stream(world, proxy, answering, near):
    """RFC 9113 sect. 5.1.1: it is no trailers, so it may not pass for whomever it is."""
    server, taken = answering(frame(PING, 1, 0, MARK))
    c = Raw(world, request(5, authority(4)))
    c.has(MARK)
    c.send(request(3, authority(4, where=OUTSIDE_NEAR if near else OUTSIDE)))
    assert list(c.frames())[-1] == (GOAWAY, 0, goaway(5, 1)[9:])
    server.wait()
    assert taken.count(b"\x82\x86\x84") == 1
