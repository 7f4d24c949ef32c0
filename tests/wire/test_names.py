# SPDX-License-Identifier: GPL-2.0-or-later
"""server_address: what DNS calls a private destination, what the client does, or its address.

Also how the proxy asks: not through itself, within bounds, and never at a flow's cost.
"""
import contextlib
import ssl
import threading

import pytest

from lib.dns import DnsServer, Dnsmasq, ResolvConf, encode, ptr_record
from lib.patience import PATIENCE
from lib.proc import wait_until
from lib.rawhttp import RawHttp
from lib.servers import Server
from lib.sluice import sluice
from lib.world import CLIENT, OUTSIDE

PATIENT = "--heartbeat-timeout=20s"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
REQUESTS = "http_client_request_duration_seconds_count"
CONNECTED = "sluice_connect_duration_seconds_count"
CLOSED = "sluice_connections_closed_total"
QUERIES = "sluice_dns_queries_total"


class Stage:
    """A pod with a proxy, and servers of HTTP for it on all addresses of its client."""

    def __init__(self, world, start_proxy):
        self.world = world
        self._start = start_proxy
        self.conf = world.keep(ResolvConf(CLIENT[4]))
        for family in (4, 6):
            world.keep(Server(world.client, family, 8080, self._serve))
        self.proxy = None

    @staticmethod
    def _serve(s):
        while s.recv(4000):
            s.sendall(OK)

    def dnsmasq(self, *records, **kwargs):
        return self.world.keep(Dnsmasq(self.world.client, CLIENT.values(), *records, **kwargs),
                               "end")

    def dns(self, says, address=CLIENT[4]):
        return self.world.keep(DnsServer(self.world.client, address, says))

    def start(self, *args):
        sluice(self.world.pod, "apply", PATIENT)
        self.proxy = self._start(PATIENT, f"--resolv-conf={self.conf.path}", *args)
        self.proxy.wait_armed()
        return self.proxy

    @contextlib.contextmanager
    def connected(self, address, port=8080):
        with self.world.pod.socket(6 if ":" in address else 4, uid=1000) as s:
            s.connect((address, port))
            yield s

    def request(self, address, host="host.example"):
        with self.connected(address) as s:
            http = RawHttp(s)
            http.request("GET", "/", host=host)
            assert http.response()[0] == 200

    def wait_asked(self, count=1, **labels):
        """Until that many questions have ended."""
        return wait_until(lambda: self.proxy.metrics().sum(QUERIES, **labels) >= count,
                          f"{count} answers of DNS")

    def wait_idle(self):
        """Until no question is under way."""
        wait_until(lambda: not self.proxy.metrics().sum("sluice_dns_queries_active"),
                   "all answers of DNS")

    def names_of(self, address, host="host.example"):
        """What a request's series are called, once DNS was asked: of requests and connections."""
        self.request(address, host)
        self.wait_asked()
        before = self.proxy.settled()
        self.request(address, host)
        m = self.proxy.settled(opened=2)
        return [next(name for name, n in m.by(metric, "server_address").items()
                     if n > before.by(metric, "server_address").get(name, 0))
                for metric in (REQUESTS, CLOSED)]


@pytest.fixture
def stage(world, start_proxy):
    return Stage(world, start_proxy)


@pytest.mark.parametrize("family", [4, 6])
@pytest.mark.parametrize("name,called", [
    ("web.shop.svc.cluster.local", "web.shop.svc.cluster.local"),
    ("WEB-0.Web.Shop.svc.cluster.local", "web.shop.svc.cluster.local"),
    ("10-77-0-1.shop.pod.cluster.local", "shop.pod.cluster.local"),
])
def test_a_private_destination_is_called_what_dns_calls_it(stage, family, name, called):
    dns = stage.dnsmasq(ptr_record(CLIENT[family], name))
    stage.start()
    assert stage.names_of(CLIENT[family]) == [called, called]
    m = stage.proxy.metrics()
    assert m.by(QUERIES, "result") == {"answered": 1}
    assert m.sum("sluice_dns_cache_entries", question="ptr") == 1
    assert m.sum("sluice_dns_queries_active") == 0
    assert len(dns.asked()) == 1, "the cache answers the second time"
    assert m.sum(REQUESTS) == 2


