# SPDX-License-Identifier: GPL-2.0-or-later
"""New connections from a pod of the cluster, one a request, until told to stop."""
import json

from .cluster import container, eventually, pod

CLIENT = r"""
import collections, json, os, socket, sys, threading, time
host, port, stop = sys.argv[1], int(sys.argv[2]), sys.argv[3]
outcomes = collections.Counter()

def once():
    try:
        with socket.create_connection((host, port), timeout=5) as s:
            s.sendall(b"GET /call HTTP/1.1\r\nHost: load\r\nConnection: close\r\n\r\n")
            answer = b""
            while piece := s.recv(65536):
                answer += piece
        return "good" if answer.startswith(b"HTTP/1.") and b" 200 " in answer[:16] else "no answer"
    except OSError as e:
        return type(e).__name__

def run():
    while not os.path.exists(stop):
        outcome = once()
        with lock:
            outcomes[outcome] += 1
        time.sleep(0.02)

lock = threading.Lock()
threads = [threading.Thread(target=run) for _ in range(4)]
for t in threads:
    t.start()
for t in threads:
    t.join()
print(json.dumps(outcomes))
"""


class Load:
    """Four connections at a time from the pod `client`, which is made where it is not there."""

    def __init__(self, namespace, address, port=80, client="client"):
        self._namespace, self._client = namespace, client
        self._stop = f"/tmp/stop-{id(self)}"
        if not namespace.kubectl("get", "pod", client, check=False).stdout:
            namespace.apply(pod(client, container("exec sleep 3600")))
        namespace.wait_pod(client)
        self._process = namespace.cluster.start(
            "kubectl", "--namespace", namespace.name, "exec", client, "-c", "app", "--",
            "python3", "-c", CLIENT, address, str(port), self._stop)

    def stop(self):
        """Counts by outcome: "good", or what went wrong."""
        self._namespace.sh(self._client, f"touch {self._stop}")
        output, _ = self._process.communicate(timeout=60)
        assert self._process.returncode == 0, output
        return json.loads(output.splitlines()[-1])


def failed(outcomes):
    return sum(n for what, n in outcomes.items() if what != "good")


def wait_gone(namespace, selector, names):
    """Until these pods, which were being replaced, are no more."""
    eventually(lambda: not names & {p["metadata"]["name"] for p in
                                    namespace.get("pods", "-l", selector)["items"]},
               "the old pods' end")
