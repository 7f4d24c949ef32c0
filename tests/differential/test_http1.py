# SPDX-License-Identifier: GPL-2.0-or-later
"""Random conversations in HTTP/1, cut at random: what our observer tells of them must be what Node's
parser (llhttp) finds in them, each time and length included. Where the two differ, one of RULES
says why. DIFFERENTIAL_SEED=N replays a run, DIFFERENTIAL_FLOWS=N sets its length."""
import collections
import os
import random
from pathlib import Path

from differential.flows import key_of, recording, seeded, told_by, told_by_us
from lib.http1_random import DEFECTS, TO_CLIENT, TO_SERVER, Conversation

FLOWS = int(os.environ.get("DIFFERENTIAL_FLOWS", "1300"))
NODE = ["node", "--no-deprecation", Path(__file__).parent / "node_peer.js"]
TOLD = "GET HEAD POST PUT DELETE CONNECT OPTIONS TRACE PATCH QUERY".split()

LINE, FIELD, LENGTH, CHUNK, CLOSED = ({f"HPE_{name}" for name in names.split()} for names in (
    "INVALID_METHOD INVALID_VERSION INVALID_CONSTANT INVALID_URL INVALID_STATUS",
    "INVALID_HEADER_TOKEN CR_EXPECTED LF_EXPECTED UNEXPECTED_SPACE",
    "INVALID_CONTENT_LENGTH UNEXPECTED_CONTENT_LENGTH INVALID_TRANSFER_ENCODING",
    "INVALID_CHUNK_SIZE STRICT CR_EXPECTED LF_EXPECTED", "CLOSED_CONNECTION"))
CLOSED |= {"unexpected response"}  # llhttp 6 passes over all requests after the one that closes
TAKEN = {None}  # Node does not refuse it

# A defect, or a defect and its way: how Node may refuse it; why we are lost (no reason: we go on);
# and the reason for the difference. Where we go on, we must tell what Node tells of the same
# conversation with the defect mended; where we are lost, that up to the defect.
GO_ON = set()
RULES = {
    # We only watch: what some server may answer is counted, and how it ends is plain.
    "unknown method": (LINE, GO_ON, "methods are tokens: RFC 9110 sect. 9.1; a 405 or 418 counts"),
    "method in lower case": (LINE, GO_ON, "a token, too, and another one than GET"),
    "blanks in the request line": (LINE, GO_ON, "RFC 9112 sect. 3 lets servers take it"),
    "minor version": (LINE, GO_ON, "1.x is framed as 1.1: RFC 9112 sect. 2.3"),
    "blank behind the version": (LINE, GO_ON, "RFC 9112 sect. 3 lets servers take it"),
    "blank in the target": (LINE, GO_ON, "from the last word: RFC 9112 sect. 3.2 calls for a 400"),
    "blank before a colon": (FIELD, GO_ON, "servers answer 400 or take it: RFC 9112 sect. 5.1"),
    "field without a colon": (FIELD, GO_ON, "no framing depends on it"),
    "control in a value": (FIELD, GO_ON, "no framing depends on it"),
    "NUL in a value": (FIELD, GO_ON, "no framing depends on it"),
    "bare LF": (FIELD, GO_ON, "RFC 9112 sect. 2.2"),
    "continued field": (FIELD, GO_ON, "obs-fold, of fields that frame nothing"),
    "blank behind a chunk size": (CHUNK, GO_ON, "RFC 9112 sect. 7.1.1: bad whitespace"),
    "bare LF behind a chunk size": (CHUNK, GO_ON, "RFC 9112 sect. 2.2"),
    "equal lengths": (LENGTH, GO_ON, "RFC 9110 sect. 8.6 allows it"),
    "list of equal lengths": (LENGTH, GO_ON, "RFC 9110 sect. 8.6 allows it"),
    "blanks before the status": (LINE, GO_ON, "plain all the same"),
    "request after Connection: close": (CLOSED, GO_ON, "a server may answer it nevertheless"),
    "response after Connection: close": (CLOSED, GO_ON, "a client may read it nevertheless"),
    # Neither is HTTP/1.
    "major version": (LINE, {"bad_request"}, "no HTTP/1"),
    "no version": (LINE, {"bad_request"}, "no HTTP"),
    "status of two digits": (LINE | TAKEN, {"bad_response"}, "no HTTP"),
    "status of four digits": (LINE, {"bad_response"}, "no HTTP"),
    "status line in lower case": (LINE, {"bad_response"}, "no HTTP"),
    "response of version 2": (LINE | CLOSED | TAKEN, {"bad_response"}, "Node takes it for HTTP/1"),
    # Where it ends depends on who reads it.
    "continued length": (FIELD | LENGTH, {"bad_request", "bad_response"}, "read in two ways"),
    "different lengths": (LENGTH, {"ambiguous_length"}, "read in two ways"),
    "signed length": (LENGTH, {"bad_request", "bad_response"}, "no length"),
    "empty length": (LENGTH, {"bad_request", "bad_response"}, "no length"),
    "length in hexadecimal": (LENGTH, {"bad_request", "bad_response"}, "no length"),
    "length too large": (LENGTH, {"bad_request", "bad_response"}, "no length"),
    "length and chunked": (LENGTH, {"ambiguous_length"}, "request smuggling: RFC 9112 sect. 11.2"),
    "chunk size is no number": (CHUNK, {"bad_chunk"}, "no size"),
    "chunk size without digits": (CHUNK, {"bad_chunk"}, "no size"),
    "chunk size too large": (CHUNK, {"bad_chunk"}, "no size"),
    "chunk without its end": (CHUNK | TAKEN, {"bad_chunk"}, "no end; llhttp 6 does not look"),
    "chunked twice": (LENGTH, GO_ON, "one way to read it, as llhttp 9 does in responses"),
    ("chunked is not last", TO_SERVER): (LENGTH, {"bad_request"}, "a request without an end"),
    ("unknown coding", TO_SERVER): (LENGTH, {"bad_request"}, "a request without an end"),
}
# What differs from what is meant, but not from what Node reads: RFC 9112 sect. 6.3 item 4.
AS_SAID = {("chunked is not last", TO_CLIENT), ("unknown coding", TO_CLIENT)}
# What some llhttp goes on with, and then goes wrong.
MISREAD = {
    "response after Connection: close",  # lenient: the length of the one stays for the next
    "blanks before the status",  # llhttp 6 reads no status
}


