# SPDX-License-Identifier: GPL-2.0-or-later
"""Random conversations of two python3-h2 endpoints, cut at random: what our observer tells of them
must be what the reference (hyperframe and hpack) tells. DIFFERENTIAL_SEED=N replays a run,
DIFFERENTIAL_FLOWS=N sets its length."""
import os
import random
import struct

import h2.config
import h2.connection
import h2.events
import h2.exceptions
import h2.settings
import pytest

from differential.flows import key_of, recording, seeded, told_by_us
from differential.reference import Reference, TO_CLIENT, TO_SERVER

FLOWS = int(os.environ.get("DIFFERENTIAL_FLOWS", "150"))
CODES = (0, 1, 2, 5, 7, 8, 8, 8, 11)


class Pair:
    """A client and a server, and what is under way between them."""

    def __init__(self, rng):
        self.rng = rng
        settings = {"header_encoding": None, "validate_outbound_headers": False,
                    "validate_inbound_headers": False, "normalize_outbound_headers": False}
        self.client = h2.connection.H2Connection(h2.config.H2Configuration(True, **settings))
        self.server = h2.connection.H2Connection(h2.config.H2Configuration(False, **settings))
        for end in (self.client, self.server):
            end.initiate_connection()
        self.under_way = [b"", b""]
        self.requests = {}  # stream -> what the server has sent of its answer
        self.table_size = {}
        self.unacknowledged = {self.client, self.server}
        self.unused = set()
        self.gone = False

    def collect(self):
        self.under_way[TO_SERVER] += self.client.data_to_send()
        self.under_way[TO_CLIENT] += self.server.data_to_send()

    # ---- What the ends may do ----

    def extra_fields(self, huge=0.02):
        names = [b"x-a", b"x-request-id", b"user-agent", b"cookie", b"accept"]
        for _ in range(self.rng.randrange(5)):
            size = self.rng.choice([0, 3, 20, 200])
            value = bytes(self.rng.choice(b"abc019/-;= ~\xe9") for _ in range(size))
            yield self.rng.choice(names), value
        if self.rng.random() < huge:
            yield b"x-huge", b"h" * self.rng.randrange(10000, 50000)

    def content(self, grpc):
        if not grpc:
            return b"c" * self.rng.choice([0, 1, 9, 500, 3000])
        out = b""
        for _ in range(self.rng.randrange(4)):
            size = self.rng.choice([0, 1, 5, 300])
            out += struct.pack(">BI", self.rng.randrange(2), size) + b"m" * size
        return out if self.rng.random() < 0.9 else out[:-1]

    def request(self):
        rng = self.rng
        number = self.client.get_next_available_stream_id()
        grpc = rng.random() < 0.4
        fields = [(b":method", rng.choice([b"GET", b"POST", b"POST", b"PUT", b"CONNECT", b"BREW"])),
                  (b":scheme", b"http"),
                  (b":path", rng.choice([b"/", b"/index.html", b"/p.S/Get", b"/p.S/List"]))]
        if rng.random() < 0.9:
            fields.append((b":authority", rng.choice([b"web:8080", b"api", b"10.0.0.1:80"])))
        else:
            fields.append((b"host", b"old.example"))
        if grpc:
            fields[0] = (b":method", b"POST")
            fields[2] = (b":path", b"/p.S/" + rng.choice([b"Get", b"List", b"Watch"]))
            fields.append((b"content-type", rng.choice([b"application/grpc",
                                                        b"application/grpc+proto"])))
        elif rng.random() < 0.3:
            fields.append((b"content-type", rng.choice([b"text/plain", b"application/grpc-web"])))
        fields += self.extra_fields()
        self.client.send_headers(number, fields, end_stream=rng.random() < 0.4)
        self.unused.discard(self.server)
        self.requests[number] = {"grpc": grpc, "answered": False}

    def some_stream(self):
        return self.rng.choice(list(self.requests)) if self.requests else None

    def send_some(self, end, number):
        content = self.content(self.requests[number]["grpc"])
        padding = self.rng.randrange(256) if self.rng.random() < 0.3 else None
        end.send_data(number, content, end_stream=self.rng.random() < 0.3, pad_length=padding)

    def client_acts(self):
        action, number = self.rng.random(), self.some_stream()
        if number is None or action < 0.3:
            self.request()
        elif action < 0.7:
            self.send_some(self.client, number)
        elif action < 0.8:
            self.client.send_headers(number, [(b"x-trailer", b"1")], end_stream=True)
        elif action < 0.9:
            self.client.reset_stream(number, self.rng.choice(CODES))
        elif action < 0.95:
            self.client.ping(b"12345678")
        else:
            self.settings(self.client)

    def settings(self, end):
        # One at a time, and a block of the other side in between: of several, python-hpack says
        # some that are not allowed any more, and forgets one that it is told twice.
        if end in self.unacknowledged or end in self.unused:
            return
        self.unacknowledged.add(end)
        sizes = {0, 100, 1000, 4096, 10000} - {self.table_size.get(end, 4096)}
        size = self.table_size[end] = self.rng.choice(sorted(sizes))
        end.update_settings({h2.settings.SettingCodes.HEADER_TABLE_SIZE: size})

    def answer(self, number, request):
        rng = self.rng
        if rng.random() < 0.1:
            self.server.send_headers(number, [(b":status", b"103"), (b"link", b"x")])
            return
        fields = [(b":status", rng.choice([b"200", b"200", b"204", b"404", b"500", b"299"]))]
        end = rng.random() < 0.3
        if request["grpc"]:
            fields.append((b"content-type", b"application/grpc"))
            if end and rng.random() < 0.8:
                fields.append((b"grpc-status", b"%d" % rng.randrange(17)))
        fields += self.extra_fields()
        self.server.send_headers(number, fields, end_stream=end)
        self.unused.discard(self.client)
        request["answered"] = True

    def server_acts(self):
        action, number = self.rng.random(), self.some_stream()
        if number is None or action < 0.05:
            self.settings(self.server)
        elif action < 0.1:
            self.server.ping(b"abcdefgh")
        elif action < 0.2:
            self.server.reset_stream(number, self.rng.choice(CODES))
        elif action < 0.25:
            promised = self.server.get_next_available_stream_id()
            self.server.push_stream(number, promised,
                                    [(b":method", b"GET"), (b":path", b"/pushed"),
                                     *self.extra_fields(huge=0)])
            self.server.send_headers(promised, [(b":status", b"200")])
            self.server.send_data(promised, b"pushed", end_stream=True)
        elif not self.requests[number]["answered"]:
            self.answer(number, self.requests[number])
        elif action < 0.7:
            self.send_some(self.server, number)
        else:
            fields = [(b"x-end", b"1")]
            if self.requests[number]["grpc"] and self.rng.random() < 0.9:
                fields.append((b"grpc-status", b"%d" % self.rng.randrange(17)))
            self.server.send_headers(number, fields, end_stream=True)

    def act(self):
        """One end does something that HTTP/2 lets it do, or nothing."""
        if self.gone:
            return
        try:
            if self.rng.random() < 0.5:
                self.client_acts()
            else:
                self.server_acts()
        except (h2.exceptions.ProtocolError, h2.exceptions.FlowControlError):
            pass
        self.collect()

    def deliver(self, way, size):
        data, self.under_way[way] = self.under_way[way][:size], self.under_way[way][size:]
        end = self.server if way == TO_SERVER else self.client
        if not self.gone:
            try:
                for event in end.receive_data(data):
                    if isinstance(event, h2.events.SettingsAcknowledged):
                        self.unacknowledged.discard(end)
                        self.unused.add(end)
                    length = getattr(event, "flow_controlled_length", 0)
                    if length:
                        end.acknowledge_received_data(length, event.stream_id)
            except h2.exceptions.ProtocolError:
                self.gone = True
            except KeyError:
                pass
        self.collect()
        return data

    def goaway(self):
        last = self.rng.choice([0, 1, 3, 7, 2**31 - 1])
        if not self.gone:
            self.server.close_connection(last_stream_id=last)
            self.collect()


