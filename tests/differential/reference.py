# SPDX-License-Identifier: GPL-2.0-or-later
"""What an observer of HTTP/2 and gRPC should tell, worked out again with hyperframe and hpack.

Shares nothing with the program but the RFCs and design decisions: frames are parsed by hyperframe,
header blocks by hpack; only DATA is taken apart here, since it counts as it comes.
"""
import hpack
import hyperframe.frame as frames

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
METHODS = "GET HEAD POST PUT DELETE CONNECT OPTIONS TRACE PATCH QUERY".split()
STATUSES = ("OK CANCELLED UNKNOWN INVALID_ARGUMENT DEADLINE_EXCEEDED NOT_FOUND ALREADY_EXISTS "
            "PERMISSION_DENIED RESOURCE_EXHAUSTED FAILED_PRECONDITION ABORTED OUT_OF_RANGE "
            "UNIMPLEMENTED INTERNAL UNAVAILABLE DATA_LOSS UNAUTHENTICATED").split()
TO_SERVER, TO_CLIENT = 0, 1


def messages_in(content):
    """Whole messages with gRPC's prefix of five bytes."""
    count = at = 0
    while at + 5 <= len(content):
        at += 5 + int.from_bytes(content[at + 1:at + 5], "big")
        count += at <= len(content)
    return count


class Stream:
    def __init__(self, started, fields):
        self.started = started
        self.first = self.ended = 0
        self.status = 0
        self.done = [False, False]
        self.content = [b"", b""]
        method = fields.get(":method", "")
        self.method = method if method in METHODS else "_OTHER"
        self.path = fields.get(":path", "")
        host = fields.get(":authority", fields.get("host", ""))
        self.host = host.rsplit(":", 1)[0] if ":" in host else host
        kind = fields.get("content-type", "")
        self.grpc = kind == "application/grpc" or kind.startswith(("application/grpc+",
                                                                  "application/grpc;"))
        self.rpc_status = ""


class Lane:
    def __init__(self, way):
        self.way = way
        self.data = b""
        self.preface = way == TO_SERVER
        self.decoder = hpack.Decoder(max_header_list_size=1 << 20)
        # What the other side allows is the program's own test; here nothing is refused.
        self.decoder.max_allowed_table_size = 65535
        self.frame_at = None  # when the frame's first byte came
        self.data_frame = None
        self.block = None


