# SPDX-License-Identifier: GPL-2.0-or-later
"""Real programs that speak neither HTTP nor gRPC, or stop to: directly and through the proxy they
get the same, and the counts are exact. What they count themselves is taken from them."""
import json
import re
import smtplib
import ssl
import sys
from pathlib import Path

import pytest

from lib.proc import wait_until
from lib.peers import NOBODY, Twice, certificate, postgres_data, started

LIB = Path(__file__).parent.parent / "lib"


@pytest.fixture
def twice(world, side, start_proxy):
    return Twice(world, side, start_proxy)


@pytest.fixture
def family(side):
    """Both, but not each way: what differs between them is shown elsewhere."""
    return {"inbound": 4, "outbound": 6}[side.direction]


# ---- WebSocket: HTTP/1 until the 101 ----

def test_websocket(world, side, family, twice):
    """Messages of all kinds and sizes, with and without compression, pings, close codes."""
    started(world, side.server, 8765,
            [sys.executable, str(LIB / "websocket_peer.py"), "server", "8765"])
    recorder = twice.recorder(family, 8765)
    peer = [sys.executable, LIB / "websocket_peer.py", "client"]

    def talk():
        told = json.loads(twice.run(*peer, f"ws://127.0.0.1:{recorder.port}/"))
        return told, recorder.counted()

    told, (connections, sent, received) = twice.told(talk)
    assert all(len(got) == 7 + 1 + 500 + 1 and got[-1] == [4321, "as asked"] for got in told)
    m = twice.metrics(connections, {"http1": 2}, sent, received)
    [(labels, count)] = m.find(f"{side.http}_request_duration_seconds_count")
    assert (count, labels["http_response_status_code"]) == (2, "101")


# ---- Redis ----

REDIS = """FLUSHALL
SET a 1
GET a
GET none
INCR a
HSET h f1 v1 f2 v2
HGETALL h
LPUSH l 1 2 3
LRANGE l 0 -1
LPOP nothing
INCR h
EVAL "return redis.call('GET', 'a')" 0
MULTI
SET b 2
EXEC
NOSUCH command
"""


def redis_net(server):
    """Bytes that the server has read and written, less what asking for them costs."""
    def ask():
        with server.socket() as s:
            s.connect(("127.0.0.1", 6379))
            s.sendall(b"CONFIG RESETSTAT\r\n")
            assert s.recv(100) == b"+OK\r\n"

    def numbers():
        with server.socket() as s:
            s.connect(("127.0.0.1", 6379))
            s.sendall(b"INFO stats\r\n")
            text = b""
            while not text.endswith(b"\r\n\r\n"):
                text += s.recv(65536)
                if re.match(rb"\$(\d+)\r\n", text) and len(text) > int(
                        re.match(rb"\$(\d+)\r\n", text)[1]):
                    break
        return [int(re.search(rb"total_net_%s_bytes:(\d+)" % way, text)[1])
                for way in (b"input", b"output")]

    return ask, numbers


def test_redis(world, side, family, twice):
    """Commands, errors, transactions, large values, pipelines of thousands."""
    started(world, side.server, 6379, ["redis-server", "--port", "6379", "--bind", "*", "-::*",
                                       "--protected-mode", "no", "--save", "", "--dir", "/tmp"],
            uid=NOBODY)
    reset, numbers = redis_net(side.server)
    reset()
    idle = numbers()
    address = side.address[family]
    pipeline = "".join(f"SET key:{n} value-{n}\r\n" for n in range(5000))

    def talk():
        reset()
        out = [twice.run("redis-cli", "-h", address, stdin=REDIS),
               twice.run("redis-cli", "-h", address, "-x", "SET", "big", stdin="v" * 3_000_000),
               twice.run("redis-cli", "-h", address, "STRLEN", "big"),
               len(twice.run("redis-cli", "-h", address, "GET", "big")),
               twice.run("redis-cli", "-h", address, "--pipe", stdin=pipeline).splitlines()[-1],
               twice.run("redis-cli", "-h", address, "DBSIZE")]
        return out, [now - before for now, before in zip(numbers(), idle)]

    out, (sent, received) = twice.told(talk)
    assert "errors: 0, replies: 5000" in out[4] and out[5] == "5005"
    twice.metrics(6, {"tcp": 6}, sent, received)


# ---- PostgreSQL ----

