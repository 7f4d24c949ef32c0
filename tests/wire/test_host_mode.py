# SPDX-License-Identifier: GPL-2.0-or-later
"""Names in the forward proxy, and --outbound-mode=host, which takes redirected clients by Host."""
import contextlib
import ipaddress
import json
import socket
import threading

import pytest

from lib.dns import A, AAAA, DnsServer, ResolvConf
from lib.patience import PATIENCE
from lib.proc import wait_until
from lib.rawhttp import RawHttp
from lib.servers import Server, read_all
from lib.sluice import sluice
from lib.world import CLIENT, OUTSIDE, OUTSIDE_FAR, OUTSIDE_NEAR, POD

from wire.conftest import PATIENT
from wire.test_forward import PORT, Echo, curl, http

HOST_MODE = "--outbound-mode=host"


class Zone:
    """A DNS server of what `names` says now: name -> addresses; [] exists without any."""

    def __init__(self, world):
        self.names = {}
        self.ttl = 30
        self.code = 0
        self.codes = {}  # by type
        self.silent = set()  # types
        self.holding = set()  # types that are answered with release()
        self._held = []
        self.server = world.keep(DnsServer(world.client, CLIENT[4], self._says))
        self.conf = world.keep(ResolvConf(CLIENT[4], search=("shop.example", "example")))

    def _says(self, question, tcp):
        assert not tcp
        if question.type in self.silent:
            return []
        if question.type in self.holding:
            self._held.append(question)
            return []
        return self._answer(question)

    def _answer(self, question):
        if code := self.codes.get(question.type, self.code):
            return [question.answer(code=code)]
        if question.name.lower() not in self.names:
            return [question.answer(code=3)]
        version = {A: 4, AAAA: 6}[question.type]
        return [question.answer(*(a.packed for a in map(ipaddress.ip_address,
                                                        self.names[question.name.lower()])
                                  if a.version == version), ttl=self.ttl)]

    def release(self):
        self.holding = set()
        for question in self._held:
            self.server.send(question, *self._answer(question))
        self._held = []

    def asked(self, name, of=None):
        return sum(q.name.lower() == name and of in (None, q.type)
                   for q in list(self.server.asked))

    @property
    def option(self):
        return f"--resolv-conf={self.conf.path}"


@pytest.fixture
def zone(world):
    return Zone(world)


@pytest.fixture
def proxy(start_proxy, zone):
    """Without any rules: for clients that ask for it."""
    return start_proxy(zone.option)


@pytest.fixture
def by_host(world, start_proxy, zone):
    """The pod redirected, and its connections taken by Host."""
    sluice(world.pod, "apply", PATIENT)
    p = start_proxy(PATIENT, HOST_MODE, zone.option)
    p.wait_armed()
    return p


@pytest.fixture
def echo(world):
    def start(family=4, port=PORT, name="echo", **kwargs):
        return world.keep(Echo(world.client, family, port, name, **kwargs))
    return start


def get(c, host, **kwargs):
    c.request("GET", "/", host=host, **kwargs)
    return c.response()


@pytest.mark.parametrize("addresses,peer", [
    ([OUTSIDE[4]], OUTSIDE[4]), ([OUTSIDE[6]], OUTSIDE[6]),
    ([OUTSIDE[4], OUTSIDE[6]], OUTSIDE[6])], ids=["v4-only", "v6-only", "both"])
def test_a_name(world, proxy, zone, addresses, peer):
    """By its addresses, IPv6 first; counted under its name, asked for once."""
    zone.names["web.example.org"] = addresses
    seen = []

    def serve(s):
        seen.append(s.getsockname()[0])
        while s.recv(1000):
            s.sendall(b"HTTP/1.1 204 x\r\n\r\n")

    for family in (4, 6):
        world.keep(Server(world.client, family, PORT, serve))
    for _ in range(3):
        c = http(world)
        assert get(c, f"Web.Example.ORG:{PORT}")[0] == 204
        c.close()
    assert seen == [peer] * 3
    m = proxy.settled("outbound", 3)
    for metric in ("sluice_connections_closed_total",
                   "http_client_request_duration_seconds_count"):
        assert m.by(metric, "server_address") == {"web.example.org": 3}
    assert zone.asked("web.example.org") == 2  # A and AAAA


