# SPDX-License-Identifier: GPL-2.0-or-later
"""The live page, in a real browser."""
import html.parser
import re
import shutil
import subprocess
import tempfile

import pytest

from lib.patience import PATIENCE
from lib.proc import child_setup, wait_until
from lib.servers import http_connection
from lib.sluice import sluice
from lib.world import CLIENT, POD
from wire.conftest import PATIENT

BROWSER = shutil.which("chromium-headless-shell")


class Tables(html.parser.HTMLParser):
    """What a document shows: rows of each table, and the text of whatever has an id."""

    def __init__(self, document):
        super().__init__()
        self.rows, self.text, self._ids, self._table = {}, {}, [], None
        self.feed(document)

    def handle_starttag(self, tag, attrs):
        attrs = dict(attrs)
        if tag == "table":
            self._table = attrs["id"]
            self.rows[self._table] = []
        elif tag == "tr" and self._table:
            self.rows[self._table].append([])
        elif tag in ("td", "th") and self._table:
            self.rows[self._table][-1].append("")
        if tag not in ("meta", "br"):
            self._ids.append(attrs.get("id"))

    def handle_endtag(self, tag):
        self._ids.pop()
        if tag == "table":
            self._table = None

    def handle_data(self, data):
        for i in filter(None, self._ids):
            self.text[i] = self.text.get(i, "") + data
        if self._table and self.rows[self._table] and self.rows[self._table][-1]:
            self.rows[self._table][-1][-1] += data.strip()


@pytest.fixture
def browse(world):
    """`browse(url)`: the document as it stands after some seconds, and what the console said."""
    assert BROWSER, "chromium-headless-shell is missing: scripts/deps test"

    def start(url, *options):
        with tempfile.TemporaryDirectory(prefix="sluice-browser.") as profile:
            done = subprocess.run(
                [BROWSER, "--no-sandbox", "--disable-gpu", f"--user-data-dir={profile}",
                 "--no-proxy-server", "--enable-logging=stderr", "--virtual-time-budget=7000",
                 *options, "--dump-dom", url], capture_output=True, text=True, timeout=2 * PATIENCE,
                check=True, preexec_fn=child_setup(world.pod))
        return Tables(done.stdout), [x for x in done.stderr.splitlines() if "CONSOLE" in x]
    return start


def test_it_shows_what_happens(world, start_proxy, nginx, browse):
    sluice(world.pod, "apply", PATIENT)
    proxy = start_proxy(PATIENT, "--service-name=<img src=x onerror=alert(1)>")
    proxy.wait_armed()
    nginx(world.pod)
    nginx(world.client, 8081)
    inbound = http_connection(world.client, POD[4], 8080)
    outbound = http_connection(world.pod, CLIENT[4], 8081, uid=1000)
    for connection, host, paths in ((inbound, "web", ["/hello"] * 5),
                                    (outbound, "shop.example", ["/hello"] * 3 + ["/broken"])):
        for path in paths:
            connection.request("GET", path, headers={"Host": host})
            connection.getresponse().read()
    wait_until(lambda: proxy.metrics().sum("http_client_request_duration_seconds_count") == 4,
               "all requests")
    page, console = browse("http://127.0.0.1:9901/")
    assert console == []
    assert page.text["armed"] == "armed" and "version" in page.text["about"]
    assert page.text["service"] == "<img src=x onerror=alert(1)>"
    assert not page.text.get("trouble")
    assert "1inbound connections open" in page.text["tiles"]
    latency = {row[0]: row for row in page.rows["latency"][1:]}
    assert {"HTTP, inbound", "HTTP, outbound"} <= set(latency)
    assert all(re.fullmatch(r"[\d.e+]+ (µs|ms|s)", x) for x in latency["HTTP, inbound"][2:5]), latency
    servers = {row[0]: row for row in page.rows["destinations"][1:]}
    assert servers["shop.example"][1:4:2] == ["4", "1"]
    flows = page.rows["flows"][1:]
    assert sorted(row[:3] for row in flows) == [["inbound", "http1", "open"],
                                                ["outbound", "http1", "open"]]
    inbound.close()
    outbound.close()


def test_it_says_what_is_wrong(world, start_proxy, browse):
    """Nothing redirected, and no flows to be had: no blank page."""
    start_proxy().wait_line("not armed")
    page, console = browse("http://[::1]:9901/")
    assert console == []
    assert page.text["armed"] == "not armed"
    assert page.rows["flows"][1] == ["No connection is open."]
    assert page.rows["latency"][1] == ["No request was seen yet."]


def test_the_header_lets_nothing_else_in(world, start_proxy, family):
    proxy = start_proxy()
    status, headers, body = proxy.get("/", family=family)
    assert status == 200 and headers["Content-Type"] == "text/html; charset=utf-8"
    policy = dict(part.strip().split(" ", 1) for part in
                  headers["Content-Security-Policy"].split(";"))
    assert policy.pop("script-src").startswith("'sha256-")
    assert policy.pop("style-src").startswith("'sha256-")
    assert policy == {"default-src": "'none'", "connect-src": "'self'", "base-uri": "'none'",
                      "form-action": "'none'", "frame-ancestors": "'none'",
                      "require-trusted-types-for": "'script'"}
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert not re.search(rb"(src|href)=.?(https?:)?//", body), "something from elsewhere"
    assert proxy.get("/", family=family, netns=world.client)[0] == 403
    assert proxy.get("/", family=family, host="evil.example")[0] == 403
    assert proxy.get("/", method="HEAD")[2] == b""
