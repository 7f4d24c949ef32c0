# SPDX-License-Identifier: GPL-2.0-or-later
"""The clients: wrk and h2load (as fast as it goes), h2load (at a fixed rate), and our own idle
connections."""

import os
import re
import resource
import signal
import socket
import time

from . import netns

WRK_SCRIPT = os.path.join(os.path.dirname(os.path.dirname(__file__)), "wrk.lua")

# What a scenario asks of the server, and over how many connections. streams: requests at once on
# each connection, of HTTP/2.
SCENARIO = {
    "1k": {"path": "/1k", "size": 1024, "connections": 32, "close": False,
           "title": "HTTP/1.1 keep-alive, 1 KiB"},
    "16k": {"path": "/16k", "size": 16384, "connections": 32, "close": False,
            "title": "HTTP/1.1 keep-alive, 16 KiB"},
    "1m": {"path": "/1m", "size": 1 << 20, "connections": 8, "close": False,
           "title": "HTTP/1.1 keep-alive, 1 MiB"},
    "new": {"path": "/1k", "size": 1024, "connections": 32, "close": True,
            "title": "a new connection per request, 1 KiB"},
    "h2": {"path": "/1k", "size": 1024, "connections": 16, "streams": 10,
           "title": "HTTP/2, 10 streams a connection, 1 KiB"},
}
HTTP2_PORT = 8082


class LoadError(Exception):
    """The load did not go as it must; the measurement would be worth nothing."""


def wrk(settings, client_ns, address, scenario, seconds):
    """One run of wrk: counts, time and latencies. LoadError on any failed request."""
    s = SCENARIO[scenario]
    argv = [settings.programs["wrk"], "-t1", f"-c{s['connections']}",
            f"-d{seconds}s", "--timeout", "10s", "-s", WRK_SCRIPT]
    if s["close"]:
        argv += ["-H", "Connection: close"]
    argv.append(f"http://{address}:8080{s['path']}")
    read_end, write_end = os.pipe()
    process = netns.Process(argv, ns=client_ns, cpu=settings.load_cpu, stdout=write_end,
                            log=os.path.join(settings.work, "wrk.log"))
    os.close(write_end)
    try:
        with os.fdopen(read_end, encoding="ascii") as f:
            text = f.read()
        _, usage = process.reap(timeout=30)
    finally:
        process.stop()
    return _parse_wrk(text, s, usage)


def _parse_wrk(text, s, usage):
    line = re.search(r"^BENCH ((?:\d+ ?){9})$", text, re.M)
    if not line:
        raise LoadError(f"wrk said: {text[-300:]}")
    n, size, duration, p50, p99, connect, read, write, status = map(int, line[1].split())
    if connect or read or write or status or not n:
        raise LoadError(f"wrk: {n} requests; failed: {connect} connects, {read} reads, "
                        f"{write} writes or time-outs, {status} statuses")
    if size < n * s["size"]:
        raise LoadError(f"wrk: {size} bytes in {n} answers of {s['size']}")
    return {"requests": n, "bytes": size, "seconds": duration / 1e6, "p50_us": p50,
            "p99_us": p99, "client_cpu_ns": int((usage.ru_utime + usage.ru_stime) * 1e9)}


def as_fast_as_it_goes(settings, client_ns, address, scenario, seconds):
    """One run of a scenario; in_flight: requests that the end of the time may have cut off."""
    s = SCENARIO[scenario]
    run = http2 if "streams" in s else wrk
    result = run(settings, client_ns, address, scenario, seconds)
    result["in_flight"] = s["connections"] * s.get("streams", 1)
    return result


def http2(settings, client_ns, address, scenario, seconds):
    """One run of h2load with prior knowledge, as wrk()."""
    s = SCENARIO[scenario]
    result, usage = _h2load(settings, client_ns, seconds, [
        f"-c{s['connections']}", f"-m{s['streams']}", f"-D{seconds}",
        f"http://{address}:{HTTP2_PORT}{s['path']}"])
    return result | {"seconds": result["requests"] / result["rps"],
                     "client_cpu_ns": int((usage.ru_utime + usage.ru_stime) * 1e9)}