def test_curl_by_name(world, proxy, zone, nginx):
    nginx(world.client)
    zone.names["web.shop.example"] = [OUTSIDE[4]]
    via = ("-x", "http://127.0.0.1:9001")
    assert curl(world, *via, f"http://web:{PORT}/hello").stdout == "hello\n"
    assert curl(world, *via, "--proxytunnel", f"http://web:{PORT}/hello").stdout == "hello\n"
    assert curl(world, *via, f"http://web.shop.example.:{PORT}/hello").stdout == "hello\n"
    assert curl(world, *via, "-o", "/dev/null", "-w", "%{http_code}",
                f"http://web.:{PORT}/hello").stdout == "502"


def test_names_that_are_none(world, proxy, zone):
    """502, remembered; the connection goes on."""
    c = http(world)
    zone.names["empty.example.org"] = []
    for name in ("nobody.example.org", "empty.example.org", "nobody.example.org"):
        status, body = get(c, name)
        assert status == 502 and b"name" in body
    assert zone.asked("nobody.example.org") == 2
    c.close()
    m = proxy.settled("outbound", 3)
    assert m.by("sluice_connections_closed_total", "outcome") == {"unresolved": 3}


def test_a_name_server_that_fails(world, proxy, zone):
    zone.code = 2
    c = http(world)
    assert get(c, "web.example.org")[0] == 502


def test_a_name_server_that_is_silent(world, start_proxy):
    conf = world.keep(ResolvConf("192.0.2.53", options="options timeout:1 attempts:1"))
    world.client.nft("table ip t { chain c { type filter hook input priority 0; "
                     "udp dport 53 drop; }; chain f { type filter hook forward priority 0; "
                     "udp dport 53 drop; }; }")
    start_proxy(f"--resolv-conf={conf.path}")
    c = http(world)
    status, body = get(c, "web.example.org")
    assert (status, body) == (504, b"sluice-proxy: no name server answers\n")


def test_a_dead_family(world, proxy, zone, echo):
    """IPv6 that leads nowhere costs a moment, not two minutes; IPv6 that refuses, nothing."""
    echo()
    world.client.nft("table ip6 t { chain c { type filter hook input priority 0; "
                     f"ip6 daddr {OUTSIDE[6]} tcp dport {PORT} drop; }}; }}")
    zone.names["dead.example.org"] = [OUTSIDE[4], OUTSIDE[6]]
    zone.names["refusing.example.org"] = [OUTSIDE[4], OUTSIDE_NEAR[6]]
    zone.names["several.example.org"] = [OUTSIDE[6], OUTSIDE_NEAR[6], OUTSIDE_FAR[6], OUTSIDE[4]]
    c = http(world)
    for name in ("dead", "refusing", "several"):
        status, body = get(c, f"{name}.example.org:{PORT}")
        assert status == 200 and body.startswith(b"echo")


@pytest.mark.parametrize("addresses", [["127.0.0.1"], ["::1"], [POD[4]], [POD[6]],
                                       ["169.254.169.254"], ["127.0.0.1", POD[4], "::1"],
                                       ["64:ff9b::7f00:1"], ["::ffff:10.77.0.2"]])
def test_names_of_where_nobody_is_taken(world, proxy, zone, addresses):
    zone.names["inside.example.org"] = addresses
    seen = world.keep(Server(world.pod, 4, PORT, lambda s: s.sendall(b"here")))
    c = http(world)
    assert get(c, f"inside.example.org:{PORT}")[0] == 403
    c.request("CONNECT", f"inside.example.org:{PORT}", host="x")
    assert c.response()[0] == 403
    assert len(seen._threads) == 1


def test_of_several_addresses_those_that_may_be_used(world, proxy, zone, echo):
    echo()
    zone.names["mixed.example.org"] = ["127.0.0.1", "::1", OUTSIDE[4]]
    assert get(http(world), f"mixed.example.org:{PORT}")[0] == 200


