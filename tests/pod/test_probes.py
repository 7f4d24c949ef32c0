# SPDX-License-Identifier: GPL-2.0-or-later
"""Probes say the same with the redirect and without: as podman runs them, and as a kubelet does."""
import pytest

from lib.kubeplay import container, inject, pod

NOBODY = 8081
PROBES = {
    "http": ({"httpGet": {"path": "/item", "port": 8080}}, True),
    "http-bad": ({"httpGet": {"path": "/missing", "port": 8080}}, False),
    # Of a tcpSocket without a host podman 4.3 makes a call of nc without one.
    "tcp": ({"tcpSocket": {"host": "localhost", "port": 8080}}, True),
    "tcp-closed": ({"tcpSocket": {"host": "localhost", "port": NOBODY}}, False),
    "exec": ({"exec": {"command": ["true"]}}, True),
    "exec-bad": ({"exec": {"command": ["false"]}}, False),
}


@pytest.mark.parametrize("injected", [False, True], ids=["plain", "injected"])
def test_probes(node, pods, injected):
    """podman runs them inside the container; a kubelet's connections come from the node."""
    text = pod("probed", container("server", "/usr/bin/python3", "/app.py", "api"), *(
        container(name, "sleep", "1000", livenessProbe={**probe, "periodSeconds": 30})
        for name, (probe, _) in PROBES.items()))
    target = pods.play(inject(text)[0] if injected else text).serves()
    if injected:
        target.armed()
    said = {name: node.podman("healthcheck", "run", target.of(name), status=None).returncode == 0
            for name in PROBES}
    assert said == {name: healthy for name, (_, healthy) in PROBES.items()}

    assert target.get("/item")[0] == 200 and target.get("/missing")[0] == 404
    with node.netns.socket() as s:
        s.connect((target.address, 8080))
    with node.netns.socket() as s, pytest.raises(ConnectionRefusedError):
        s.connect((target.address, NOBODY))
