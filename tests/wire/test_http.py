# SPDX-License-Identifier: GPL-2.0-or-later
"""HTTP through the proxy to a real nginx: the proxy's counts equal the client's, exactly."""
import collections
import contextlib

from lib.rawhttp import RawHttp


class Counting:
    """Runs exchanges and counts what the metrics must say."""

    def __init__(self, side, family, port=8080):
        self.side, self.family, self.port = side, family, port
        self.requests = collections.Counter()  # (method, status, version)
        self.request_body = self.response_body = 0
        self.sent = self.received = self.connections = 0

    @contextlib.contextmanager
    def connection(self):
        http = RawHttp(self.side.connect(self.family, self.port))
        self.connections += 1
        try:
            yield http
        finally:
            http.close()
            self.sent += http.sent
            self.received += http.received

    def took(self, http, method, version="1.1", body=b"", wire_body=None):
        """Reads the response to a request that was sent."""
        status, answer = http.response(method)
        self.requests[method, str(status), version] += 1
        self.request_body += len(body)
        self.response_body += len(answer) if wire_body is None else wire_body
        return status, answer

    def do(self, http, method, path, body=b"", headers="", version="1.1"):
        http.request(method, path, body, headers, version)
        return self.took(http, method, version, body)

    def check(self, proxy):
        """Everything the client counted is what the proxy measured."""
        m = proxy.settled(self.side.direction, self.connections)
        name = f"{self.side.http}_request_duration_seconds"
        counted = collections.Counter()
        for labels, value in m.find(f"{name}_count"):
            assert labels["server_port"] == str(self.port), labels
            counted[labels["http_request_method"], labels["http_response_status_code"],
                    labels["network_protocol_version"]] += int(value)
        assert counted == self.requests
        infinite = m.sum(f"{name}_bucket", le="+Inf")
        assert infinite == sum(self.requests.values())
        body = f"{self.side.http}_{{}}_body_size_bytes_sum"
        assert m.sum(body.format("request")) == self.request_body
        assert m.sum(body.format("response")) == self.response_body
        assert m.sum(f"{self.side.http}_active_requests") == 0
        flow = {"direction": self.side.direction}
        assert m.sum("sluice_connections_opened_total", **flow) == self.connections
        assert m.by("sluice_connections_closed_total", "outcome", **flow) == {
            "closed": self.connections}
        assert m.by("sluice_connections_closed_total", "protocol", **flow) == {
            "http1": self.connections}
        assert m.sum("sluice_bytes_total", way="to_server", **flow) == self.sent
        assert m.sum("sluice_bytes_total", way="to_client", **flow) == self.received
        assert m.sum("sluice_observer_lost_total") == 0
        other = "outbound" if self.side.direction == "inbound" else "inbound"
        assert m.sum("sluice_connections_opened_total", direction=other) == 0, \
            "the proxy's own connections were redirected"
        return m


def test_counts_of_every_kind(side, family, proxy, nginx):
    nginx(side.server).root.joinpath("file").write_bytes(b"0123456789" * 5000)
    c = Counting(side, family)
    for _ in range(20):
        with c.connection() as http:
            assert c.do(http, "GET", "/hello") == (200, b"hello\n")
            assert c.do(http, "GET", "/file") == (200, b"0123456789" * 5000)
            assert c.do(http, "HEAD", "/file") == (200, b"")
            assert c.do(http, "GET", "/nothing")[0] == 404
            assert c.do(http, "POST", "/post", b"x" * 3000) == (200, b"taken\n")
            assert c.do(http, "PUT", "/hello", b"y")[0] == 200
            assert c.do(http, "GET", "/empty") == (204, b"")
            assert c.do(http, "GET", "/moved")[0] == 302
            assert c.do(http, "GET", "/broken")[0] == 503
            assert c.do(http, "GET", "/hello")[0] == 200
    m = c.check(proxy)
    errors = m.by(f"{side.http}_request_duration_seconds_count", "error_type")
    expected = {None: 160, "503": 20} if side.direction == "inbound" else {
        None: 160, "503": 20, "404": 20}
    expected[None] = 200 - sum(v for k, v in expected.items() if k)
    assert errors == expected