def test_a_name_that_changes_its_mind(world, proxy, zone, echo):
    """DNS rebinding: what was judged once is judged again with every resolution."""
    echo()
    zone.ttl = 0
    zone.names["fickle.example.org"] = [OUTSIDE[4]]
    c = http(world)
    assert get(c, f"fickle.example.org:{PORT}")[0] == 200
    asked = zone.asked("fickle.example.org")
    zone.names["fickle.example.org"] = ["127.0.0.1"]

    def judged_again():
        status = get(http(world), f"fickle.example.org:{PORT}")[0]
        assert status in ((200,) if zone.asked("fickle.example.org") == asked else (200, 403))
        return status == 403

    wait_until(judged_again, "the name to be asked for again")


def test_a_client_that_goes_while_its_host_is_looked_up(world, start_proxy):
    conf = world.keep(ResolvConf(CLIENT[4]))
    world.keep(world.client.socket(4, socket.SOCK_DGRAM)).bind((CLIENT[4], 53))  # says nothing
    proxy = start_proxy(f"--resolv-conf={conf.path}")
    for _ in range(5):
        c = http(world)
        c.request("GET", "/", host="web.example.org")
        wait_until(lambda: proxy.metrics().sum("sluice_connections_active") == 1, "the request")
        c.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        c.close()
        proxy.settled("outbound")
    m = proxy.settled("outbound", 5)
    assert m.by("sluice_connections_closed_total", "outcome") == {"reset_by_client": 5}
    assert m.by("sluice_connections_closed_total", "server_address") == {"web.example.org": 5}


# ---- Redirected ----


def redirected(world, family=4, port=PORT, where=OUTSIDE_NEAR):
    s = world.keep(world.pod.socket(family, uid=1000))
    s.connect((where[family], port))
    return s


def serve_name(s):
    """The address that the client wanted."""
    while s.recv(1000):
        name = s.getsockname()[0].encode()
        s.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(name), name))


def test_redirected_requests_go_where_host_says(world, by_host, zone, family):
    zone.names["one.example.org"] = [OUTSIDE[family]]
    zone.names["two.example.org"] = [OUTSIDE_FAR[family]]
    world.keep(Server(world.client, family, PORT, serve_name))
    c = RawHttp(redirected(world, family, port=99))
    for name, where in (("one", OUTSIDE), ("two", OUTSIDE_FAR), ("one", OUTSIDE)):
        assert get(c, f"{name}.example.org:{PORT}") == (200, where[family].encode())
    assert get(c, "127.0.0.1")[0] == 403
    c.close()
    m = by_host.settled("outbound", 4)
    assert m.by("sluice_connections_closed_total", "server_address") == {
        "one.example.org": 2, "two.example.org": 1, "127.0.0.1": 1}


def test_by_default_host_is_not_followed(world, start_proxy, zone, family):
    """CVE-2009-0801."""
    sluice(world.pod, "apply", PATIENT)
    start_proxy(PATIENT, zone.option).wait_armed()
    zone.names["other.example.org"] = [OUTSIDE_FAR[family]]
    world.keep(Server(world.client, family, PORT, serve_name))
    c = RawHttp(redirected(world, family))
    assert get(c, f"other.example.org:{PORT}") == (200, OUTSIDE_NEAR[family].encode())
    assert zone.asked("other.example.org") == 0


@pytest.mark.parametrize("first", [b"\x16\x03\x01\x00\x05hello", b"*1\r\n$4\r\nPING\r\n",
                                   b"EHLO me\r\n", b"\0\0\0\x08"])
def test_redirected_but_not_http(world, by_host, family, first):
    """It goes where it was going, unchanged."""
    def serve(s):
        while data := s.recv(1000):
            s.sendall(s.getsockname()[0].encode() + b" " + data)

    world.keep(Server(world.client, family, PORT, serve))
    s = redirected(world, family)
    s.sendall(first)
    assert s.recv(1000) == OUTSIDE_NEAR[family].encode() + b" " + first
    s.shutdown(socket.SHUT_WR)
    assert read_all(s) == b""


def test_redirected_and_the_server_speaks_first(world, by_host, family):
    def serve(s):
        s.sendall(b"220 hello\r\n")
        s.sendall(s.recv(1000))

    world.keep(Server(world.client, family, 25, serve))
    s = redirected(world, family, port=25)
    assert s.recv(100) == b"220 hello\r\n"
    s.sendall(b"QUIT\r\n")
    assert s.recv(100) == b"QUIT\r\n"
    assert s.recv(1) == b""


