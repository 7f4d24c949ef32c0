# SPDX-License-Identifier: GPL-2.0-or-later
"""Inbound by TPROXY, with the real proxy: the application sees the client, and nothing else changes.

Every test runs on both backends. The proxy has CAP_NET_RAW and nothing else.
"""
import hashlib
import json
import os
import socket

import pytest

from lib.patience import PATIENCE
from lib.proc import Process, wait_until
from lib.proxy import Proxy
from lib.randomly import times
from lib.servers import Server
from lib.sluice import DRIFT, FAILED, PROXY, SLUICE, environment, sluice
from lib.world import ANY, CLIENT, CLIENT_OTHER, LOOPBACK, OUTSIDE, POD, POD_NET1, PROXY_UID

pytestmark = pytest.mark.usefixtures("backend")

MODE = "--inbound-mode=tproxy"
# The proxy is alive until it is killed: a busy machine may let it starve for longer than the default.
ALIVE = "--heartbeat-timeout=20s"
TABLE = "29549"


def apply(world, *options, alive=ALIVE):
    return sluice(world.pod, "apply", MODE, alive, *options)


def start_proxy(world, *options, caps=("net_raw",)):
    """A proxy that the rules believe in."""
    proxy = world.keep(Proxy(world.pod, MODE, ALIVE, *options, caps=caps),
                       "end")
    wait_until(lambda: proxy.metrics().sum("sluice_armed"), "the redirect to be armed")
    return proxy


def from_client(answer, family):
    """Whether the application saw an address of the client's."""
    seen = answer["peer"][0].removeprefix("::ffff:")
    return answer["by"] == "app" and seen in (CLIENT[family], CLIENT_OTHER[family])


def opened(proxy, direction="inbound"):
    return proxy.metrics().sum("sluice_connections_opened_total", direction=direction)


def routing(pod):
    """Our routing rules and routes, of both families, and everybody else's rules."""
    rules = (pod.run(["ip", "rule"]) + pod.run(["ip", "-6", "rule"])).splitlines()
    routes = "".join(pod.run(["ip", flag, "route", "show", "table", "all"])
                     for flag in ("-4", "-6")).splitlines()
    ours = [line for line in rules if TABLE in line]
    return ours, [line for line in routes if f"table {TABLE}" in line], \
        [line for line in rules if TABLE not in line]


@pytest.fixture
def served(world):
    """A pod with an application on port 80 and a proxy by TPROXY."""
    world.app = world.witness()
    for family in (4, 6):
        world.app.listen(ANY[family], 80)
    apply(world)
    world.proxy = start_proxy(world)
    return world


def test_the_application_sees_the_client(served, family):
    for source in (CLIENT, CLIENT_OTHER):
        answer = served.inbound(POD[family], 80, source=(source[family], 0))
        assert answer["by"] == "app" and answer["peer"][0] == source[family]
    assert opened(served.proxy) == 2
    assert served.inbound(POD_NET1[family], 80)["peer"][0] == \
        {4: "10.78.0.1", 6: "fd78::1"}[family]
    assert opened(served.proxy) == 3


def test_the_client_sees_the_pod(served, family):
    """No address or port changes for it, and both ends see one another's bytes and ends."""
    def echo(s):
        while data := s.recv(65536):
            s.sendall(data)
        s.shutdown(socket.SHUT_WR)

    served.keep(Server(served.pod, family, 8080, echo))
    data = os.urandom(3 << 20)
    with served.client.socket(family) as c:
        c.connect((POD[family], 8080))
        assert c.getpeername()[:2] == (POD[family], 8080)
        received = hashlib.sha256()
        sent = 0
        while sent < len(data):
            part = data[sent:sent + (1 << 16)]
            c.sendall(part)
            sent += len(part)
            left = len(part)
            while left:
                got = c.recv(left)
                assert got
                received.update(got)
                left -= len(got)
        c.shutdown(socket.SHUT_WR)
        assert c.recv(1) == b""
    assert received.digest() == hashlib.sha256(data).digest()
    assert opened(served.proxy) == 1


def test_without_a_proxy_it_is_direct(world, family):
    world.witness().listen(ANY[family], 80)
    apply(world)
    assert from_client(world.inbound(POD[family], 80), family)


def test_after_a_crash_it_is_direct(served, family):
    apply(served, alive="--heartbeat-timeout=1s")
    served.proxy.kill_all()
    wait_until(lambda: served.inbound(POD[family], 80, timeout=1)["by"] == "app",
               "connections to go direct")


def test_a_closed_port_is_refused(served, family):
    assert served.inbound(POD[family], 81)["by"] == "refused"
    assert opened(served.proxy) == 0


