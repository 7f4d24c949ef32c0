# SPDX-License-Identifier: GPL-2.0-or-later
"""Random HTTP/2: frames of all types that make sense more or less, and header blocks that may not."""
import hpack

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PUSH, PING, GOAWAY, WINDOW, CONTINUATION = range(10)


def frame(kind, flags, stream, payload=b"", length=None):
    return (len(payload) if length is None else length).to_bytes(3, "big") + \
        bytes([kind, flags]) + stream.to_bytes(4, "big") + payload


def noise(rng, most):
    return bytes(rng.randrange(256) for _ in range(rng.randrange(most + 1)))


class End:
    """What one end says; a table of its own for its header blocks."""

    def __init__(self, rng, client):
        self.rng, self.client = rng, client
        self.encoder = hpack.Encoder()
        self.streams = [1]

    def block(self, number):
        rng = self.rng
        if rng.random() < 0.05:
            return noise(rng, 40)
        grpc = rng.random() < 0.3
        if self.client:
            fields = [(b":method", rng.choice([b"GET", b"POST", b"BREW"])), (b":scheme", b"http"),
                      (b":path", b"/p.S/Get" if grpc else b"/x"), (b":authority", b"web:80")]
        else:
            fields = [(b":status", rng.choice([b"200", b"404", b"103", b"x"]))]
        if grpc:
            fields.append((b"content-type", b"application/grpc"))
        if not self.client and rng.random() < 0.2:
            fields = [(b"grpc-status", rng.choice([b"0", b"5", b"99", b""]))]
        fields += [(b"x-%d" % rng.randrange(5), b"v" * rng.choice([0, 5, 200]))
                   for _ in range(rng.randrange(4))]
        if rng.random() < 0.05:
            self.encoder.header_table_size = rng.choice([0, 100, 4096, 65536])
        return self.encoder.encode(fields, huffman=rng.random() < 0.5)

    def headers(self, number):
        rng, block = self.rng, self.block(number)
        flags = rng.choice([0, 1])
        if rng.random() < 0.2:
            padding = rng.randrange(256)
            block = bytes([padding]) + block + b"\0" * padding
            flags |= 8
        if len(block) > 2 and rng.random() < 0.2:
            cut = rng.randrange(1, len(block))
            return frame(HEADERS, flags, number, block[:cut]) + \
                frame(CONTINUATION, 4, number, block[cut:])
        return frame(HEADERS, flags | 4, number, block)

    def one(self):
        """One frame, or those that belong together."""
        rng = self.rng
        number = rng.choice(self.streams)
        kind = rng.random()
        if kind < 0.4:
            if self.client and rng.random() < 0.8:
                number = self.streams[-1] + 2
                self.streams.append(number)
            return self.headers(number)
        if kind < 0.7:
            data = rng.choice([b"", noise(rng, 50), b"\0\0\0\0\5hello", b"d" * rng.randrange(9000)])
            return frame(DATA, rng.choice([0, 0, 1]), number, data)
        other = rng.randrange(8)
        return [lambda: frame(SETTINGS, 0, 0, b"\0\1" + (rng.choice([0, 4096, 1 << 20])
                                                         ).to_bytes(4, "big")),
                lambda: frame(SETTINGS, 1, 0), lambda: frame(PING, rng.choice([0, 1]), 0, b"p" * 8),
                lambda: frame(RST_STREAM, 0, number, rng.choice([0, 8]).to_bytes(4, "big")),
                lambda: frame(WINDOW, 0, rng.choice([0, number]), b"\0\0\xff\xff"),
                lambda: frame(PRIORITY, 0, number, noise(rng, 8)),
                lambda: frame(rng.randrange(10, 256), rng.randrange(256), number, noise(rng, 30)),
                lambda: frame(GOAWAY, 0, 0, bytes(8)) if rng.random() < 0.2 else
                frame(PUSH, 4, number, b"\0\0\0\2" + self.block(2))][other]()


def conversation(rng):
    """[(way, bytes)]: 0 to the server, 1 to the client."""
    client, server = End(rng, True), End(rng, False)
    steps = [(0, PREFACE + frame(SETTINGS, 0, 0)), (1, frame(SETTINGS, 0, 0))]
    if rng.random() < 0.2:
        steps.reverse()  # a server may speak first: RFC 9113 sect. 3.4
    for _ in range(rng.randrange(1, 25)):
        way = rng.randrange(2)
        server.streams = client.streams
        steps.append((way, b"".join((server if way else client).one()
                                    for _ in range(rng.choice([1, 1, 3])))))
    return steps