def test_where_a_client_goes_by_itself_it_is_let(world, by_host):
    """A cloud's metadata service stays where it is for who connects to it; not for who names it."""
    world.client.ip("addr add 169.254.169.254/32 dev lo")
    world.keep(Server(world.client, 4, 80, serve_name))
    metadata = {4: "169.254.169.254"}
    c = RawHttp(redirected(world, port=80, where=metadata))
    assert get(c, "169.254.169.254") == (200, b"169.254.169.254")
    assert get(c, "169.254.169.254:81")[0] == 403
    c = RawHttp(redirected(world, port=80))
    assert get(c, "169.254.169.254")[0] == 403


def test_our_own_connections_are_not_followed_for_ever(world, start_proxy, zone):
    """Rules that do not name our uid send us what we send: that ends, and is counted."""
    sluice(world.pod, "apply", "--fail=closed", "--proxy-uid=4242")
    proxy = start_proxy(HOST_MODE, zone.option)
    world.keep(Server(world.client, 4, PORT, serve_name))
    c = RawHttp(redirected(world))
    with contextlib.suppress(ConnectionError, EOFError):
        get(c, f"{OUTSIDE[4]}:{PORT}")
    c.close()
    m = proxy.settled("outbound", 1)
    assert m.sum("sluice_connections_opened_total", direction="outbound") < 30


def test_many_hosts_at_once(world, start_proxy, zone, family):
    """Each of a hundred clients, at once and on two threads, gets what it asked for."""
    sluice(world.pod, "apply", PATIENT)
    by_host = start_proxy(PATIENT, HOST_MODE, zone.option, "--threads=2")
    by_host.wait_armed()
    world.keep(Server(world.client, family, PORT, serve_name))
    where = (OUTSIDE, OUTSIDE_NEAR, OUTSIDE_FAR)
    for n in range(50):
        zone.names[f"h{n}.example.org"] = [where[n % 3][family]]
    wrong = []

    def run(n):
        c = RawHttp(redirected(world, family))
        for i in range(n, n + 10):
            if get(c, f"h{i % 50}.example.org:{PORT}") != (200,
                                                          where[i % 50 % 3][family].encode()):
                wrong.append(i)
        c.close()

    threads = [threading.Thread(target=run, args=(n,)) for n in range(100)]
    for t in threads:
        t.start()
    for t in threads:
        t.join(2 * PATIENCE)
    assert not wrong
    m = by_host.settled("outbound", 1000)
    assert m.sum("http_client_request_duration_seconds_count") == 1000


def test_where_a_name_has_led(world, start_proxy, zone, echo):
    """/flows and the access log tell the address that was connected to, and none where none was."""
    proxy = start_proxy(zone.option, "--access-log=-")
    echo()
    zone.names["web.example.org"] = [OUTSIDE_NEAR[4]]
    c = http(world)
    assert get(c, "nobody.example.org")[0] == 502
    assert get(c, f"web.example.org:{PORT}")[0] == 200
    flow, = json.loads(proxy.get("/flows")[2])["flows"]
    assert flow["destination"] == flow["upstream"] == f"{OUTSIDE_NEAR[4]}:{PORT}"
    c.close()
    proxy.settled("outbound", 2)
    assert proxy.stop() == 0
    lines = [json.loads(line) for line in proxy.lines if line.startswith("{")]
    assert [(x["server_address"], x.get("destination")) for x in lines] == [
        ("nobody.example.org", None), ("web.example.org", f"{OUTSIDE_NEAR[4]}:{PORT}")]


def test_a_flow_whose_name_is_being_asked_for(world, start_proxy):
    conf = world.keep(ResolvConf(CLIENT[4]))
    world.keep(world.client.socket(4, socket.SOCK_DGRAM)).bind((CLIENT[4], 53))  # says nothing
    proxy = start_proxy(f"--resolv-conf={conf.path}")
    http(world).request("GET", "/", host="web.example.org")
    wait_until(lambda: proxy.metrics().sum("sluice_connections_active") == 1, "the request")
    flow, = json.loads(proxy.get("/flows")[2])["flows"]
    assert flow["destination"] is None and flow["upstream"] is None
