# SPDX-License-Identifier: GPL-2.0-or-later
"""Real servers, each started in a namespace for one test, and an account of what clients did."""
import contextlib
import os
import pathlib
import shutil
import subprocess
import tempfile

from .patience import PATIENCE
from .proc import Process, wait_until
from .recorder import Recorder
from .sluice import sluice
from .world import LOOPBACK

NOBODY = 65534
PATIENT = "--heartbeat-timeout=20s"


def listens(netns, port, family=4):
    with netns.socket(family) as s:
        return s.connect_ex((LOOPBACK[family], port)) == 0


def started(world, netns, port, argv, family=4, **how):
    """A server's process, once it accepts on the port."""
    process = world.keep(Process(argv, netns=netns, **how), "end")

    def up():
        assert process.popen.poll() is None, process.output
        return listens(netns, port, family)

    wait_until(up, f"{argv[0]} to listen")
    return process


def certificate(directory, name="web.test"):
    """A key and a certificate of its own, as paths."""
    key, cert = directory / "key.pem", directory / "cert.pem"
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt",
                    "ec_paramgen_curve:prime256v1", "-nodes", "-subj", f"/CN={name}", "-addext",
                    f"subjectAltName=DNS:{name}", "-days", "2", "-keyout", key, "-out", cert],
                   check=True, capture_output=True, timeout=PATIENCE)
    return key, cert


def target(side, family, port):
    address = side.address[family]
    return f"[{address}]:{port}" if family == 6 else f"{address}:{port}"


@contextlib.contextmanager
def postgres_data():
    """A data directory of `nobody`, where that user can reach it."""
    [initdb] = sorted(pathlib.Path("/usr/lib/postgresql").glob("*/bin/initdb"))[-1:]
    home = tempfile.mkdtemp(prefix="sluice-postgres-")
    os.chown(home, NOBODY, NOBODY)
    try:
        made = Process([str(initdb), "-D", f"{home}/data", "-U", "postgres", "-A", "trust",
                        "--no-sync", "--no-locale", "-E", "UTF8"], uid=NOBODY,
                       env={"PATH": os.environ["PATH"]})
        assert made.wait() == 0, made.output
        made.end()
        with open(f"{home}/data/pg_hba.conf", "a", encoding="ascii") as f:
            f.write("host all all all trust\n")
        yield initdb.parent / "postgres", pathlib.Path(home)
    finally:
        shutil.rmtree(home, ignore_errors=True)


class Twice:
    """A conversation, first directly and then through a proxy: both must tell the same."""

    def __init__(self, world, side, start_proxy):
        self.world, self.side = world, side
        self._start_proxy = start_proxy
        self.proxy = None

    def recorder(self, family, port):
        return self.world.keep(Recorder(self.side, family, port))

    def run(self, *argv, ok=True, stdin=None):
        """A client program as the application's user; what it printed."""
        process = Process([str(a) for a in argv], netns=self.side.client, uid=self.side.uid,
                          stdin=subprocess.DEVNULL if stdin is None else subprocess.PIPE)
        try:
            if stdin is not None:
                process.popen.stdin.write(stdin)
                process.popen.stdin.close()
            status = process.wait(2 * PATIENCE)
            assert (status == 0) == ok, f"{argv[0]}: exit {status}: {process.output}"
            return process.output
        finally:
            process.end()

    def told(self, talk):
        """What `talk` returned, both times; the proxy runs from then on."""
        direct = talk()
        sluice(self.world.pod, "apply", PATIENT)
        self.proxy = self._start_proxy(PATIENT)
        self.proxy.wait_armed()
        assert talk() == direct
        return direct

    def metrics(self, connections, protocols, sent=None, received=None):
        """What was measured, once as many connections have ended: all of them in order."""
        m = self.proxy.settled(self.side.direction, connections)
        flow = {"direction": self.side.direction}
        assert m.sum("sluice_connections_opened_total") == connections
        outcomes = m.by("sluice_connections_closed_total", "outcome", **flow)
        assert outcomes == {"closed": connections}, outcomes
        spoken = m.by("sluice_connections_closed_total", "protocol", **flow)
        assert spoken == protocols, spoken
        for way, count in (("to_server", sent), ("to_client", received)):
            measured = m.sum("sluice_bytes_total", way=way, **flow)
            assert count in (None, measured), (way, count, measured)
        assert m.sum("sluice_observer_lost_total") == 0
        assert m.sum(f"{self.side.http}_active_requests") == 0
        return m