@pytest.mark.parametrize("records,host,called", [
    ([ptr_record(CLIENT[4], "web.elsewhere.example")], "Host.Example", "host.example"),
    ([ptr_record(CLIENT[4], "web_1.shop.svc.cluster.local")], "host.example:8080", "host.example"),
    ([], "host.example.", "host.example"),
    ([], "a_b.example", CLIENT[4]),
    ([], "[fd00::1]", CLIENT[4]),
    ([], "a" * 254, CLIENT[4]),
    ([], "", CLIENT[4]),
], ids=["elsewhere", "underscore", "none", "bad-host", "ipv6-host", "long-host", "no-host"])
def test_without_such_a_name_it_is_host_or_the_address(stage, records, host, called):
    stage.dnsmasq(*records)
    stage.start()
    assert stage.names_of(CLIENT[4], host)[0] == called


@pytest.mark.parametrize("family", [4, 6])
def test_a_public_destination_is_never_asked_for(stage, family):
    dns = stage.dnsmasq(ptr_record(OUTSIDE[family], "web.shop.svc.cluster.local"))
    stage.start()
    for host in ("a.example", "b.example"):
        stage.request(OUTSIDE[family], host)
    m = stage.proxy.settled(opened=2)
    assert m.by(REQUESTS, "server_address") == {"a.example": 1, "b.example": 1}
    assert dns.asked() == [] and m.find(QUERIES) == []


def test_a_destination_of_the_cluster_is_private(stage):
    stage.dnsmasq(ptr_record(OUTSIDE[4], "web.shop.svc.cluster.local"))
    stage.start("--cluster-cidrs=203.0.113.0/24,198.51.100.0/24")
    assert stage.names_of(OUTSIDE[4]) == ["web.shop.svc.cluster.local"] * 2


def test_tls_is_called_by_its_sni(stage):
    """A handshake that the server breaks off: the ClientHello is what counts."""
    stage.world.keep(Server(stage.world.client, 4, 8443, lambda s: s.recv(4000)))
    stage.start()
    for sni in ("Tls.example", "_tls.example"):
        with stage.connected(OUTSIDE[4], 8443) as s, contextlib.suppress(OSError):
            context = ssl.create_default_context()
            context.wrap_socket(s, server_hostname=sni)
    m = stage.proxy.settled(opened=2)
    assert m.by(CLOSED, "server_address") == {"tls.example": 1, OUTSIDE[4]: 1}


@pytest.mark.parametrize("off", ["no-ptr", "no-search"])
def test_it_can_be_turned_off(stage, off):
    dns = stage.dnsmasq(ptr_record(CLIENT[4], "web.shop.svc.cluster.local"))
    if off == "no-search":
        stage.conf.write(CLIENT[4], search=())
    stage.start(*(["--no-ptr"] if off == "no-ptr" else []))
    stage.request(CLIENT[4])
    stage.request(CLIENT[4])
    m = stage.proxy.settled(opened=2)
    assert m.by(REQUESTS, "server_address") == {"host.example": 2}
    assert dns.asked() == [] and m.find(QUERIES) == []


def test_a_long_connection_gets_its_name_when_it_is_known(stage):
    answered = threading.Event()

    def says(q, tcp):
        assert answered.wait(PATIENCE)
        return [q.answer(encode("web.shop.svc.cluster.local"))]

    stage.dns(says)
    stage.start()
    with stage.connected(CLIENT[4]) as s:
        http = RawHttp(s)
        for _ in range(2):
            http.request("GET", "/", host="host.example")
            assert http.response()[0] == 200
        answered.set()
        stage.wait_asked(result="answered")
        http.request("GET", "/", host="host.example")
        assert http.response()[0] == 200
        m = stage.proxy.metrics()
        assert m.by(REQUESTS, "server_address") == {"host.example": 2,
                                                    "web.shop.svc.cluster.local": 1}
    m = stage.proxy.settled()
    assert m.by(CLOSED, "server_address") == {"web.shop.svc.cluster.local": 1}