def flow(rng):
    """Segments [(kind, time, bytes)] of one connection, and what should be told of it."""
    pair, reference, segments, now = Pair(rng), Reference(), [], 10
    pair.collect()
    steps = rng.randrange(5, 120)
    greedy = rng.random() < 0.5
    for step in range(steps):
        now += rng.randrange(1, 5)
        if rng.random() < 0.5:
            pair.act()
        if step == steps - 5 and rng.random() < 0.3:
            pair.goaway()
        way = rng.randrange(2)
        size = rng.choice([1, 2, 9, 100, 70000]) if not greedy else 70000
        data = pair.deliver(way, size)
        if data:
            segments.append((way, now, data))
            reference.feed(way, data, now)
    if rng.random() < 0.8:
        while any(pair.under_way):
            for way in (TO_SERVER, TO_CLIENT):
                data = pair.deliver(way, 70000)
                now += 1
                if data:
                    segments.append((way, now, data))
                    reference.feed(way, data, now)
        segments.append((3, now, b""))
        reference.fin(TO_CLIENT, now)
    now += 5
    # A new flow's time is when the one before it ended.
    return segments, now, reference


def test_h2_endpoints(record_property):
    seed = seeded(record_property)
    rng = random.Random(seed)
    flows = [flow(rng) for _ in range(FLOWS)]
    ours = told_by_us(recording([(segments, now) for segments, now, _ in flows]))
    told = 0
    # The last flow is the empty one that ends the one before it.
    assert len(ours) == len(flows) + 1
    for index, ((_, now, reference), got) in enumerate(zip(flows, ours)):
        wanted = reference.close(now)
        told += len(wanted)
        if sorted(map(key_of, got)) != sorted(map(key_of, wanted)):
            pytest.fail(f"DIFFERENTIAL_SEED={seed}: flow {index}: ours\n" +
                        "\n".join(key_of(e) for e in got if e not in wanted) + "\nreference\n" +
                        "\n".join(key_of(e) for e in wanted if e not in got))
    # It proves something.
    assert told > 3 * FLOWS
