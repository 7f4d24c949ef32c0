# SPDX-License-Identifier: GPL-2.0-or-later
"""A WebSocket server that echoes, and a client that tells what it got, as programs.

    websocket_peer.py server PORT     prints "ready"; ends by a signal
    websocket_peer.py client URL      prints what came back as JSON
"""
import asyncio
import hashlib
import json
import sys

import websockets

MESSAGES = ["", "text", "ümläut" * 1000, b"", bytes(range(256)), b"\0" * 1_000_000, "x" * 100_000]


async def echo(socket, path=None):
    async for message in socket:
        if message == "bye":
            await socket.close(4321, "as asked")
        else:
            await socket.send(message)


async def serve(port):
    async with websockets.serve(echo, None, port, max_size=1 << 24):
        print("ready", flush=True)
        await asyncio.Future()


def digest(message):
    data = message.encode() if isinstance(message, str) else message
    return [type(message).__name__, len(data), hashlib.sha256(data).hexdigest()]


async def talk(url, compression):
    async with websockets.connect(url, compression=compression, max_size=1 << 24) as socket:
        got = []
        for message in MESSAGES:
            await socket.send(message)
            got.append(digest(await socket.recv()))
        await (await socket.ping(b"ping"))
        await socket.send(["in ", "three ", "frames"])
        got.append(await socket.recv())
        for n in range(500):
            await socket.send(str(n))
        got += [await socket.recv() for _ in range(500)]
        await socket.send("bye")
        try:
            await socket.recv()
        except websockets.ConnectionClosed as e:
            got.append([e.rcvd.code, e.rcvd.reason])
    return got


if __name__ == "__main__":
    if sys.argv[1] == "server":
        asyncio.run(serve(int(sys.argv[2])))
    else:
        print(json.dumps([asyncio.run(talk(sys.argv[2], c)) for c in (None, "deflate")]))
