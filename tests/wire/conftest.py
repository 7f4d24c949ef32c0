# SPDX-License-Identifier: GPL-2.0-or-later
"""A pod that is redirected and proxied."""
import pytest

from lib.netns import Netns
from lib.proc import wait_until
from lib.proxy import Proxy
from lib.servers import Nginx
from lib.sluice import sluice
from lib.witness import ask
from lib.world import CLIENT, POD

# A busy machine may starve the proxy for longer than the default: its connections would then go
# direct, as they should, and an exact count would be off. The life tests use the defaults.
PATIENT = "--heartbeat-timeout=20s"
# The same where a test stops the proxy, or brings its heart to rest, and has to wait for as long.
ALIVE = "--heartbeat-timeout=2s"


def wait_proxied(world):
    """Until a connection to the pod's port 80, where a witness listens, goes through the proxy:
    one that has starved for a moment lets them go direct."""
    wait_until(lambda: ask(world.client, POD[4], 80)["peer"][0] == POD[4], "a proxied connection")


class Side:
    """One direction: who connects where, and who serves."""

    def __init__(self, world, direction):
        inbound = direction == "inbound"
        self.direction = direction
        self.client: Netns = world.client if inbound else world.pod
        self.server: Netns = world.pod if inbound else world.client
        self.address = POD if inbound else CLIENT
        self.uid = None if inbound else 1000
        self.http = "http_server" if inbound else "http_client"

    def connect(self, family, port):
        s = self.client.socket(family, uid=self.uid)
        try:
            s.connect((self.address[family], port))
        except OSError:
            s.close()
            raise
        return s


@pytest.fixture(params=["inbound", "outbound"])
def side(world, request):
    return Side(world, request.param)


@pytest.fixture
def start_proxy(world):
    """Starts a proxy in the pod; it ends with the test."""
    def start(*args, **kwargs):
        return world.keep(Proxy(world.pod, *args, **kwargs), "end")
    return start


@pytest.fixture
def proxy(world, start_proxy):
    """The pod redirected and a proxy armed; patient (see above)."""
    sluice(world.pod, "apply", PATIENT)
    p = start_proxy(PATIENT)
    p.wait_armed()
    return p


@pytest.fixture
def nginx(world, tmp_path):
    """Starts nginx on 8080: `nginx(netns)`."""
    def start(netns, port=8080):
        directory = tmp_path / f"nginx{port}"
        directory.mkdir()
        return world.keep(Nginx(netns, directory, port), "end")
    return start

