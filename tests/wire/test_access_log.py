# SPDX-License-Identifier: GPL-2.0-or-later
"""The access log: a line for each request and connection, and never a delay for its sake."""
import collections
import contextlib
import datetime
import json
import os
import shutil
import signal
import ssl
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

import pytest

from lib.proc import Process, alive, children, wait_until
from lib.servers import Server, http_connection, listens
from lib.sluice import sluice
from lib.world import PROXY_UID
from wire.conftest import Side

PEER = Path(__file__).parent.parent / "lib" / "grpc_peer.py"
SAMPLED = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


@pytest.fixture
def directory():
    """A directory that the proxy may write to."""
    path = Path(tempfile.mkdtemp(prefix="sluice-access-log."))
    os.chown(path, PROXY_UID, PROXY_UID)
    yield path
    shutil.rmtree(path)


@pytest.fixture
def logging(world, start_proxy):
    """Starts an armed proxy that logs to a path."""
    def start(path, *args, stops=False):
        patience = "--heartbeat-timeout=" + ("3s" if stops else "20s")
        sluice(world.pod, "apply", patience)
        proxy = start_proxy(patience, f"--access-log={path}", *args)
        proxy.wait_armed()
        return proxy
    return start


def lines_of(path):
    text = path.read_bytes()
    assert text == b"" or text.endswith(b"\n")
    assert all(len(line) < 4096 for line in text.split(b"\n"))
    return [json.loads(line) for line in text.splitlines()]


def wait_lines(path, count):
    wait_until(lambda: path.read_bytes().count(b"\n") >= count, f"{count} lines")
    return lines_of(path)


def text(address):
    host, port = address[:2]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def log_counts(proxy):
    m = proxy.metrics()
    return (m.sum("sluice_access_log_lines_total"), m.sum("sluice_access_log_dropped_total"))


def wait_counts(proxy, written, dropped=0):
    """A line is counted when it has been written: a moment after it can be read."""
    wait_until(lambda: sum(log_counts(proxy)) >= written + dropped, "all lines to be counted")
    assert log_counts(proxy) == (written, dropped)


def check_common(line, side, family, port):
    started = datetime.datetime.strptime(line.pop("time"), "%Y-%m-%dT%H:%M:%S.%fZ")
    age = datetime.datetime.utcnow() - started
    assert datetime.timedelta(seconds=-1) < age < datetime.timedelta(minutes=5)
    assert line.pop("duration_seconds") >= 0 and line.pop("flow") > 0
    assert line.pop("direction") == side.direction
    assert line.pop("destination") == text((side.address[family], port))


def test_requests(side, family, logging, nginx, directory):
    nginx(side.server)
    proxy = logging(directory / "log")
    c = http_connection(side.client, side.address[family], 8080, uid=side.uid)
    c.request("GET", "/hello?token=s3cret", headers={"Host": "Shop.Example:8080",
                                                     "traceparent": SAMPLED})
    size = len(c.getresponse().read())
    client = text(c.sock.getsockname())
    c.request("BREW", "/s3cret", headers={"Host": "Shop.Example"})
    brewed = c.getresponse()
    error = len(brewed.read())
    c.close()
    proxy.settled()
    lines = wait_lines(directory / "log", 2)
    assert b"s3cret" not in (directory / "log").read_bytes()
    wait_counts(proxy, 2)
    common = {"type": "http", "protocol": "http1", "client": client, "version": "1.1"}
    for line in lines:
        check_common(line, side, family, 8080)
        assert line.pop("first_byte_seconds") >= 0
    name = "Shop.Example" if side.direction == "inbound" else "shop.example"
    faults = {} if side.direction == "inbound" else {"error_type": str(brewed.status)}
    assert lines == [
        {**common, "server_address": name, "method": "GET", "status": 200,
         "bytes": {"to_server": 0, "to_client": size},
         "trace_id": "0af7651916cd43dd8448eb211c80319c"},
        {**common, "server_address": name, "method": "_OTHER", "status": brewed.status,
         "bytes": {"to_server": 0, "to_client": error}, **faults}]


TARGETS = ["/a/b?x=1&y=%2F", "/plain", "/?", "/" + "p" * 300 + "?q", "http://else.where/abs?z",
           "/quote\"?\\"]