def test_a_server_that_refuses_after_all(served, family):
    """A listener whose queue the kernel resets: the client gets the reset."""
    listener = served.pod.listen(ANY[family], 8081)
    with served.client.socket(family) as c:
        listener.close()
        with pytest.raises(OSError):
            c.connect((POD[family], 8081))


@pytest.mark.parametrize("where,by", [("address", "app"), ("dual", "app"),
                                      ("loopback", "refused")])
def test_listeners_of_every_kind(served, family, where, by):
    address = {"address": POD[family], "dual": "dual", "loopback": LOOPBACK[family]}[where]
    served.app.listen(address, 8082)
    answer = served.inbound(POD[family], 8082)
    assert answer["by"] == by
    assert by != "app" or from_client(answer, family)
    assert opened(served.proxy) == (by == "app")


def test_syn_cookies(served, family):
    """The ACK that answers a cookie finds the proxy, not the application."""
    served.pod.sysctl("net/ipv4/tcp_syncookies", 2)
    for n in range(20):
        assert from_client(served.inbound(POD[family], 80), family)
        assert opened(served.proxy) == n + 1


def test_one_client_port_to_two_ports(served, family):
    """Both at once, kept open: nothing is rewritten that could collide."""
    def hold(s):
        s.sendall(b"x")
        s.recv(1)

    ports = (8080, 8081, 8082)
    for port in ports:
        served.keep(Server(served.pod, family, port, hold))
    for _ in range(20):
        clients = []
        source = (CLIENT[family], 0)
        for port in ports:
            c = served.client.socket(family)
            c.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            c.bind(source)
            c.connect((POD[family], port))
            assert c.recv(1) == b"x"
            source = c.getsockname()[:2]
            clients.append(c)
        for c in clients:
            c.close()
    assert opened(served.proxy) == 20 * len(ports)


@pytest.mark.parametrize("port", [32768, 33000, 33791, 40000, 61000, 65535, 1024, 28232, 30000])
def test_client_ports_of_all_kinds(served, family, port):
    """Each gets a port of its own towards the application; again at once, though it lingers."""
    for n in range(3):
        with served.client.socket(family) as c:
            c.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            c.bind((CLIENT[family], port))
            c.connect((POD[family], 80))
            with c.makefile("rb") as f:
                answer = json.loads(f.read())  # to the end: so TIME_WAIT is on the other side
        assert answer["by"] == "app" and answer["peer"][0] == CLIENT[family]
        assert answer["peer"][1] != port
        assert opened(served.proxy) == n + 1


def test_many_connections_at_once(served, family):
    """From one address, all open together: no two get in one another's way."""
    def hold(s):
        s.sendall(b"x")
        s.recv(1)

    served.keep(Server(served.pod, family, 8080, hold))
    clients = []
    for _ in range(500):
        c = served.keep(served.client.socket(family))
        c.connect((POD[family], 8080))
        clients.append(c)
    for c in clients:
        assert c.recv(1) == b"x"
    assert opened(served.proxy) == 500


def test_a_port_that_an_application_listens_on(served, family):
    """The mirrored port may be taken by a listener here; another one does."""
    served.app.listen(ANY[family], 40000 ^ 0x8000)
    answer = served.inbound(POD[family], 80, source=(CLIENT[family], 40000))
    assert answer["peer"][0] == CLIENT[family] and answer["peer"][1] != 40000 ^ 0x8000


def test_outbound_is_as_ever(served, family):
    served.witness(served.client).listen(ANY[family], 80)
    answer = served.outbound(OUTSIDE[family], 80)
    assert answer["by"] == "app" and answer["peer"][0] == POD[family]
    assert opened(served.proxy, "outbound") == 1


def test_local_connections_are_direct(served, family):
    for address in (LOOPBACK, POD):
        assert served.outbound(address[family], 80)["peer"][0] == address[family]
    assert opened(served.proxy) == 0


def test_link_local_clients_come_from_the_pod(served):
    """A link-local source belongs to an interface: then the application sees the pod's address."""
    served.pod.ip("addr add fe80::2/64 dev eth0")
    served.client.ip("addr add fe80::1/64 dev eth0")
    served.wait_addresses()
    answer = served.inbound("fe80::2%eth0", 80)
    assert answer["by"] == "app"
    assert opened(served.proxy) == 1


def test_an_excluded_source_is_direct(world, family):
    world.witness().listen(ANY[family], 80)
    apply(world, f"--inbound-exclude-cidrs={CLIENT_OTHER[family]}")
    proxy = start_proxy(world)
    for source, count in ((CLIENT_OTHER, 0), (CLIENT, 1)):
        answer = world.inbound(POD[family], 80, source=(source[family], 0))
        assert answer["peer"][0] == source[family]
        assert opened(proxy) == count