SQL = """
CREATE TEMP TABLE t (n int PRIMARY KEY, v text);
INSERT INTO t SELECT n, repeat('v', n) FROM generate_series(1, 500) n;
SELECT count(*), sum(length(v)) FROM t;
SELECT length(string_agg(v, '')) FROM t, generate_series(1, 20);
SELECT repeat('long', 500000);
INSERT INTO t VALUES (1, 'twice');
SELECT 1/0;
BEGIN; DELETE FROM t; ROLLBACK;
\\copy (SELECT n, v FROM t ORDER BY n) TO STDOUT
COPY t FROM STDIN;
1001\tone
1002\ttwo
\\.
SELECT count(*) FROM t;
LISTEN news; NOTIFY news, 'told';
PREPARE p (int) AS SELECT v FROM t WHERE n = $1; EXECUTE p(3);
"""


@pytest.fixture(scope="module")
def postgres():
    with postgres_data() as data:
        yield data


def test_postgresql(world, side, family, twice, postgres, tmp_path):
    """Queries, errors, COPY both ways, a notification."""
    program, home = postgres
    started(world, side.server, 5432, [
        str(program), "-D", str(home / "data"), "-k", str(home), "-p", "5432", "-c",
        "listen_addresses=*", "-c", "fsync=off"], uid=NOBODY, env={"LC_ALL": "C"})
    # It listens before it takes anybody.
    wait_until(lambda: "ready" in (home / "data" / "postmaster.pid").read_text(encoding="ascii"),
               "the database to be up")
    recorder = twice.recorder(family, 5432)

    def talk():
        out = twice.run("psql", "-X", "-A", "-t", f"host=127.0.0.1 port={recorder.port} "
                        "user=postgres dbname=postgres sslmode=disable", stdin=SQL)
        # It names the process that notified: another each time.
        return re.sub(r"PID \d+", "PID", out), recorder.counted()

    out, (connections, sent, received) = twice.told(talk)
    assert "long" * 500000 in out and "division by zero" in out and "PID" in out
    assert connections == 1
    twice.metrics(1, {"tcp": 1}, sent, received)


# ---- SMTP: the server speaks first ----

def mail(twice, port, tls):
    """A session with smtplib on a socket of our own; what the server answered to each step."""
    side = twice.side

    class Client(smtplib.SMTP):
        def _get_socket(self, host, port, timeout):
            s = side.client.socket()
            s.connect((host, port))
            return s

    context = ssl.create_default_context(cafile=tls)
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    said = []
    with Client() as client:
        said.append(client.connect("127.0.0.1", port))
        said.append(client.ehlo("client.test"))
        client._host = "web.test"  # whom the certificate has to name
        said.append(client.starttls(context=context))
        said.append(client.ehlo("client.test"))
        said.append(client.mail("a@client.test"))
        said.append(client.rcpt("b@server.test"))
        said.append(client.data("Subject: x\r\n\r\n" + "line\r\n.dot\r\n" * 20000))
        said.append(client.docmd("NOSUCH"))
        said.append(client.docmd("QUIT"))
        # To the end of TLS, both ways: an early close would be a reset.
        client.sock.unwrap().close()
        client.close()
    return said


def test_smtp(world, side, family, twice, tmp_path):
    """Greeting, EHLO, STARTTLS, a message of 200 kB with dots to stuff, a mistake, QUIT."""
    key, cert = certificate(tmp_path)
    address = "::" if family == 6 else "0.0.0.0"
    started(world, side.server, 2525, [
        sys.executable, "-W", "ignore", "-m", "aiosmtpd", "-n", "-l", f"{address}:2525", "-c",
        "aiosmtpd.handlers.Debugging", "stdout", "--tlscert", str(cert), "--tlskey", str(key),
        "--no-requiretls"], family, env={"PYTHONUNBUFFERED": "1"})
    recorder = twice.recorder(family, 2525)
    counts = []

    def talk():
        said = mail(twice, recorder.port, cert)
        # What TLS adds is not as long each time.
        counts.append(recorder.counted())
        return said, counts[-1][0]

    said, connections = twice.told(talk)
    assert [code for code, _ in said] == [220, 250, 220, 250, 250, 250, 250, 500, 221]
    assert connections == 1
    twice.metrics(1, {"tcp": 1}, *counts[-1][1:])