class Reference:
    def __init__(self):
        self.lanes = [Lane(TO_SERVER), Lane(TO_CLIENT)]
        self.streams = {}
        self.last = 0
        self.goaway = 1 << 32
        self.events = []
        self.told = False
        self.server_ended = 0

    # ---- Telling ----

    def protocol(self, grpc):
        if not self.told:
            self.events.append({"event": "protocol", "protocol": "grpc" if grpc else "http2"})
        self.told = True

    def tell(self, number, error, ended):
        s = self.streams.pop(number)
        if not error and not s.status:
            error, s.rpc_status = "no_response", ""
        if s.grpc and not error and not s.rpc_status:
            error = "missing"
        event = {"host": s.host, "error": error, "started": s.started, "first_byte": s.first,
                 "ended": ended, "request_body": len(s.content[0]),
                 "response_body": len(s.content[1])}
        if s.grpc:
            event.update(event="call", method=s.path[1:], status=s.rpc_status,
                         messages_to_server=messages_in(s.content[0]),
                         messages_to_client=messages_in(s.content[1]))
        else:
            event.update(event="exchange", method=s.method, version="2", status=s.status)
            if not s.status:
                event["response_body"] = 0
        self.events.append(event)

    # ---- Frames ----

    def headers(self, way, number, fields, end, began, now):
        s = self.streams.get(number)
        if way == TO_CLIENT:
            if not s or s.done[TO_CLIENT]:
                return
            status = int(fields.get(":status", 0))
            first = not s.status
            if first and status >= 200:
                s.status, s.first = status, began
            if end:
                code = fields.get("grpc-status")
                s.rpc_status = "" if code is None else STATUSES[int(code)]
                self.end(way, number, now)
            elif first and s.method == "CONNECT" and 200 <= s.status < 300:
                self.tell(number, "", now)
            return
        if not s and number % 2 and number > self.last:
            self.last = number
            s = self.streams[number] = Stream(began, fields)
            self.protocol(s.grpc)
        if s and number > self.goaway:
            self.tell(number, "no_response", now)
        elif s and end:
            self.end(way, number, now)

    def end(self, way, number, now):
        s = self.streams.get(number)
        if not s or s.done[way]:
            return
        s.done[way] = True
        if way == TO_CLIENT:
            s.ended = now
        if all(s.done):
            self.tell(number, "", s.ended)

    def frame(self, lane, f, now):
        way = lane.way
        if isinstance(f, (frames.HeadersFrame, frames.PushPromiseFrame)):
            lane.block = [f, b"", lane.frame_at]
        if lane.block:
            lane.block[1] += f.data
            if "END_HEADERS" in f.flags:
                first, data, began = lane.block
                fields = {}
                for name, value in lane.decoder.decode(data, raw=True):
                    fields[name.decode("latin-1")] = value.decode("latin-1")
                lane.block = None
                if isinstance(first, frames.HeadersFrame):
                    self.headers(way, first.stream_id, fields, "END_STREAM" in first.flags,
                                 began, now)
        elif isinstance(f, frames.RstStreamFrame) and f.stream_id in self.streams:
            s = self.streams[f.stream_id]
            if s.done[TO_CLIENT]:
                self.tell(f.stream_id, "", s.ended)
            else:
                cancel = way == TO_SERVER and f.error_code == 8
                self.tell(f.stream_id, "cancelled" if cancel else "reset", now)
        elif isinstance(f, frames.GoAwayFrame) and way == TO_CLIENT:
            self.goaway = min(self.goaway, f.last_stream_id)
            for number in [n for n in self.streams if n > self.goaway]:
                self.tell(number, "no_response", now)

    # ---- Bytes ----

    def data_bytes(self, lane, now):
        """Content of a DATA frame, as far as it is there. False: more is needed."""
        f = lane.data_frame
        if f["padded"]:
            if not lane.data:
                return False
            f["padding"], f["padded"] = lane.data[0], False
            f["left"] -= 1 + lane.data[0]
            lane.data = lane.data[1:]
        part, lane.data = lane.data[:f["left"]], lane.data[f["left"]:]
        f["left"] -= len(part)
        s = self.streams.get(f["stream"])
        if s and not s.done[lane.way]:
            s.content[lane.way] += part
        if f["left"]:
            return False
        gone = min(f["padding"], len(lane.data))
        lane.data = lane.data[gone:]
        f["padding"] -= gone
        if f["padding"]:
            return False
        lane.data_frame = None
        if f["end"]:
            self.end(lane.way, f["stream"], now)
        return True

    def feed(self, way, data, now):
        lane = self.lanes[way]
        for at in range(len(data)):
            # One byte at a time, so that every frame knows when its first one came.
            lane.data += data[at:at + 1]
            if lane.preface:
                if len(lane.data) == len(PREFACE):
                    assert lane.data == PREFACE
                    lane.data, lane.preface = b"", False
                continue
            if lane.data_frame is None:
                if len(lane.data) == 1:
                    lane.frame_at = now
                if len(lane.data) < 9:
                    continue
                length = int.from_bytes(lane.data[:3], "big")
                if lane.data[3] == 0:
                    flags = lane.data[4]
                    lane.data_frame = {"padded": bool(flags & 8), "padding": 0, "left": length,
                                       "stream": int.from_bytes(lane.data[5:9], "big"),
                                       "end": flags & 1}
                    lane.data = b""
                    if not length:
                        self.data_bytes(lane, now)
                    continue
                if len(lane.data) == 9 + length:
                    f, _ = frames.Frame.parse_frame_header(memoryview(lane.data[:9]))
                    f.parse_body(memoryview(lane.data[9:]))
                    lane.data = b""
                    self.frame(lane, f, now)
                continue
            self.data_bytes(lane, now)

    def fin(self, way, now):
        if way == TO_CLIENT:
            self.server_ended = now

    def close(self, now):
        # Without the client's whole preface it was nothing.
        if not self.lanes[TO_SERVER].preface:
            self.protocol(False)
        for number, s in list(self.streams.items()):
            ended = self.server_ended if 0 < s.started <= self.server_ended else now
            if s.done[TO_CLIENT]:
                self.tell(number, "", s.ended)
            else:
                self.tell(number, "reset" if s.status else "no_response", ended)
        return self.events