def h2load(settings, client_ns, address, rate, seconds):
    """HTTP/1.1 over 32 connections at @rate requests a second in all; latencies from its log."""
    connections = 32
    result, _ = _h2load(settings, client_ns, seconds, [
        "--h1", f"-c{connections}", "-m1", f"--rps={rate / connections:.3f}",
        f"-n{max(connections, int(rate * seconds))}", f"http://{address}:8080/1k"])
    return result | {"wanted_rps": rate}


def _h2load(settings, client_ns, seconds, args):
    log = os.path.join(settings.work, "h2load.tsv")
    argv = [settings.programs["h2load"], "-t1", f"--log-file={log}", *args]
    process = netns.Process(argv, ns=client_ns, cpu=settings.load_cpu,
                            log=os.path.join(settings.work, "h2load.log"))
    try:
        code, usage = process.reap(timeout=seconds * 20 + 30)
        if code != 0:
            raise LoadError(f"h2load ended with {code}: {process.log_tail()}")
    finally:
        process.stop()
    return _parse_h2load(log), usage


def _parse_h2load(log):
    starts, took = [], []
    with open(log, encoding="ascii") as f:
        for line in f:
            start, status, us = line.split()[:3]
            if status != "200":
                raise LoadError(f"h2load: an answer with status {status}")
            starts.append(int(start))
            took.append(int(us))
    os.unlink(log)
    if len(took) < 2:
        raise LoadError("h2load: no answers")
    took.sort()
    span = (max(starts) - min(starts)) / 1e6
    at = lambda q: took[min(len(took) - 1, int(q * len(took)))]
    return {"requests": len(took), "rps": len(took) / span if span else 0,
            "p50_us": at(0.5), "p99_us": at(0.99), "p999_us": at(0.999)}


def get_once(address, path="/1k", timeout=5.0, sock=None):
    """One request; the size of the body. OSError when it cannot be had."""
    s = sock or socket.create_connection((address, 8080), timeout=timeout)
    try:
        s.sendall(f"GET {path} HTTP/1.1\r\nHost: {address}\r\n\r\n".encode("ascii"))
        data = b""
        while b"\r\n\r\n" not in data:
            piece = s.recv(65536)
            if not piece:
                raise ConnectionError("the answer was cut short")
            data += piece
        head, _, body = data.partition(b"\r\n\r\n")
        size = int(re.search(rb"(?i)content-length: *(\d+)", head)[1])
        got = len(body)
        while got < size:
            piece = s.recv(65536)
            if not piece:
                raise ConnectionError("the answer was cut short")
            got += len(piece)
        return size
    finally:
        if not sock:
            s.close()


class IdleFlows:
    """A child that opens connections, makes one request on each, and then keeps them."""

    def __init__(self, client_ns, address, count):
        ready_r, ready_w = os.pipe()
        hold_r, hold_w = os.pipe()
        self.pid = os.fork()
        if self.pid == 0:
            os.close(hold_w)
            os.close(ready_r)
            self._child(client_ns, address, count, ready_w, hold_r)
        os.close(ready_w)
        os.close(hold_r)
        self._hold = hold_w
        with os.fdopen(ready_r, encoding="utf-8") as f:
            said = f.read()
        if said != "ready":
            self.close()
            raise LoadError(f"idle connections: {said or 'the client died'}")

    @staticmethod
    def _child(client_ns, address, count, ready_w, hold_r):
        said = "ready"
        kept = []
        try:
            netns.setns(client_ns)
            resource.setrlimit(resource.RLIMIT_NOFILE, (netns.NOFILE, netns.NOFILE))
            for _ in range(count):
                s = socket.create_connection((address, 8080), timeout=10)
                kept.append(s)
                get_once(address, sock=s)
        except Exception as e:  # whatever it was, the parent says it
            said = f"after {len(kept)}: {e}"
        os.write(ready_w, said.encode("utf-8"))
        os.close(ready_w)
        os.read(hold_r, 1)
        os._exit(0)

    def close(self):
        """Ends them all and waits."""
        if self.pid:
            os.close(self._hold)
            deadline = time.monotonic() + 10
            while os.waitpid(self.pid, os.WNOHANG)[0] == 0:
                if time.monotonic() > deadline:
                    os.kill(self.pid, signal.SIGKILL)
                time.sleep(0.01)
            self.pid = 0