def test_pipelined(side, family, proxy, nginx):
    nginx(side.server)
    c = Counting(side, family)
    kinds = [("GET", "/hello"), ("HEAD", "/hello"), ("GET", "/nothing"), ("POST", "/hello")]
    with c.connection() as http:
        for _ in range(5):
            for method, path in kinds * 4:
                http.request(method, path)
            for method, _ in kinds * 4:
                c.took(http, method)
    c.check(proxy)


def test_chunked_both_ways(side, proxy, nginx):
    nginx(side.server).root.joinpath("file").write_bytes(b"0123456789" * 50000)
    c = Counting(side, 4)
    with c.connection() as http:
        for _ in range(5):
            http.request("GET", "/file", headers="Accept-Encoding: gzip\r\n")
            assert c.took(http, "GET")[0] == 200
            http.request("POST", "/post", headers="Transfer-Encoding: chunked\r\n")
            http.send(b"3\r\nabc\r\n5;x=y\r\ndefgh\r\n0\r\nTrailer: 1\r\n\r\n")
            assert c.took(http, "POST", body=b"abcdefgh") == (200, b"taken\n")
    c.check(proxy)


def test_byte_by_byte(side, proxy, nginx):
    nginx(side.server)
    c = Counting(side, 4)
    with c.connection() as http:
        http.socket.setsockopt(6, 1, 1)  # TCP_NODELAY
        for byte in b"POST /hello HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nbody":
            http.send(bytes([byte]))
        assert c.took(http, "POST", body=b"body") == (200, b"hello\n")
    c.check(proxy)


def test_http_1_0_and_an_end_by_close(side, proxy, nginx):
    nginx(side.server).root.joinpath("file").write_bytes(b"0123456789" * 5000)
    c = Counting(side, 4)
    for _ in range(5):
        with c.connection() as http:
            assert c.do(http, "GET", "/file", version="1.0")[0] == 200
            assert http.socket.recv(1) == b""
    with c.connection() as http:
        c.do(http, "GET", "/hello", headers="Connection: close\r\n")
        assert http.socket.recv(1) == b""
    c.check(proxy)


def test_100_continue_counts_once(side, proxy, nginx):
    nginx(side.server)
    c = Counting(side, 4)
    with c.connection() as http:
        http.send(b"POST /post HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n"
                  b"Expect: 100-continue\r\n\r\n")
        assert http.response()[0] == 100
        http.send(b"body")
        assert c.took(http, "POST", body=b"body") == (200, b"taken\n")
    c.check(proxy)


def test_outbound_destinations_have_names(world, proxy, nginx):
    """The client's Host for a destination that it names, the address where it names none."""
    nginx(world.client)
    for host, count in (("web.example", 3), ("API.Example:8080", 2)):
        with world.pod.socket(uid=1000) as s:
            s.connect(("10.77.0.1", 8080))
            http = RawHttp(s)
            for _ in range(count):
                http.request("GET", "/hello", host=host)
                assert http.response()[0] == 200
    m = proxy.settled("outbound")
    names = m.by("http_client_request_duration_seconds_count", "server_address")
    assert names == {"web.example": 3, "api.example": 2}


def test_the_proxy_user_is_not_redirected(world, proxy, nginx, family):
    nginx(world.client)
    address = {4: "10.77.0.1", 6: "fd77::1"}[family]
    for uid, counted in ((1337, 0), (1000, 1)):
        with world.pod.socket(family, uid=uid) as s:
            s.connect((address, 8080))
            http = RawHttp(s)
            http.request("GET", "/hello")
            assert http.response() == (200, b"hello\n")
        assert proxy.settled(opened=counted).sum("sluice_connections_opened_total") == counted