def test_the_time_to_connect_waits_for_a_name_but_not_for_ever(stage):
    """It is in the series of the request; without one, it is counted all the same."""
    stage.dnsmasq(ptr_record(CLIENT[4], "web.shop.svc.cluster.local"))
    stage.start()
    with stage.connected(OUTSIDE[4]):
        wait_until(lambda: stage.proxy.metrics().sum(CONNECTED, server_address=OUTSIDE[4]) == 1,
                   "the time to connect, of a connection without a request")
    stage.request(OUTSIDE[4], "host.example")
    stage.request(CLIENT[4])
    m = stage.proxy.settled(opened=3)
    assert m.by(CONNECTED, "server_address") == {
        OUTSIDE[4]: 1, **m.by(REQUESTS, "server_address")}


def test_its_own_questions_are_not_redirected_nor_counted(stage):
    """Over UDP, and over TCP where an answer is too long."""
    dns = stage.dns(lambda q, tcp: [q.answer(encode("web.shop.svc.cluster.local"))] if tcp
                    else [q.answer(truncated=True)])
    stage.start()
    assert stage.names_of(CLIENT[4]) == ["web.shop.svc.cluster.local"] * 2
    assert [peer[0] for peer in dns.tcp_peers] == ["10.77.0.2"]
    m = stage.proxy.metrics()
    assert m.by("sluice_connections_opened_total", "server_port") == {"8080": 2}
    assert m.by(QUERIES, "result") == {"answered": 1}


def lies(q, tcp):
    """Noise, another number, another question, a huge record; then the truth."""
    truth = q.answer(encode("web.shop.svc.cluster.local"))
    number = int.from_bytes(q.message[:2], "big")
    return [b"", b"\0", b"noise" * 200, q.answer(encode("evil.svc.cluster.local"), number=number + 1),
            q.answer(encode("evil.svc.cluster.local"), question=encode("other.example") +
                     q.question[-4:]), truth]


def test_lies_change_nothing(stage):
    stage.dns(lies)
    stage.start()
    assert stage.names_of(CLIENT[4]) == ["web.shop.svc.cluster.local"] * 2


@pytest.mark.parametrize("data", [
    b"", b"\xc0\x0c"[:1], b"\xc0\xff", b"\x3fshort", b"\xc0\x31" * 30,
    encode("a" * 63 + "." + "b" * 63 + "." + "c" * 63 + "." + "d" * 63),
    encode('"}\n.cluster.local'), b"\x0dcluster.local\0", b"\0" * 3000,
], ids=range(9))
def test_a_malformed_record_is_no_name(stage, data):
    stage.dns(lambda q, tcp: [q.answer(data)] if tcp or len(data) < 400
              else [q.answer(truncated=True)])
    stage.start()
    assert stage.names_of(CLIENT[4]) == ["host.example"] * 2


def test_of_many_names_the_same_is_taken_whatever_their_order(stage):
    names = ["a.elsewhere.example", "web.shop.svc.cluster.local", "api.shop.svc.cluster.local"]

    def says(q, tcp):
        names.append(names.pop(0))
        return [q.answer(*(encode(n) for n in names), ttl=0)]

    dns = stage.dns(says)
    stage.start()
    assert stage.names_of(CLIENT[4])[0] == "api.shop.svc.cluster.local"

    def asked_again():
        stage.request(CLIENT[4])
        return len(dns.asked) >= 3

    wait_until(asked_again, "its TTL to be over, twice")
    m = stage.proxy.settled()
    assert set(m.by(CLOSED, "server_address")) <= {"api.shop.svc.cluster.local", "host.example"}
    assert m.sum(CLOSED, server_address="host.example") <= 1, "only the first may not know"


def test_a_new_name_is_taken_when_the_old_ones_ttl_is_over(stage):
    name = ["old.shop.svc.cluster.local"]
    stage.dns(lambda q, tcp: [q.answer(encode(name[0]), ttl=1)])
    stage.start()
    assert stage.names_of(CLIENT[4])[0] == name[0]
    name[0] = "new.shop.svc.cluster.local"

    def renamed():
        stage.request(CLIENT[4])
        return stage.proxy.metrics().sum(REQUESTS, server_address=name[0])

    wait_until(renamed, "the new name")


