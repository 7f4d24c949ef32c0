# SPDX-License-Identifier: GPL-2.0-or-later
"""The two services of the pod tests, and their clients: what runs in the application's containers.

usage: app.py api                    HTTP/1 on 8080; a server that speaks first on 2525
       app.py greeted HOST COUNT     COUNT conversations with the latter, one after another
       app.py fetch URL COUNT        COUNT requests, each over a connection of its own
       app.py job URL first|last     one request; and the proxy told to end, before or after it
"""
import http.server
import os
import signal
import socket
import socketserver
import sys
import threading
import time
import urllib.request

BODY = b"item " * 200
GREETING = b"220 api speaks first\r\n"


class Api(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        self.send_response(200 if self.path != "/missing" else 404)
        self.send_header("Content-Length", str(len(BODY)))
        self.end_headers()
        self.wfile.write(BODY)

    def log_message(self, *_):
        pass


class Greeter(socketserver.StreamRequestHandler):
    def handle(self):
        self.wfile.write(GREETING)
        for line in self.rfile:
            self.wfile.write(b"250 " + line)


class Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True
    request_queue_size = 128


def api():
    # The first process of a container has no default action for it.
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
    greeter = Server(("", 2525), Greeter)
    threading.Thread(target=greeter.serve_forever, daemon=True).start()
    with http.server.ThreadingHTTPServer(("", 8080), Api) as server:
        server.serve_forever()


def greeted(host, count):
    for n in range(int(count)):
        with socket.create_connection((host, 2525), 60) as s, s.makefile("rb") as answers:
            assert answers.readline() == GREETING
            s.sendall(b"hello %d\r\n" % n)
            assert answers.readline() == b"250 hello %d\r\n" % n


def fetch(url, count):
    for _ in range(int(count)):
        with urllib.request.urlopen(url, timeout=60) as answer:
            assert answer.read() == BODY


def end_proxy():
    """It may not have started yet, where a job is short; afterwards it must be gone."""
    end = urllib.request.Request("http://127.0.0.1:9901/quit", data=b"", headers={"X-Sluice": "1"})
    for told in (False, True):
        while True:
            try:
                urllib.request.urlopen(end, timeout=60).close()
                if not told:
                    break
            except OSError:
                if told:
                    break
            time.sleep(0.05)


def job(url, when):
    if when == "first":
        end_proxy()
    fetch(url, 1)
    if when == "last":
        end_proxy()


if __name__ == "__main__":
    globals()[sys.argv[1]](*sys.argv[2:])
