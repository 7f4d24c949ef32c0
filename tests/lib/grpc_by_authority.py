# SPDX-License-Identifier: GPL-2.0-or-later
"""Twenty gRPC calls to the proxy on 127.0.0.1:9001, for the server that AUTHORITY names."""
import sys

import grpc

PLAIN = (None, None)  # messages are bytes


def main():
    channel = grpc.insecure_channel("127.0.0.1:9001", options=[
        ("grpc.default_authority", sys.argv[1]), ("grpc.enable_http_proxy", 0)])
    unary = channel.unary_unary("/test.v1.Peer/Unary", *PLAIN)
    good = sum(unary(b"%d" % n, timeout=60) == b"%d" % n for n in range(20))
    print("OK", good, flush=True)


main()
