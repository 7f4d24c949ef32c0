# SPDX-License-Identifier: GPL-2.0-or-later
"""An application of two services: it works as before, and what it did is counted exactly."""
import pytest
import yaml

from lib.dns import SEARCH, Dnsmasq
from lib.kubeplay import api, container, inject, pod

DNS = "192.0.2.53"
BODY = b"item " * 200
SERVED = "http_server_request_duration_seconds_count"
ASKED = "http_client_request_duration_seconds_count"
CLOSED = "sluice_connections_closed_total"


@pytest.fixture
def names(node, pods):
    """Call it with pods by name: that is what DNS knows."""
    node.netns.ip(f"addr add {DNS}/32 dev lo")

    def know(**addresses):
        pods.keep(Dnsmasq(node.netns, [DNS], *(
            f"--host-record={name}.shop.svc.cluster.local,{address}"
            for name, address in addresses.items())), "end")

    yield know
    node.netns.ip(f"addr del {DNS}/32 dev lo")


def web(**more):
    """nginx before the api, a client of its other protocol, and an initContainer that needs it."""
    fetch = container("early", "/usr/bin/python3", "/app.py", "fetch", "http://api:8080/early", "3")
    return pod("web", container("nginx", "nginx", "-c", "/etc/nginx.conf"),
               container("talker", "sleep", "1000"), initContainers=[fetch],
               dnsConfig={"nameservers": [DNS], "searches": list(SEARCH)}, **more)


def played(text, form, **port):
    """Debian 12's podman knows no native sidecars: the proxy becomes one more container."""
    if form is None:
        return text
    text, said = inject(text, form=form, **port)
    assert ": injected" in said and "warning" not in said
    manifest = yaml.safe_load(text)
    if form == "sidecar":
        spec = manifest["spec"]
        assert [c["name"] for c in spec["initContainers"]][:2] == ["sluice-init", "sluice-proxy"]
        proxy = spec["initContainers"].pop(1)
        assert proxy.pop("restartPolicy") == "Always"
        spec["containers"].append(proxy)
    return yaml.safe_dump(manifest, sort_keys=False)


def use(front):
    """What a client sees of it."""
    seen = [front.get("/item", headers={"Connection": "close"} if n % 3 else {})
            for n in range(30)]
    seen += [front.get("/missing") for _ in range(4)]
    seen += [front.get("/own")]
    front.exec("talker", "/usr/bin/python3", "/app.py", "greeted", "api", "7")
    return seen


@pytest.mark.parametrize("form", [None, "classic", "sidecar"])
def test_two_services(pods, names, form):
    """With the redirect or without, in both forms: the same answers; and then exact counts."""
    back = pods.play(played(api(), form)).serves()
    names(api=back.address)
    before = form and back.armed().metrics()
    # Its initContainer comes behind ours and before the proxy, and fails without a network.
    front = pods.play(played(web(), form, admin=9902)).serves()
    own = form and front.armed().metrics()
    assert use(front) == [(200, BODY)] * 30 + [(404, BODY)] * 4 + [(200, b"own\n")]
    if form is None:
        return

    # Inbound: the three of the initContainer went past the proxy of web, and through the api's.
    inbound = back.settled("inbound", before.sum(SERVED) + 37)
    assert inbound.sum(SERVED) == before.sum(SERVED) + 37
    assert inbound.sum(SERVED, http_response_status_code=404) == 4
    assert inbound.sum(CLOSED, direction="inbound", protocol="tcp", server_port=2525,
                       outcome="closed") == 7
    mine = front.settled("inbound", own.sum(SERVED) + 35)
    assert mine.sum(SERVED) == own.sum(SERVED) + 35
    # Outbound: nginx calls it `api`, DNS knows better, but perhaps not yet for the first request.
    assert mine.sum(ASKED) == 34 and mine.sum(ASKED, http_response_status_code=404) == 4
    called = mine.by(ASKED, "server_address")
    assert called.pop("api.shop.svc.cluster.local") > 0 and set(called) <= {"api"}
    assert mine.sum(CLOSED, direction="outbound", protocol="tcp", server_port=2525,
                    outcome="closed") == 7
    assert {labels["service_name"] for labels, _ in mine.find(ASKED)} == {"web"}
    assert {labels["service_namespace"] for labels, _ in mine.find(ASKED)} == {"shop"}
