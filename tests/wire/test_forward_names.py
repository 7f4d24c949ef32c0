# SPDX-License-Identifier: GPL-2.0-or-later
"""Names in the forward proxy where A or AAAA is late, broken, or never answered (RFC 8305)."""
import socket
import time

import pytest

from lib.dns import A, AAAA
from lib.proc import wait_until
from lib.servers import Server
from lib.world import OUTSIDE

from wire.conftest import PATIENT
from wire.test_forward import PORT, http
from wire.test_host_mode import Zone, get

TYPES = {4: A, 6: AAAA}
OTHER = {4: 6, 6: 4}


@pytest.fixture
def zone(world):
    return Zone(world)


@pytest.fixture
def proxy(start_proxy, zone):
    return start_proxy(PATIENT, zone.option)


@pytest.fixture
def serve(world):
    """Servers that say who they are, in some families."""
    def start(*families):
        def answer(s):
            name = s.getsockname()[0].encode()
            while s.recv(1000):
                s.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(name), name))

        for family in families:
            world.keep(Server(world.client, family, PORT, answer))
    return start


def where(world, name):
    """Which address a new client is served from."""
    c = http(world)
    status, body = get(c, f"{name}:{PORT}")
    c.close()
    assert status == 200, body
    return body.decode()


def told(proxy):
    """Names that had addresses so far."""
    return proxy.metrics().sum("sluice_dns_queries_total", question="address", result="answered")


def ask_for(world, name):
    c = http(world)
    c.request("GET", "/", host=f"{name}:{PORT}")
    return c


def drop_syns(world, family):
    world.client.nft(f"table {'ip' if family == 4 else 'ip6'} t {{ chain c {{ "
                     "type filter hook input priority 0; "
                     f"{'ip' if family == 4 else 'ip6'} daddr {OUTSIDE[family]} "
                     f"tcp dport {PORT} drop; }} }}")


def undisturbed(zone, late, attempt):
    """
    Runs `attempt(name)` before the question of that type is repeated, which is after two seconds.
    A machine that stands still for so long is given another name.
    """
    for n in range(5):
        name = f"n{n}.example.org"
        zone.names[name] = [OUTSIDE[4], OUTSIDE[6]]
        try:
            attempt(name)
        except (AssertionError, OSError):
            if zone.asked(name, late) == 1:
                raise
        if zone.asked(name, late) == 1:
            return
    pytest.fail("each time the question was asked twice")


def test_a_family_that_is_never_answered(world, proxy, zone, serve, family):
    """The other is used."""
    serve(4, 6)
    lost = TYPES[OTHER[family]]
    zone.silent = {lost}

    def attempt(name):
        assert where(world, name) == OUTSIDE[family]

    undisturbed(zone, lost, attempt)


def test_it_is_not_asked_for_again(world, proxy, zone, serve, family):
    """But for its one repetition, for ten seconds at least, though the TTL is over."""
    serve(4, 6)
    zone.ttl = 1
    zone.names["web.example.org"] = [OUTSIDE[4], OUTSIDE[6]]
    found, lost = TYPES[family], TYPES[OTHER[family]]
    zone.silent = {lost}
    began = time.monotonic()

    def renewed():
        assert where(world, "web.example.org") == OUTSIDE[family]
        return zone.asked("web.example.org", found) >= 4

    wait_until(renewed, "the TTL to be over three times", 40)
    asked = zone.asked("web.example.org", lost)
    assert asked <= 2 * (1 + (time.monotonic() - began) // 10)


def test_a_family_that_fails(world, proxy, zone, serve, family):
    serve(4, 6)
    zone.names["web.example.org"] = [OUTSIDE[4], OUTSIDE[6]]
    zone.codes = {TYPES[OTHER[family]]: 2}
    for _ in range(3):
        assert where(world, "web.example.org") == OUTSIDE[family]


def test_a_late_answer_completes_what_is_known(world, proxy, zone, serve):
    """Who comes before it goes by IPv4, who comes after it by IPv6, and nothing is asked again."""
    serve(4, 6)

    def attempt(name):
        zone.holding = {AAAA}
        assert where(world, name) == OUTSIDE[4]
        zone.release()
        wait_until(lambda: where(world, name) == OUTSIDE[6], "IPv6 to be used")
        assert zone.asked(name, A) == 1

    undisturbed(zone, AAAA, attempt)


def test_late_ipv6_when_ipv4_leads_nowhere(world, proxy, zone, serve):
    """The client is being connected by then."""
    serve(6)
    drop_syns(world, 4)

    def attempt(name):
        before = told(proxy)
        zone.holding = {AAAA}
        c = ask_for(world, name)
        wait_until(lambda: told(proxy) == before + 1, "its IPv4 address")
        zone.release()
        assert c.response() == (200, OUTSIDE[6].encode())

    undisturbed(zone, AAAA, attempt)


@pytest.mark.parametrize("nowhere", ["refuses", "drops", "forbidden"])
def test_late_ipv4_when_ipv6_leads_nowhere(world, proxy, zone, serve, nowhere):
    """Nothing has failed before the other family has."""
    serve(4)
    if nowhere == "drops":
        drop_syns(world, 6)

    def attempt(name):
        if nowhere == "forbidden":
            zone.names[name] = [OUTSIDE[4], "::1"]
        before = told(proxy)
        zone.holding = {A}
        c = ask_for(world, name)
        wait_until(lambda: told(proxy) == before + 1, "its IPv6 address")
        zone.release()
        assert c.response() == (200, OUTSIDE[4].encode())

    undisturbed(zone, A, attempt)


def test_neither_leads_anywhere(world, proxy, zone):
    """Each family refuses, the second one comes late: one failure, told once."""
    def attempt(name):
        before = told(proxy)
        zone.holding = {A}
        c = ask_for(world, name)
        wait_until(lambda: told(proxy) == before + 1, "its IPv6 address")
        zone.release()
        assert c.response()[0] == 502
        c.request("GET", "/", host=f"{name}:{PORT}")  # all is known
        assert c.response()[0] == 502
        c.close()

    undisturbed(zone, A, attempt)
    m = proxy.settled("outbound")
    closed = m.by("sluice_connections_closed_total", "outcome")
    assert set(closed) == {"refused"} and closed["refused"] >= 2


@pytest.mark.parametrize("lost", [4, 6])
def test_search_domains(world, proxy, zone, serve, lost):
    """A name that does not exist is passed by though only one family says so."""
    serve(4, 6)
    zone.names["web.example"] = [OUTSIDE[4], OUTSIDE[6]]
    zone.silent = {TYPES[lost]}
    assert where(world, "web") == OUTSIDE[OTHER[lost]]
    assert zone.asked("web.shop.example", TYPES[OTHER[lost]]) >= 1
    assert zone.asked("web") == 0
    assert get(http(world), "nobody")[0] == 502


def test_a_client_that_goes_before_the_late_answer(world, proxy, zone, serve):
    """What comes of it is for who comes next."""
    drop_syns(world, 4)
    serve(6)

    def attempt(name):
        before = told(proxy)
        zone.holding = {AAAA}
        c = ask_for(world, name)
        wait_until(lambda: told(proxy) == before + 1, "its IPv4 address")
        c.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        c.close()
        proxy.settled("outbound")
        zone.release()
        assert where(world, name) == OUTSIDE[6]

    undisturbed(zone, AAAA, attempt)
