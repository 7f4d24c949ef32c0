# SPDX-License-Identifier: GPL-2.0-or-later
"""--inbound-target: every inbound connection goes there, whatever port it was made to."""
import pytest

from lib.proc import Process
from lib.sluice import PROXY, USAGE, environment, sluice
from lib.witness import ask
from lib.world import ANY, LOOPBACK, POD, PROXY_UID

from wire.conftest import PATIENT

CLOSED = "--inbound-closed=redirect"
LITERAL = {4: "127.0.0.1:8080", 6: "[::1]:8080"}


@pytest.fixture
def aimed(world, start_proxy):
    """A proxy that aims at @target, behind rules that redirect connections to any port."""
    def start(target):
        sluice(world.pod, "apply", PATIENT, CLOSED)
        p = start_proxy(PATIENT, f"--inbound-target={target}")
        p.wait_armed()
        return p
    return start


def opened(m):
    return m.by("sluice_connections_opened_total", "server_port")


def test_an_application_on_loopback_alone(world, aimed, family):
    """It is reached by every port of the pod, and counted by the port that clients asked for."""
    world.witness().listen(LOOPBACK[family], 8080)
    proxy = aimed(LITERAL[family])
    for port in (80, 443, 8080, 8080):
        answer = world.inbound(POD[family], port)
        assert answer["by"] == "app" and answer["peer"][0] == LOOPBACK[family]
    assert opened(proxy.settled("inbound", 4)) == {"80": 1, "443": 1, "8080": 2}


def test_a_port_alone_keeps_the_address(world, aimed, family):
    """Of two applications on one port, each gets the connections to its address."""
    first, second = world.witness(), world.witness()
    first.listen(POD[family], 8080)
    second.listen(ANY[family], 8081)
    aimed(":8080")
    assert world.inbound(POD[family], 80)["by"] == "app"
    other = {4: "10.78.0.2", 6: "fd78::2"}[family]
    assert world.inbound(other, 80)["by"] == "reset"  # nobody listens on 8080 there


def test_the_other_family(world, aimed):
    world.witness().listen("127.0.0.1", 8080)
    aimed(LITERAL[4])
    assert world.inbound(POD[6], 80)["peer"][0] == "127.0.0.1"


@pytest.mark.parametrize("port", [9211, 9226])
def test_without_a_redirect(world, start_proxy, family, port):
    """Clients that are sent to 9211 itself, as where nobody may make rules: no loop, but served."""
    world.witness().listen(LOOPBACK[family], 8080)
    proxy = start_proxy(f"--inbound-target={LITERAL[family]}")
    assert world.inbound(POD[family], port)["by"] == "app"
    assert ask(world.pod, LOOPBACK[family], port)["by"] == "app"
    m = proxy.settled("inbound", 2)
    assert opened(m) == {"8080": 2}
    assert m.by("sluice_connections_closed_total", "outcome") == {"closed": 2}


def test_outbound_goes_where_it_went(world, aimed, family):
    world.witness(world.client).listen(ANY[family], 80)
    aimed(LITERAL[family])
    address = {4: "198.51.100.1", 6: "2001:db8::1"}[family]
    assert world.outbound(address, 80)["by"] == "app"


def test_a_target_that_refuses(world, aimed, family):
    proxy = aimed(LITERAL[family])
    assert world.inbound(POD[family], 80)["by"] == "reset"
    m = proxy.settled("inbound")
    assert m.by("sluice_connections_closed_total", "outcome") == {"refused": 1}


@pytest.mark.parametrize("target", ["127.0.0.1:9211", "[::1]:9226", ":9001", ":9901",
                                    "10.0.0.1:9901"])
def test_a_target_that_is_ourselves(world, target):
    p = world.keep(Process([PROXY, f"--inbound-target={target}"], env=environment(),
                           netns=world.pod, uid=PROXY_UID, caps=()), "end")
    assert p.wait() == USAGE
    assert p.lines[-1].startswith("sluice-proxy: error: --inbound-target: port ")
    sluice(world.pod, "plan", f"--inbound-target={target}", status=None).one_error(
        USAGE, "--inbound-target: port ")


@pytest.mark.parametrize("target", ["8080", "localhost:8080", "0.0.0.0:8080", "[fe80::1]:80"])
def test_a_target_that_is_none(world, target):
    sluice(world.pod, "plan", f"--inbound-target={target}", status=None).one_error(
        USAGE, f"--inbound-target: '{target}'")
