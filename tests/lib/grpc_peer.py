# SPDX-License-Identifier: GPL-2.0-or-later
"""A gRPC server and a client that counts, as programs: grpcio keeps threads and sockets to itself.

    grpc_peer.py server PORT           prints "ready"; ends by a signal
    grpc_peer.py client TARGET ROUNDS [without-deadlines] [more-metadata] [traceparent=VALUE]
                                       makes calls of every kind; prints what it saw as JSON
"""
import collections
import json
import sys
import threading
import time
from concurrent import futures

import grpc

SERVICE = "test.v1.Peer"
PLAIN = (None, None)  # messages are bytes


def unary(request, context):
    # What came goes back, binary values and repeated keys too.
    context.send_initial_metadata([(k, v) for k, v in context.invocation_metadata()
                                   if k.startswith("x-")])
    context.set_trailing_metadata((("x-trailer", "1"),))
    return request


def fail(request, context):
    code = {c.value[0]: c for c in grpc.StatusCode}[int(request)]
    context.abort(code, "as asked")


slow_calls = threading.Condition()
slow_count = 0


def slow(request, context):
    # Until the client gives up, or far longer than any test.
    global slow_count
    gone = threading.Event()
    context.add_callback(gone.set)
    with slow_calls:
        slow_count += 1
        slow_calls.notify_all()
    gone.wait(120)
    return request


def arrived(request, context):
    # How many slow calls have come, once it is as many as that.
    with slow_calls:
        slow_calls.wait_for(lambda: slow_count >= int(request), 60)
        return b"%d" % slow_count


def download(request, context):
    for n in range(int(request)):
        yield b"%d" % n


def upload(requests, context):
    return b"%d" % sum(1 for _ in requests)


def chat(requests, context):
    for request in requests:
        yield request


def serve(port):
    rpc = {
        "Unary": grpc.unary_unary_rpc_method_handler(unary, *PLAIN),
        "Fail": grpc.unary_unary_rpc_method_handler(fail, *PLAIN),
        "Slow": grpc.unary_unary_rpc_method_handler(slow, *PLAIN),
        "Arrived": grpc.unary_unary_rpc_method_handler(arrived, *PLAIN),
        "Download": grpc.unary_stream_rpc_method_handler(download, *PLAIN),
        "Upload": grpc.stream_unary_rpc_method_handler(upload, *PLAIN),
        "Chat": grpc.stream_stream_rpc_method_handler(chat, *PLAIN),
    }
    server = grpc.server(futures.ThreadPoolExecutor(16), options=[("grpc.so_reuseport", 0)])
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, rpc),))
    server.add_insecure_port(f"[::]:{port}")
    server.start()
    print("ready", flush=True)
    server.wait_for_termination()


class Client:
    def __init__(self, target, trace=None):
        self.trace = (("traceparent", trace),) if trace else ()
        self.channel = grpc.insecure_channel(target, options=[("grpc.enable_retries", 0)])
        grpc.channel_ready_future(self.channel).result(timeout=60)
        self.calls = collections.Counter()  # "Method STATUS"
        self.sent = collections.Counter()  # messages by method
        self.received = collections.Counter()
        self.slow = int(self.arrived(0))

    def stub(self, kind, method):
        return getattr(self.channel, kind)(f"/{SERVICE}/{method}", *PLAIN)

    def took(self, method, status, sent, received):
        self.calls[f"{method} {status}"] += 1
        self.sent[method] += sent
        self.received[method] += received

    def fails(self, method, message, **how):
        try:
            self.stub("unary_unary", method)(message, **how)
        except grpc.RpcError as e:
            self.took(method, e.code().name, 1, 0)
        else:
            raise AssertionError(f"{method} did not fail")

    def arrived(self, count):
        self.took("Arrived", "OK", 1, 1)
        return self.stub("unary_unary", "Arrived")(b"%d" % count)

    def begin_slow(self, **how):
        """A call that is with the server: one that is given up sooner may never have been sent."""
        call = self.stub("unary_unary", "Slow").future(b"", **how)
        self.slow += 1
        self.arrived(self.slow)
        return call

    def round(self, index, exact=True):
        metadata = [("x-index", str(index)), ("x-bytes-bin", bytes(range(256))),
                    ("x-twice", "1"), ("x-twice", "2"), ("x-long", "v" * 5000)]
        for size in (0, 5, 100000, 4_000_000)[:3 if index else 4]:
            answer, call = self.stub("unary_unary", "Unary").with_call(
                b"x" * size, metadata=[*metadata, *self.trace])
            assert answer == b"x" * size
            assert not exact or \
                sorted(map(tuple, call.initial_metadata())) == sorted(metadata)
            assert [tuple(m) for m in call.trailing_metadata()] == [("x-trailer", "1")]
            self.took("Unary", "OK", 1, 1)
        for code in (3, 5, 14):
            self.fails("Fail", b"%d" % code)
        self.fails("Nowhere", b"")
        self.begin_slow().cancel()
        self.took("Slow", "CANCELLED", 1, 0)
        assert len(list(self.stub("unary_stream", "Download")(b"7"))) == 7
        self.took("Download", "OK", 1, 7)
        assert self.stub("stream_unary", "Upload")(iter([b"a"] * 9)) == b"9"
        self.took("Upload", "OK", 9, 1)
        assert list(self.stub("stream_stream", "Chat")(iter([b"b"] * 4))) == [b"b"] * 4
        self.took("Chat", "OK", 4, 4)

    def report(self):
        self.channel.close()
        return {"calls": self.calls, "sent": self.sent, "received": self.received}


if __name__ == "__main__":
    if sys.argv[1] == "server":
        serve(sys.argv[2])
    else:
        told = dict(a.split("=", 1) for a in sys.argv[4:] if "=" in a)
        client = Client(sys.argv[2], told.get("traceparent"))
        rounds = range(int(sys.argv[3]))
        # Time enough to arrive, on a busy machine; they run out while the rest goes on.
        late = [client.begin_slow(timeout=1) for _ in rounds if "without-deadlines" not in sys.argv]
        for i in rounds:
            client.round(i, "more-metadata" not in sys.argv)
        for call in late:
            client.took("Slow", call.code().name, 1, 0)
        # What was cancelled is gone before the connection is.
        time.sleep(0.1)
        print(json.dumps(client.report()))
