# SPDX-License-Identifier: GPL-2.0-or-later
"""Random conversations for tests/native/player.c: what is said, how it is cut, and how it ends."""
import json
import struct

from . import http2_random
from .http1_random import DEFECTS, Conversation
from .native import build
from .patience import PATIENCE
from .proc import Process

SEND, FIN, RESET = range(3)
ALL, ONE, FEW, MANY = range(4)
IN_STEP = 16
AT_ONCE = 48
PORT = 9300


def mutated(rng, data):
    """Bytes with one thing wrong: flipped, lost, doubled, thrown in, or another's length."""
    if not data:
        return data
    at = rng.randrange(len(data))
    end = min(len(data), at + rng.choice([1, 2, 10, 100]))
    how = rng.randrange(5)
    if how == 0:
        return data[:at] + bytes([data[at] ^ 1 << rng.randrange(8)]) + data[at + 1:]
    if how == 1:
        return data[:at] + data[end:]
    if how == 2:
        return data[:end] + data[at:]
    if how == 3:
        return data[:at] + http2_random.noise(rng, 30) + data[at:]
    return data[:at] + rng.choice([b"\r\n", b"\n", b"\0", b"Content-Length: 9\r\n", b"\xff" * 9,
                                   b"ffffffffffffffff\r\n", b"HTTP/1.1 200 OK\r\n\r\n"]) + data[end:]


def http1(rng):
    c = Conversation(rng, rng.choice(DEFECTS) if rng.random() < 0.5 else None)
    return [(way, b"".join(m.said[start:end] for m, start, end in pieces))
            for way, pieces in c.steps if pieces]


def others(rng):
    """TLS, Redis, lines, noise, nothing."""
    first = rng.choice([b"\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03" + http2_random.noise(rng, 600),
                        b"*1\r\n$4\r\nPING\r\n", b"220 ready\r\n", b"\0" * rng.randrange(3000),
                        http2_random.noise(rng, 300), b"PRI * HTTP/2.0\r\n\r\nXX", b"\r\n" * 50])
    steps = [(rng.randrange(2), http2_random.noise(rng, rng.choice([10, 1000])))
             for _ in range(rng.randrange(6))]
    return [(rng.randrange(2), first), *steps]


def long_one(rng):
    """Many requests and as many responses, with something behind them."""
    said = [b"", b""]
    for _ in range(rng.randrange(20, 60)):
        for way, data in http1(rng):
            said[way] += data
    return [(way, data + rng.choice([b"", b"~" * 100000])) for way, data in enumerate(said)]


def script(rng, resets, long=False):
    """The actions of one flow: (who, what, how, after, bytes)."""
    if long:
        return ended(rng, [[way, SEND, rng.choice([ALL, MANY]), 0, data]
                           for way, data in long_one(rng)])
    kind = rng.random()
    steps = http1(rng) if kind < 0.5 else http2_random.conversation(rng) if kind < 0.9 else \
        others(rng)
    if rng.random() < 0.5:
        steps = [(way, mutated(rng, data) if rng.random() < 0.3 else data) for way, data in steps]
    total = sum(len(data) for _, data in steps)
    # A byte at a time, each waited for, of what is short; of what is long without waiting.
    hows = [ALL, ALL, FEW, MANY, MANY | IN_STEP] + ([ONE | IN_STEP, FEW | IN_STEP]
                                                   if total < 2000 else []) + ([ONE] * (
                                                       total < 8000))
    how, in_turn = rng.choice(hows), rng.random() < 0.7
    actions, said = [], [0, 0]
    for who, data in steps:
        actions.append([who, SEND, how, said[1 - who] if in_turn else 0, data])
        said[who] += len(data)
    return broken(rng, actions, said) if resets else ended(rng, actions)


def ended(rng, actions):
    """Two FINs. Who ends first may be either, or both at once; it may end before the other has begun.
    """
    said = [sum(len(a[4]) for a in actions if a[0] == who) for who in (0, 1)]
    first = rng.randrange(2)
    late = rng.random() < 0.5
    actions.append([first, FIN, 0, said[1 - first] if rng.random() < 0.5 else 0, b""])
    actions.append([1 - first, FIN, 0, said[first] if late else 0, b""])
    return actions


def broken(rng, actions, said):
    """A reset at any point of what one end has to say, which may have ended its way before."""
    who = rng.randrange(2)
    at = rng.randrange(said[who] + 1)
    kept, gone = [], 0
    for action in actions:
        if action[0] == who:
            if gone == at and at:
                continue
            action[4] = action[4][:at - gone]
            gone += len(action[4])
        kept.append(action)
    # The other's turns that wait for what is never said do not come.
    for action in kept:
        if action[0] != who and action[3] > at:
            action[3] = at
    half_closed = rng.random() < 0.25
    if half_closed:
        kept.append([who, FIN, 0, 0, b""])
    after = rng.choice([0, rng.randrange(said[1 - who] + 1)])
    kept.append([who, RESET, 0, after, b""])
    if not half_closed and rng.random() < 0.25:
        kept.append([1 - who, FIN, 0, 0, b""])
    return kept


def write(path, rng, count, **kind):
    with open(path, "wb") as f:
        for _ in range(count):
            actions = script(rng, **kind)
            f.write(struct.pack(">II", len(actions), rng.randrange(1 << 32)))
            for who, what, how, after, data in actions:
                f.write(struct.pack(">BBBBII", who, what, how, 0, after, len(data)) + data)


def play(path, client, server, address, uid, room=0):
    """Plays a file; what the player counted. Fails at the first difference."""
    player = Process([build("player"), str(path), client.path, server.path, address, str(PORT),
                      str(AT_ONCE), str(uid or 0), str(room)])
    try:
        assert player.wait(timeout=4 * PATIENCE) == 0, player.output
    finally:
        player.end()
    return json.loads(player.lines[-1])
