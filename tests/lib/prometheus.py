# SPDX-License-Identifier: GPL-2.0-or-later
"""A real Prometheus that scrapes the pod's proxy, and answers queries."""
import http.client
import json
import urllib.parse

from .proc import Process, wait_until
from .world import POD

PORT = 9090

CONFIG = """
global: {scrape_interval: 500ms, scrape_timeout: 500ms, evaluation_interval: 200ms}
rule_files: %(rules)s
scrape_configs:
- job_name: sluice
  static_configs: [targets: ["%(pod)s:9901"]]
- job_name: envoy
  metrics_path: /stats/prometheus
  static_configs: [targets: ["%(pod)s:9901"]]
"""


class Prometheus(Process):
    def __init__(self, netns, directory, rules=()):
        self.netns = netns
        config = directory / "prometheus.yml"
        config.write_text(CONFIG % {"pod": POD[4], "rules": json.dumps([str(r) for r in rules])},
                          encoding="ascii")
        super().__init__(["prometheus", f"--config.file={config}", "--log.level=warn",
                          f"--storage.tsdb.path={directory / 'data'}",
                          f"--web.listen-address=127.0.0.1:{PORT}"], netns=netns)
        wait_until(lambda: self._get("/-/ready")[0] == 200, "Prometheus to be ready")

    def _get(self, path):
        connection = http.client.HTTPConnection("127.0.0.1", PORT)
        connection.sock = self.netns.socket(4)
        try:
            connection.sock.connect(("127.0.0.1", PORT))
            connection.request("GET", path)
            response = connection.getresponse()
            return response.status, response.read().decode()
        except ConnectionError:
            return 0, ""
        finally:
            connection.close()

    def query(self, promql):
        """The values of an instant query: {labels: value}."""
        status, body = self._get("/api/v1/query?" + urllib.parse.urlencode({"query": promql}))
        answer = json.loads(body)
        assert status == 200 and answer["status"] == "success", body
        return {tuple(sorted(r["metric"].items())): float(r["value"][1])
                for r in answer["data"]["result"]}

    def data(self, promql):
        """Until a query has an answer of which something is above 0; it."""
        def above():
            result = self.query(promql)
            return result if any(value > 0 for value in result.values()) else None

        return wait_until(above, f"data for {promql}")