def exchanges(events):
    return [e for e in events if e["event"] == "exchange"]


def refusal(events):
    return next((e["code"] for e in events if e["event"] == "refused"), None)


def as_meant(c, events):
    """What the mended conversation tells, if it were said with the defect."""
    told = exchanges(events)
    if c.defect == "method in lower case" and len(told) > c.faulty[0]:
        told[c.faulty[0]]["method"] = "_OTHER"
    return told


def began(c):
    """When the first byte of the message with the defect came; sooner is safe, too."""
    where, side = c.faulty
    to_come = sum(1 for w, pieces in c.steps if w == side and pieces for _ in pieces)
    assert where < to_come
    first = [m for w, pieces in c.steps if w == side and pieces for m, start, _ in pieces
             if not start][where]
    seen, total = 0, 0
    for w, pieces in c.steps:
        for m, start, end in pieces or ():
            if w == side and m is first and not start:
                total = seen
            seen += (end - start) if w == side else 0
    for way, time, said, _ in c.recorded:
        if way == side and said is not None:
            if total < len(said):
                return time
            total -= len(said)
    raise AssertionError("it was never said")


def mend_cut_head(c, ours, theirs):
    """Of a head that is cut short we know the first line; Node waits for the last one."""
    if not c.cut:
        return ours
    way, message, length = c.cut
    if not message.line_end or not message.line_end <= length < message.head_end:
        return ours
    if way == TO_SERVER:
        last = ours[-1]
        method = message.method if message.method in TOLD else "_OTHER"
        assert last["method"] == method and last["version"] == ("1.0" if message.old else "1.1")
        assert last["status"] == last["request_body"] == last["response_body"] == 0
        assert last["error"] == "no_response"
        return ours[:-1]
    index = next(i for i, (a, b) in enumerate(zip(ours, theirs)) if a != b)
    cut = ours[index]
    assert (cut["status"], cut["error"], cut["response_body"]) == (message.status, "reset", 0)
    assert cut["first_byte"] >= cut["started"]
    mended = {**cut, "status": 0, "error": "no_response", "first_byte": 0}
    return ours[:index] + [mended] + ours[index + 1:]