def test_without_the_capability(world):
    proxy = world.keep(Process([PROXY, MODE], env=environment(), netns=world.pod, uid=PROXY_UID,
                               caps=()), "end")
    assert proxy.wait() == 1
    assert proxy.lines[-1].startswith("sluice-proxy: error: 0.0.0.0:9211: cannot be transparent")
    assert "CAP_NET_RAW" in proxy.lines[-1]


def test_the_routing_is_made_once(world):
    for flag in ("-4", "-6"):
        world.pod.run(["ip", flag, "rule", "add", "fwmark", "7", "lookup", "77"])
    before = routing(world.pod)
    for n in range(25):
        apply(world, f"--outbound-exclude-ports={n + 1}")
        rules, routes, others = routing(world.pod)
        assert len(rules) == 2 and len(routes) == 2 and others == before[2]
    for _ in range(2):
        sluice(world.pod, "remove")
        assert routing(world.pod) == before


def test_routing_that_is_gone_is_drift_and_comes_back(world):
    apply(world)
    world.pod.run(["ip", "rule", "del", "fwmark", "0x736d"])
    world.pod.run(["ip", "-6", "route", "flush", "table", TABLE])
    done = sluice(world.pod, "check", MODE, ALIVE, status=DRIFT)
    assert done.out.splitlines() == [
        f"missing routing: {family}: fwmark 0x736d to local by table 29549"
        for family in ("IPv4", "IPv6")]
    assert apply(world).out.startswith("sluice: changed: ")
    sluice(world.pod, "check", MODE, ALIVE)
    assert apply(world).out.startswith("sluice: nothing to change: ")


def test_another_mode_takes_the_routing_out(world):
    apply(world)
    sluice(world.pod, "apply")
    assert routing(world.pod)[:2] == ([], [])
    sluice(world.pod, "check")


def test_rules_and_routing_come_and_go_together(world):
    """A remove that meets an apply takes both or leaves both."""
    for _ in range(times(10, 500)):
        apply(world)
        removing = world.keep(Process([SLUICE, "remove", "--lock-timeout=30s"], netns=world.pod,
                                      env=environment(world.pod.environment)), "end")
        apply(world, "--lock-timeout=30s")
        assert removing.wait() == 0, removing.output
        if routing(world.pod)[:2] == ([], []):
            assert sluice(world.pod, "remove").out == "sluice: nothing to remove\n"
        else:
            sluice(world.pod, "check", MODE, ALIVE)


def test_removing_from_the_other_backend_leaves_the_routing(world, backend):
    other = "--backend=" + {"nft": "iptables", "iptables": "nft"}[backend]
    apply(world)
    before = routing(world.pod)
    assert sluice(world.pod, "remove", other).out == "sluice: nothing to remove\n"
    assert routing(world.pod) == before
    sluice(world.pod, "check", MODE, ALIVE)
    sluice(world.pod, "remove", f"--backend={backend}")
    assert routing(world.pod)[:2] == ([], [])


def test_routing_alone_is_removed_and_named(world):
    world.pod.run(["ip", "route", "add", "local", "default", "dev", "lo", "table", TABLE,
                   "protocol", "115"])
    assert sluice(world.pod, "remove").out == "sluice: removed: the routing\n"
    assert routing(world.pod)[:2] == ([], [])


def test_without_ipv6_on_lo(world):
    world.witness().listen(ANY[4], 80)
    world.pod.sysctl("net/ipv6/conf/lo/disable_ipv6", 1)
    apply(world)
    sluice(world.pod, "check", MODE, ALIVE)
    proxy = start_proxy(world)
    assert from_client(world.inbound(POD[4], 80), 4)
    assert opened(proxy) == 1


def test_with_lo_down(world):
    """One line that says so, and nothing is left half done."""
    world.pod.ip("link set lo down")
    before = routing(world.pod)
    sluice(world.pod, "apply", MODE, status=None).one_error(FAILED, "lo", "bring it up")
    assert routing(world.pod) == before and world.pod.ruleset() == ""
    sluice(world.pod, "remove")
    world.pod.ip("link set lo up")
    apply(world)


def held(world, family, port=8080):
    """An open connection to the application, which holds it: both its ends."""
    listener = world.keep(world.pod.listen(ANY[family], port))
    c = world.keep(world.client.socket(family))
    c.connect((POD[family], port))
    s = world.keep(listener.accept()[0])
    for end in (c, s):
        end.settimeout(PATIENCE)
    c.sendall(b"x")
    assert s.recv(1) == b"x"
    return c, s


def test_removing_resets_what_is_proxied(served, family):
    """Its answers would no longer come back: both ends would wait for ever."""
    client, server = held(served, family)
    sluice(served.pod, "remove")
    for end in (client, server):
        with pytest.raises(ConnectionError):
            end.recv(1)


