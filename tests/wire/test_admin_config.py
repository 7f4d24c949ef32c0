# SPDX-License-Identifier: GPL-2.0-or-later
"""/config: what each option is set to, and who said so."""
import json
import os
import re
import tempfile

import pytest

from lib.world import POD


def config(proxy):
    status, headers, body = proxy.get("/config")
    assert status == 200 and headers["Content-Type"] == "application/json"
    return json.loads(body)


@pytest.fixture
def settings():
    """A file of options where the proxy's user can read it."""
    with tempfile.NamedTemporaryFile("w", prefix="sluice-settings.") as f:
        f.write("drain-timeout = 7s\nthreads = 3\nservice-name = file's \"quoted\"\n")
        f.flush()
        os.chmod(f.name, 0o644)
        yield f.name


def test_every_option_and_its_source(world, start_proxy, settings):
    proxy = start_proxy("--threads=2", "--virtual-interfaces=a0", "--virtual-interfaces=b+,c0",
                        "--admin-open", f"--config={settings}",
                        env={"SLUICE_MAX_SAMPLES": "5000", "SLUICE_THREADS": "4",
                             "SLUICE_KEEPALIVE_COUNT": ""})
    answer = config(proxy)
    options = answer["options"]
    listed = re.findall(r"^  --([a-z-]+)", world.pod.run([str(proxy.popen.args[0]), "--help"]), re.M)
    assert set(listed) - {"help", "man", "version"} == set(options)
    assert options["threads"] == {"value": "2", "source": "flag"}
    assert options["virtual-interfaces"] == {"value": "a0,b+,c0", "source": "flag"}
    assert options["admin-open"] == {"value": "on", "source": "flag"}
    assert options["max-samples"] == {"value": "5000", "source": "environment"}
    assert options["drain-timeout"] == {"value": "7s", "source": "file"}
    assert options["service-name"] == {"value": "file's \"quoted\"", "source": "file"}
    assert options["inbound-port"] == {"value": "9211", "source": "default"}
    assert options["keepalive-count"] == {"value": "127", "source": "default"}
    assert options["service-namespace"] == {"value": None, "source": "default"}
    assert answer["limits"]["connections"] == \
        proxy.metrics().sum("sluice_connections_limit") > 0
    assert answer["version"] in proxy.get("/metrics")[2].decode()


@pytest.mark.parametrize("given, name", [("a,b", "a"), (",,b,c", "b"), (",", None), ("x", "x"),
                                         (",a" + "b" * 252, "a" + "b" * 252)])
def test_the_first_name_that_is_not_empty(start_proxy, given, name):
    """As a pod's labels become a variable: those that it lacks are empty."""
    proxy = start_proxy(env={"SLUICE_SERVICE_NAME": given, "SLUICE_SERVICE_NAMESPACE": ",shop"})
    text = proxy.get("/metrics")[2].decode()
    assert ("service_name=" in text) == (name is not None)
    assert name is None or f'{{service_name="{name}",service_namespace="shop"' in text
    assert 'service_namespace="shop"' in text


def test_not_for_everybody(world, start_proxy, family):
    proxy = start_proxy()
    assert proxy.get("/config", family=family)[0] == 200
    assert proxy.get("/config", family=family, host="evil.example")[0] == 403
    assert proxy.get("/config", family=family, netns=world.client)[0] == 403
    assert proxy.get("/config", family=family, netns=world.client, host=POD[4])[0] == 403
    assert proxy.get("/config", method="POST")[0] == 405