def judge(c, ours, said, meant, lenient):
    """Why the three do not agree; None if they do, or if a rule says why not."""
    told = exchanges(ours)
    lost = [e["reason"] for e in ours if e["event"] == "lost"]
    wanted = as_meant(c, meant)
    if refusal(meant):
        return f"Node refuses what should be right: {refusal(meant)}"
    if not c.defect or (c.defect, c.faulty[1]) in AS_SAID:
        wanted = exchanges(said)
        told = mend_cut_head(c, told, wanted)
        return None if (told, lost, refusal(said)) == (wanted, [], None) else "they differ"
    codes, reasons, _ = RULES.get(c.defect) or RULES[c.defect, c.faulty[1]]
    # Some version of Node may take what we go on with: then it has to read the same.
    if refusal(said) not in (codes if reasons else codes | TAKEN):
        return f"{refusal(said)} is none of {codes}"
    if reasons == GO_ON:
        if lost or told != wanted:
            return "not as it is meant"
        # Where Node, or flags of it, go on, too, they have to read the same.
        others = [] if c.defect in MISREAD else [said, lenient]
        if any(not refusal(events) and told != exchanges(events) for events in others):
            return "not as Node reads it"
        return None
    # Never seen to be HTTP, a flow is not lost.
    silent = c.faulty == (0, TO_SERVER) and c.defect in ("major version", "no version")
    if lost != ([] if silent else lost[:1]) or not set(lost) <= reasons or len(lost) == silent:
        return f"lost: {lost}"
    if told != wanted[:len(told)]:
        return "other than before the defect"
    since = began(c)
    due = [e for e in wanted if e["ended"] < since and not e["error"]]
    return None if len(told) >= len(due) else "told too little"


def report(c, why, seed, index, ours, said, meant):
    lines = [f"DIFFERENTIAL_SEED={seed}: flow {index}, defect {c.defect}: {why}"]
    lines += [f"  {way} {time} {said}" for way, time, said, _ in c.recorded]
    for name, events in (("ours", ours), ("Node", said), ("Node, mended", meant)):
        lines += [name, *(f"  {key_of(e)}" for e in events)]
    return "\n".join(lines)


def test_every_defect_has_a_rule():
    named = {key if isinstance(key, str) else key[0] for key in [*RULES, *AS_SAID]}
    assert named == set(DEFECTS)


def test_node(record_property):
    seed = seeded(record_property)
    rng = random.Random(seed)
    flows = []
    for index in range(FLOWS):
        c = Conversation(rng, DEFECTS[index // 2 % len(DEFECTS)] if index % 2 else None)
        c.recorded, c.ended = c.segments()
        flows.append(c)

    def recorded(which):
        return recording([([(way + (2 if texts[0] is None else 0), time, texts[which] or b"")
                            for way, time, *texts in c.recorded], c.ended) for c in flows])

    ours = told_by_us(recorded(0))
    said, meant = told_by(NODE, recorded(0)), told_by(NODE, recorded(1))
    lenient = told_by([*NODE, "--lenient"], recorded(0))
    # The last flow is the empty one that ends the one before it.
    assert len(ours) == len(said) == len(meant) == len(lenient) == FLOWS + 1
    compared, wrong = collections.Counter(), []
    for index, (c, *told) in enumerate(zip(flows, ours, said, meant, lenient)):
        why = judge(c, *told)
        compared[c.defect] += len(exchanges(told[0]))
        if why:
            wrong.append(report(c, why, seed, index, *told[:3]))
    assert not wrong, f"{len(wrong)} differ, the first:\n{wrong[0]}"
    # It proves something.
    assert sum(compared.values()) > 1.5 * FLOWS and compared[None] > 0.9 * FLOWS
    assert all(compared[d] for d in DEFECTS if d in RULES and RULES[d][1] == GO_ON)