@pytest.mark.parametrize("what", ["none", "path", "query"])
def test_paths_where_they_are_asked_for(world, side, logging, nginx, directory, what):
    """Of each of several pipelined requests its own; the query only where it is wanted."""
    nginx(side.server)
    logging(directory / "log", f"--access-log-target={what}")
    with side.connect(4, 8080) as s:
        s.sendall(b"".join(f"GET {t} HTTP/1.1\r\nHost: x\r\n\r\n".encode() for t in TARGETS)
                  + b"GET /end HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        while s.recv(65536):
            pass
    lines = wait_lines(directory / "log", len(TARGETS) + 1)
    told = [(x.get("path"), x.get("query")) for x in lines]
    whole = [("/a/b", "x=1&y=%2F"), ("/plain", None), ("/", None), ("/" + "p" * 254, None),
             ("/abs", "z"), ('/quote"', "\\"), ("/end", None)]
    assert told == {"none": [(None, None)] * 7, "path": [(p, None) for p, _ in whole],
                    "query": whole}[what]


def test_paths_of_http2(world, side, logging, directory):
    world.keep(Process(["nghttpd", "--no-tls", "-v", "-d", str(directory), "8080"],
                       netns=side.server), "end")
    wait_until(lambda: listens(side.server, 8080), "nghttpd to listen")
    logging(directory / "log", "--access-log-target=query")
    client = world.keep(Process(["nghttp", "-nv", f"http://{side.address[4]}:8080/one?1=2",
                                 f"http://{side.address[4]}:8080/two"],
                                netns=side.client, uid=side.uid), "end")
    assert client.wait() == 0, client.output
    lines = wait_lines(directory / "log", 2)
    assert sorted((x["path"], x.get("query")) for x in lines) == [("/one", "1=2"), ("/two", None)]
    assert {x["version"] for x in lines} == {"2"}


def test_paths_of_an_upgrade(world, side, logging, directory):
    """The request that asks for h2c is answered, and told, as HTTP/2."""
    def serve(s):
        head = b""
        while b"\r\n\r\n" not in head:
            head += s.recv(1000)
        s.sendall(b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n"
                  b"\0\0\0\4\0\0\0\0\0" b"\0\0\1\1\5\0\0\0\1\x88")  # SETTINGS; 200
        while s.recv(1000):
            pass

    world.keep(Server(side.server, 4, 8080, serve))
    logging(directory / "log", "--access-log-target=query")
    with side.connect(4, 8080) as s:
        s.sendall(b"GET /one?1=2 HTTP/1.1\r\nHost: x\r\nConnection: Upgrade, HTTP2-Settings\r\n"
                  b"Upgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n\r\n")
        got = b""
        while not got.endswith(b"\x88"):
            got += s.recv(1000)
        s.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0")
    line, = wait_lines(directory / "log", 1)
    assert (line["version"], line["path"], line["query"]) == ("2", "/one", "1=2")


def test_connections(world, side, family, logging, directory):
    def serve(s):
        s.sendall(b"220 hello\r\n")
        while s.recv(65536):
            pass

    world.keep(Server(side.server, family, 25, serve))
    proxy = logging(directory / "log")
    with side.connect(family, 25) as s:
        assert s.recv(100) == b"220 hello\r\n"
        s.sendall(b"QUIT\r\n")
        client = text(s.getsockname())
    proxy.settled()
    line, = wait_lines(directory / "log", 1)
    check_common(line, side, family, 25)
    assert line == {"type": "connection", "protocol": "tcp", "client": client,
                    "server_address": side.address[family], "outcome": "closed",
                    "bytes": {"to_server": 6, "to_client": 11}}


def test_tls(world, side, logging, directory):
    world.keep(Server(side.server, 4, 443, lambda s: s.recv(65536)))
    proxy = logging(directory / "log")
    context = ssl.create_default_context()
    with side.connect(4, 443) as s, contextlib.suppress(OSError):
        context.wrap_socket(s, server_hostname="web.test")
    proxy.settled()
    line, = wait_lines(directory / "log", 1)
    assert line["type"] == "connection" and line["protocol"] == "tls"
    assert line["tls_server_name"] == "web.test" and line["bytes"]["to_server"] > 100


def test_grpc(world, side, logging, directory):
    server = world.keep(Process([sys.executable, str(PEER), "server", "8080"],
                                netns=side.server), "end")
    server.wait_line("ready")
    proxy = logging(directory / "log")
    client = world.keep(Process([sys.executable, str(PEER), "client", f"{side.address[4]}:8080",
                                 "2"], netns=side.client, uid=side.uid), "end")
    assert client.wait() == 0, client.output
    told = json.loads(client.lines[-1])
    proxy.settled(side.direction)
    lines = [x for x in wait_lines(directory / "log", sum(told["calls"].values()))
             if x["type"] != "connection"]
    assert {(x["type"], x["protocol"]) for x in lines} == {("grpc", "grpc")}
    assert collections.Counter(
        f"{x['rpc_method'].split('/')[1]} "
        f"{x.get('rpc_response_status_code', x.get('error_type', '').upper())}"
        for x in lines) == told["calls"]


def test_hosts_that_mean_harm(side, logging, nginx, directory):
    """Each line is JSON of one line, bounded, whatever a client says."""
    nginx(side.server)
    proxy = logging(directory / "log")
    hosts = [b'a"b', b"a\\b", b"a\x01\x7f\xff\xc3\xa9b", b"x" * 1000, b"</script>", b"\t \x0b"]
    for host in hosts:
        with side.connect(4, 8080) as s:
            s.sendall(b"GET / HTTP/1.1\r\nHost: " + host + b"\r\nConnection: close\r\n\r\n")
            while s.recv(65536):
                pass
    proxy.settled(opened=len(hosts))
    lines = wait_lines(directory / "log", len(hosts))
    assert len(lines) == len(hosts)
    if side.direction == "inbound":
        names = [x["server_address"] for x in lines]
        assert names[:2] == ['a"b', "a\\b"] and names[3] == "x" * 107
        assert names[2] == "a\x01\x7f\xff\xc3\xa9b"


@pytest.fixture
def ask(world, nginx):
    """`ask(n)`: so many requests, one after the other, on a connection of its own that stays."""
    nginx(world.pod)
    side = Side(world, "inbound")

    def start(times):
        connection = world.keep(http_connection(side.client, side.address[4], 8080))
        for _ in range(times):
            connection.request("GET", "/hello")
            answer = connection.getresponse()
            assert answer.status == 200 and answer.read()
    return start


def test_a_reader_that_stalls(logging, ask, directory):
    """Traffic goes on, what finds no room is counted, and the rest arrives whole."""
    pipe = directory / "pipe"
    os.mkfifo(pipe)
    os.chmod(pipe, 0o666)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    try:
        proxy = logging(pipe, "--access-log-buffer=64")
        ask(1000)
        wait_until(lambda: log_counts(proxy)[1] > 0, "lines to be dropped")
        ask(1000)
        got = []

        def settled(total):
            with contextlib.suppress(BlockingIOError):
                while data := os.read(reader, 65536):
                    got.append(data)
            return sum(log_counts(proxy)) == total

        wait_until(lambda: settled(2000), "all lines to be written or dropped")
        dropped = log_counts(proxy)[1]
        ask(1)
        wait_until(lambda: settled(2001), "another line")
        settled(2001)
        assert log_counts(proxy)[1] == dropped, "there was room again"
        written, dropped = log_counts(proxy)
        assert written + dropped == 2001 and dropped > 0
        lines = [json.loads(x) for x in b"".join(got).splitlines()]
        assert len(lines) == written
    finally:
        os.close(reader)


def test_a_disk_that_is_full(logging, ask):
    proxy = logging("/dev/full")
    for total in (10, 20):
        ask(10)
        wait_until(lambda total=total: log_counts(proxy) == (0, total), "all to be dropped")
    assert sum("cannot write the access log" in line for line in proxy.lines) == 1
    assert "No space left" in proxy.output


def test_a_disk_that_was_full(logging, ask, directory):
    """One line may be torn, and counts as dropped; those after it are whole."""
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8k,mode=777", "none", directory], check=True)
    try:
        proxy = logging(directory / "log")
        ask(40)
        wait_until(lambda: sum(log_counts(proxy)) == 40 and log_counts(proxy)[1], "some to be dropped")
        subprocess.run(["mount", "-o", "remount,size=1m", directory], check=True)
        ask(5)
        wait_until(lambda: sum(log_counts(proxy)) == 45, "the rest")
        written, dropped = log_counts(proxy)
        assert dropped < 40
        whole, torn = [], []
        for line in (directory / "log").read_bytes().splitlines():
            try:
                whole.append(json.loads(line))
            except ValueError:
                torn.append(line)
        assert (len(whole), len(torn)) == (written, 1)
        assert [x["status"] for x in whole] == [200] * int(written)
    finally:
        subprocess.run(["umount", "-l", directory], check=True)


def test_standard_output(logging, ask):
    proxy = logging("-", "--drain-timeout=0ms", stops=True)
    ask(3)
    wait_until(lambda: log_counts(proxy) == (3, 0), "three lines")
    assert proxy.stop() == 0
    lines = [json.loads(x) for x in proxy.lines if x.startswith("{")]
    assert [x["status"] for x in lines if x["type"] == "http"] == [200] * 3


def test_a_stop_writes_the_last_lines(world, logging, ask, directory):
    """Also those that the stop makes, by resetting what is open."""
    proxy = logging(directory / "log", "--threads=2", "--drain-timeout=0ms", stops=True)
    for _ in range(4):
        ask(50)
    world.keep(Server(world.pod, 4, 7, lambda s: s.recv(1)))
    for _ in range(20):
        world.keep(Side(world, "inbound").connect(4, 7))
    wait_until(lambda: proxy.metrics().sum("sluice_connections_active") == 24, "all flows")
    assert proxy.stop() == 0
    lines = lines_of(directory / "log")
    assert collections.Counter(x.get("outcome") for x in lines) == {None: 200, "drain": 20}


def test_a_stalled_reader_does_not_hold_a_stop(logging, ask, directory):
    pipe = directory / "pipe"
    os.mkfifo(pipe)
    os.chmod(pipe, 0o666)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    try:
        proxy = logging(pipe, "--access-log-buffer=64", "--drain-timeout=0ms", stops=True)
        ask(1000)
        assert proxy.stop() == 0
    finally:
        os.close(reader)


def test_the_next_worker_writes_on(logging, ask, directory):
    proxy = logging(directory / "log")
    ask(5)
    wait_lines(directory / "log", 5)
    worker = proxy.worker
    os.kill(worker, signal.SIGKILL)
    wait_until(lambda: not alive(worker), "the worker to die")
    wait_until(lambda: set(children(proxy.pid)) - {worker}, "another worker")
    proxy.wait_armed()
    ask(5)
    assert len(wait_lines(directory / "log", 10)) == 10


def rotated(proxy, log, ask, told=1):
    """Waits until lines go to the new file at that path; how many requests it took."""
    wait_until(log.exists, "the file to be opened anew")
    wait_until(lambda: sum("opened anew" in x for x in proxy.lines) == told, "the log to say so")
    asked = 0
    while not log.read_bytes():
        ask(1)
        asked += 1
        wait_until(lambda: every_line(proxy), "its line")
    return asked


def every_line(proxy):
    """Whether each request so far has one."""
    m = proxy.metrics()
    return m.sum("http_server_request_duration_seconds_count") == sum(log_counts(proxy))


@pytest.mark.parametrize("how", ["renamed", "removed", "signal"])
def test_a_file_that_is_rotated(logging, ask, directory, how):
    """Lines go on in a new file, none is lost or torn, and the old one is let go."""
    log, old = directory / "log", directory / "log.1"
    proxy = logging(log)
    ask(5)
    wait_lines(log, 5)
    kept = os.open(log, os.O_RDONLY)
    try:
        if how == "removed":
            log.unlink()
        else:
            log.rename(old)
        if how == "signal":
            os.kill(proxy.pid, signal.SIGUSR1)
        asked = 5 + rotated(proxy, log, ask)
        before = os.fstat(kept).st_size
        ask(20)
        wait_until(lambda: log_counts(proxy) == (asked + 20, 0), "all lines")
        assert os.fstat(kept).st_size == before
        lines = os.pread(kept, before, 0) + log.read_bytes()
        assert len([json.loads(x) for x in lines.splitlines()]) == asked + 20
        assert log.stat().st_mode & 0o777 == 0o640

        def holders():
            return sum(os.path.samestat(found, os.fstat(kept))
                       for pid in (proxy.pid, proxy.worker) for found in descriptors(pid))

        wait_until(lambda: holders() == 0, "the old file to be closed")
    finally:
        os.close(kept)


def descriptors(pid):
    """What they lead to, of those that are not closed meanwhile."""
    for fd in os.listdir(f"/proc/{pid}/fd"):
        with contextlib.suppress(OSError):
            yield os.stat(f"/proc/{pid}/fd/{fd}")


def test_a_file_that_is_rotated_again_and_again(logging, ask, directory):
    log = directory / "log"
    proxy = logging(log)
    asked = 0
    for n in range(1, 4):
        log.rename(directory / f"log.{n}")
        asked += rotated(proxy, log, ask, told=n)
    wait_until(lambda: log_counts(proxy) == (asked, 0), "all lines")
    assert sum(len(lines_of(f)) for f in directory.iterdir()) == asked


def test_the_worker_after_a_rotation(logging, ask, directory):
    """A new worker writes to the new file."""
    log = directory / "log"
    proxy = logging(log)
    ask(1)
    wait_lines(log, 1)
    log.rename(directory / "log.1")
    rotated(proxy, log, ask)
    worker = proxy.worker
    os.kill(worker, signal.SIGKILL)
    wait_until(lambda: not alive(worker), "the worker to die")
    wait_until(lambda: set(children(proxy.pid)) - {worker}, "another worker")
    proxy.wait_armed()
    before = len(lines_of(log))
    ask(5)
    assert len(wait_lines(log, before + 5)) == before + 5


def test_a_file_that_cannot_be_opened_anew(logging, ask, directory):
    """It goes on in the old one, says so once, and tries again."""
    log, old = directory / "log", directory / "log.1"
    proxy = logging(log)
    ask(1)
    wait_lines(log, 1)
    os.chown(directory, 0, 0)
    directory.chmod(0o755)
    log.rename(old)
    proxy.wait_line("going on in the old file")
    for _ in range(5):
        os.kill(proxy.pid, signal.SIGUSR1)
    ask(3)
    wait_lines(old, 4)
    assert sum("going on in the old file" in x for x in proxy.lines) == 1
    os.chown(directory, PROXY_UID, PROXY_UID)
    rotated(proxy, log, ask)


@pytest.mark.parametrize("what", ["link", "dangling link", "pipe"])
def test_a_path_that_leads_elsewhere_later(logging, ask, directory, what):
    """Who may rename there must not choose what the proxy writes to: it goes on in the old file."""
    log, old, other, new = (directory / x for x in ("log", "log.1", "other", "new"))
    proxy = logging(log)
    ask(1)
    wait_lines(log, 1)
    reader = None
    if what == "pipe":
        os.mkfifo(new)
        os.chown(new, PROXY_UID, PROXY_UID)
        reader = os.open(new, os.O_RDONLY | os.O_NONBLOCK)
    else:
        new.symlink_to(other)
    if what == "link":
        other.write_bytes(b"")
        os.chown(other, PROXY_UID, PROXY_UID)
    try:
        os.link(log, old)
        new.rename(log)
        proxy.wait_line("no regular file now" if what == "pipe" else "a symbolic link now")
        for _ in range(5):
            os.kill(proxy.pid, signal.SIGUSR1)
        ask(3)
        wait_lines(old, 4)
        assert sum("going on in the old file" in x for x in proxy.lines) == 1
        assert other.read_bytes() == b"" if what == "link" else not other.exists()
        assert reader is None or os.read(reader, 1) == b""
        log.unlink()
        rotated(proxy, log, ask)
    finally:
        if reader is not None:
            os.close(reader)


def test_a_path_that_is_a_link_from_the_start(logging, ask, directory):
    """It is followed: to the file that is there, and to the next one."""
    log, real = directory / "log", directory / "real"
    log.symlink_to(real)
    proxy = logging(log)
    ask(1)
    wait_lines(real, 1)
    real.rename(directory / "real.1")
    rotated(proxy, log, ask)
    assert log.is_symlink() and lines_of(real)


def test_signals_without_a_file(world, start_proxy, ask):
    """SIGUSR1 is for a log's file; without one it does nothing."""
    for option in ("--threads=1", "--access-log=-", "--access-log=/dev/null"):
        proxy = start_proxy(option)
        for pid in (proxy.pid, proxy.worker):
            os.kill(pid, signal.SIGUSR1)
        os.kill(proxy.pid, signal.SIGTERM)
        assert proxy.wait() == 0


def test_many_threads_at_once(logging, ask, directory):
    """Lines are whole, each request has one, and none is lost where there is room."""
    proxy = logging(directory / "log", "--threads=3", "--access-log-buffer=65536")
    askers = [threading.Thread(target=lambda: ask(500)) for _ in range(4)]
    for t in askers:
        t.start()
    for t in askers:
        t.join()
    lines = wait_lines(directory / "log", 2000)
    assert len(lines) == 2000
    assert collections.Counter(collections.Counter(x["flow"] for x in lines).values()) == {500: 4}
    wait_counts(proxy, 2000)


def test_off_by_default(proxy, ask):
    ask(2)
    assert log_counts(proxy) == (0, 0)
    assert not any(x.startswith("{") for x in proxy.lines)


@pytest.mark.parametrize("path", ["/nowhere/log", "/", "pipe"])
def test_a_log_that_cannot_be_opened(world, start_proxy, directory, path):
    if path == "pipe":
        path = directory / "pipe"
        os.mkfifo(path)
        os.chmod(path, 0o666)
    proxy = start_proxy(f"--access-log={path}", ready=False)
    assert proxy.wait() == 1
    assert proxy.lines == [line for line in proxy.lines if "--access-log: cannot open" in line]
    assert len(proxy.lines) == 1