def test_resolv_conf_is_read_again(stage):
    """A server that is told of later."""
    stage.conf.write("10.77.0.99")
    stage.dnsmasq(ptr_record(CLIENT[4], "web.shop.svc.cluster.local"))
    stage.start()
    stage.request(CLIENT[4])
    stage.wait_asked(question="ptr")
    stage.conf.write(CLIENT[4])

    def named():
        stage.request(CLIENT[4])
        return stage.proxy.metrics().sum(REQUESTS, server_address="web.shop.svc.cluster.local")

    wait_until(named, "the name by the new server")
    stage.proxy.wait_line(f"{stage.conf.path} has changed")


MANY = 300


@pytest.fixture
def many(stage):
    """More private destinations than questions may be under way."""
    stage.world.client.ip("route add local 10.99.0.0/16 dev lo")
    return [f"10.99.{n // 250}.{n % 250 + 1}" for n in range(MANY)]


def test_a_dead_server_costs_a_flow_nothing(stage, many):
    """It takes questions and says nothing."""
    dns = stage.dns(lambda q, tcp: [])
    stage.start()
    for address in many:
        stage.request(address)
    m = stage.proxy.settled(opened=MANY)
    assert m.by(REQUESTS, "server_address") == {"host.example": MANY}
    assert m.by(CLOSED, "outcome") == {"closed": MANY}
    assert m.sum("sluice_dns_queries_active") <= 100
    assert m.sum("sluice_dns_cache_entries") <= MANY
    # All are accounted for; none was asked more often than it is tried.
    stage.wait_asked(100, result="timeout")
    m = stage.proxy.metrics()
    assert set(m.by(QUERIES, "result")) == {"timeout", "limit"}
    assert len(dns.asked) <= 2 * (m.sum(QUERIES, result="timeout") +
                                  m.sum("sluice_dns_queries_active"))


def test_the_cache_is_bounded(stage):
    stage.world.client.ip("route add local 10.99.0.0/16 dev lo")
    stage.dns(lambda q, tcp: [q.answer(encode("x-" + q.name.replace(".", "-") +
                                              ".shop.svc.cluster.local"))])
    stage.start("--max-samples=3000")  # scrapes are short
    opened = 0

    def entries_after(count):
        nonlocal opened
        for n in range(opened, opened + count):
            with stage.connected(f"10.99.{n // 250}.{n % 250 + 1}"):
                pass
        opened += count
        stage.proxy.settled(opened=opened)
        stage.wait_idle()
        return stage.proxy.metrics().sum("sluice_dns_cache_entries")

    assert entries_after(50) == 50
    while entries_after(95) < 1000:  # fewer than questions may be under way
        assert opened < 4000
    assert entries_after(100) == 1000
    assert stage.proxy.metrics().sum(CLOSED) == opened


def test_invented_hosts_leave_room_for_names(stage):
    stage.dnsmasq(ptr_record(CLIENT[4], "web.shop.svc.cluster.local"))
    stage.start()
    with stage.connected(OUTSIDE[4]) as s:
        http = RawHttp(s)
        for n in range(150):
            http.request("GET", "/", host=f"h{n}.example")
            assert http.response()[0] == 200
    assert stage.names_of(CLIENT[4], "h0.example") == ["web.shop.svc.cluster.local"] * 2
    assert stage.proxy.metrics().sum(REQUESTS, server_address="_OTHER") == 50


def test_threads_ask_each_for_itself(stage):
    dns = stage.dnsmasq(ptr_record(CLIENT[4], "web.shop.svc.cluster.local"))
    stage.start("--threads=2")
    made = 0

    def named():
        nonlocal made
        stage.request(CLIENT[4])
        made += 1
        return made >= 40 and stage.proxy.metrics().sum(
            REQUESTS, server_address="web.shop.svc.cluster.local")

    wait_until(named, "the name")
    m = stage.proxy.settled(opened=made)
    assert 1 <= len(dns.asked()) <= 2
    assert m.sum(REQUESTS) == made


@pytest.mark.parametrize("argument,complaint", [
    ("--cluster-cidrs=10.0.0.0/33", "--cluster-cidrs: '10.0.0.0/33'"),
    ("--cluster-cidrs=", "--cluster-cidrs: "),
    (f"--resolv-conf={'a' * 4096}", "--resolv-conf: longer than 4095 characters"),
])
def test_bad_options_are_told(start_proxy, argument, complaint):
    p = start_proxy(argument, ready=False)
    assert p.wait() == 2
    assert complaint in p.output and len(p.lines) == 1