def test_a_changed_plan_leaves_connections(served, family):
    client, server = held(served, family)
    apply(served, "--inbound-exclude-ports=8080")
    client.sendall(b"y")
    assert server.recv(1) == b"y"
    server.sendall(b"z")
    assert client.recv(1) == b"z"


def test_redirected_connections_survive_the_change_to_it(world, family):
    """Translations stay while the mode changes, also where nothing else translates."""
    sluice(world.pod, "apply", "--outbound=off", ALIVE)
    start_proxy(world)
    client, server = held(world, family)
    apply(world, "--outbound=off")
    client.sendall(b"y")
    assert server.recv(1) == b"y"
    server.sendall(b"z")
    assert client.recv(1) == b"z"


def test_the_change_back_resets(served, family):
    client, server = held(served, family)
    sluice(served.pod, "apply", ALIVE)
    for end in (client, server):
        with pytest.raises(ConnectionError):
            end.recv(1)


def test_redirect_rules_with_this_proxy(world, family):
    """Then the source cannot be kept, and is not: connections work all the same."""
    world.witness().listen(ANY[family], 80)
    sluice(world.pod, "apply", ALIVE)
    proxy = start_proxy(world)
    assert world.inbound(POD[family], 80)["peer"][0] == POD[family]
    assert opened(proxy) == 1


LOCALNET = "net/ipv4/conf/all/route_localnet"
CLOSED = "--inbound-closed=redirect"


def test_a_loopback_target_needs_route_localnet(world):
    """Without, the kernel would drop what the proxy sends there: one line, and nothing is done."""
    before = routing(world.pod)
    options = (MODE, CLOSED, "--inbound-target=127.0.0.1:8080")
    sluice(world.pod, "apply", *options, status=None).one_error(
        FAILED, "--inbound-target", "net.ipv4.conf.all.route_localnet=1")
    assert routing(world.pod) == before and world.pod.ruleset() == ""
    for fine in (":8080", "[::1]:8080", f"{POD[4]}:8080"):
        sluice(world.pod, "apply", MODE, f"--inbound-target={fine}")
    sluice(world.pod, "apply", "--inbound-target=127.0.0.1:8080")  # by redirect there is no need
    sluice(world.pod, "apply", MODE, "--inbound=off", "--inbound-target=127.0.0.1:8080")
    world.pod.sysctl(LOCALNET, 1)
    sluice(world.pod, "apply", *options)
    sluice(world.pod, "check", *options)
    world.pod.sysctl(LOCALNET, 0)
    done = sluice(world.pod, "check", *options, status=DRIFT)
    assert done.out.startswith("missing sysctl: net.ipv4.conf.all.route_localnet=1: ")
    sluice(world.pod, "plan", *options)


def test_the_namespace_of_another_is_asked(world):
    """Its own setting counts, not that of whoever runs sluice."""
    other = world.netns()
    options = (f"--netns={world.pod.path}", MODE, "--inbound-target=127.0.0.1:8080")
    other.sysctl(LOCALNET, 1)
    sluice(other, "apply", *options, status=None).one_error(
        FAILED, "route_localnet")
    other.sysctl(LOCALNET, 0)
    world.pod.sysctl(LOCALNET, 1)
    sluice(other, "apply", *options)


@pytest.mark.parametrize("target", ["loopback", "port"])
def test_a_target_sees_the_client(world, family, target):
    """An application on one port, on loopback alone or not, behind all ports of the pod."""
    where = LOOPBACK[family] if target == "loopback" else ANY[family]
    world.witness().listen(where, 8080)
    at = {"port": ":8080", "loopback": {4: "127.0.0.1:8080", 6: "[::1]:8080"}[family]}[target]
    world.pod.sysctl(LOCALNET, 1)
    apply(world, CLOSED, f"--inbound-target={at}")
    proxy = start_proxy(world, f"--inbound-target={at}")
    for port in (80, 443, 8080):
        assert from_client(world.inbound(POD[family], port), family)
    m = proxy.settled("inbound", 3)
    assert m.by("sluice_connections_opened_total", "server_port") == {"80": 1, "443": 1, "8080": 1}


def test_a_target_of_the_other_family(world):
    """The client's address cannot be kept then, and the application sees the pod."""
    world.witness().listen("127.0.0.1", 8080)
    world.pod.sysctl(LOCALNET, 1)
    apply(world, CLOSED, "--inbound-target=127.0.0.1:8080")
    start_proxy(world, "--inbound-target=127.0.0.1:8080")
    assert world.inbound(POD[6], 80)["peer"][0] == "127.0.0.1"
    assert world.inbound(POD[4], 80)["peer"][0] == CLIENT[4]
