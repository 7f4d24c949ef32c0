# SPDX-License-Identifier: GPL-2.0-or-later
"""An HTTP/1 client that counts every byte it sends and gets, and can pipeline."""


class RawHttp:
    def __init__(self, s):
        self.socket = s
        self.sent = self.received = 0
        self._buffer = b""

    def send(self, data):
        self.socket.sendall(data)
        self.sent += len(data)

    def request(self, method, path, body=b"", headers="", version="1.1", host="pod.example"):
        length = f"Content-Length: {len(body)}\r\n" if body else ""
        self.send(f"{method} {path} HTTP/{version}\r\nHost: {host}\r\n{length}{headers}\r\n"
                  .encode() + body)

    def _fill(self):
        data = self.socket.recv(1 << 16)
        if not data:
            raise EOFError
        self.received += len(data)
        self._buffer += data

    def _line(self):
        while b"\n" not in self._buffer:
            self._fill()
        line, self._buffer = self._buffer.split(b"\n", 1)
        return line.rstrip(b"\r")

    def _take(self, count):
        while len(self._buffer) < count:
            self._fill()
        data, self._buffer = self._buffer[:count], self._buffer[count:]
        return data

    def response(self, method="GET"):
        """The next response: (status, body without chunk framing)."""
        status = int(self._line().split()[1])
        headers = {}
        while line := self._line():
            name, value = line.split(b":", 1)
            headers[name.lower()] = value.strip()
        if method == "HEAD" or status in (204, 304) or status < 200:
            return status, b""
        if headers.get(b"transfer-encoding") == b"chunked":
            return status, self._chunks()
        if b"content-length" in headers:
            return status, self._take(int(headers[b"content-length"]))
        return status, self._rest()

    def _chunks(self):
        body = b""
        while size := int(self._line().split(b";")[0], 16):
            body += self._take(size)
            self._line()
        while self._line():
            pass
        return body

    def _rest(self):
        try:
            while True:
                self._fill()
        except EOFError:
            body, self._buffer = self._buffer, b""
            return body

    def close(self):
        self.socket.close()
