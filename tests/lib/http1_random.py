# SPDX-License-Identifier: GPL-2.0-or-later
"""Random conversations in HTTP/1, most of them valid, some with one defect that has a name.

Everything is made twice, in step and byte for byte of the same length: as it is said, and as it is
meant, with the defect mended. A strict parser that refuses the one can be asked about the other.
"""

TO_SERVER, TO_CLIENT = 0, 1
METHODS = "GET GET GET HEAD POST POST PUT DELETE OPTIONS TRACE PATCH LOCK PROPFIND M-SEARCH".split()
HOSTS = ["web", "web:8080", "API.example", "10.0.0.1:80", "[fd00::1]:8080", "a.b.c.d.example"]
STATUSES = [200, 200, 200, 201, 202, 204, 206, 302, 304, 400, 404, 500, 503, 299, 999]

# What may be wrong with a request's line, with the fields of either, with content in chunks or
# with a length; and with a status line.
LINE = ["unknown method", "method in lower case", "blanks in the request line", "minor version",
        "blank behind the version", "major version", "no version", "blank in the target"]
FIELDS = ["blank before a colon", "field without a colon", "control in a value", "bare LF",
          "continued field", "continued length", "NUL in a value"]
CHUNKS = ["blank behind a chunk size", "chunk size is no number", "chunk size without digits",
          "chunk without its end", "chunk size too large", "bare LF behind a chunk size"]
LENGTHS = ["equal lengths", "list of equal lengths", "different lengths", "signed length",
           "empty length", "length in hexadecimal", "length too large"]
CODINGS = ["length and chunked", "chunked twice", "chunked is not last", "unknown coding"]
STATUS_LINE = ["status of two digits", "status of four digits", "blanks before the status",
               "status line in lower case", "response of version 2"]
AFTER = ["request after Connection: close", "response after Connection: close"]
DEFECTS = LINE + FIELDS + CHUNKS + LENGTHS + CODINGS + STATUS_LINE + AFTER
BOTH = FIELDS + CHUNKS + LENGTHS + CODINGS


class Message:
    """Bytes as they are said and as they are meant, and where the parts of it end."""

    def __init__(self):
        self.said = self.meant = b""
        self.line_end = self.head_end = 0

    def add(self, said, meant=None):
        meant = said if meant is None else meant
        assert len(said) == len(meant), (said, meant)
        self.said += said
        self.meant += meant

    def __len__(self):
        return len(self.said)


def letters(rng, most, of=b"abcXYZ019-_.~"):
    return bytes(rng.choice(of) for _ in range(rng.randrange(most + 1)))


def cased(rng, name):
    return rng.choice([name, name, name.lower(), name.upper(), name.title()])


def framing(rng, message, defect, kind, size):
    """Fields, in pairs of what is said and meant, that announce content of that kind."""
    n = b"%d" % size
    length = cased(rng, b"Content-Length") + b": "
    coding = cased(rng, b"Transfer-Encoding") + b": "
    other = b"X" + length[1:]
    if defect == "equal lengths":
        return [(length + n, None), (length + n, other + n)]
    if defect == "list of equal lengths":
        return [(length + n + b", " + n, length + b" " * (2 + len(n)) + n)]
    if defect == "different lengths":
        return [(length + n, None), (length + b"7" + n, other + b"7" + n)]
    if defect == "signed length":
        return [(length + b"+" + n, length + b"0" + n)]
    if defect == "empty length":
        return [(length + b" ", b"X" + length[1:] + b" "), (length + n, None)]
    if defect == "length in hexadecimal":
        return [(length + b"0x" + n, length + b"00" + n)]
    if defect == "length too large":
        return [(length + b"9" * 30, length + b"0" * (30 - len(n)) + n)]
    if defect == "length and chunked":
        return [(length + n, other + n), (coding + b"chunked", None)]
    if defect == "chunked twice":
        return [(coding + b"chunked, chunked", coding + b"gzip   , chunked")]
    if defect == "chunked is not last":
        return [(coding + b"chunked, gzip   ", coding + b"gzip   , chunked")]
    if defect == "unknown coding":
        return [(coding + b"chunkey", coding + b"chunked")]
    if kind == "length":
        return [(length + rng.choice([n, n, b" " + n, n + b" ", b"0" + n, b"\t" + n]), None)]
    if kind == "chunked":
        return [(coding + rng.choice([b"chunked", b"chunked", b"Chunked", b" chunked ",
                                      b"gzip, chunked", b"gzip,chunked"]), None)]
    return []


def fields(rng, message, defect, announced):
    """Header lines, those of `announced` among them, and the empty one that ends them."""
    lines = list(announced)
    for _ in range(rng.choice([0, 1, 2, 3, 8])):
        name = rng.choice([b"Accept", b"X-A", b"User-Agent", b"Cookie", b"content-type", b"X-Empty",
                           b"Hosts", b"Content-Lengths", b"Transfer", b"Upgrades"])
        value = rng.choice([b"", b"*/*", b"a=b; c=\"d:e\"", letters(rng, 30), letters(rng, 700),
                            b"v\xe9\xff", b"tab\there", b"  blanks  "])
        lines.insert(rng.randrange(len(lines) + 1), (name + b":" + rng.choice([b" ", b""]) + value,
                                                     None))
    odd = {"blank before a colon": (b"X-Odd : 1", b"X-Odd_: 1"),
           "field without a colon": (b"X-Odd 1", b"X-Odd:1"),
           "control in a value": (b"X-Odd: \x01", b"X-Odd: 1"),
           "bare LF": (b"X-Odd: 1\nX-Odd: 2", b"X-Odd: 1;X-Odd: 2"),
           "NUL in a value": (b"X-Odd: a\0b", b"X-Odd: a-b")}.get(defect)
    if odd:
        lines.insert(rng.randrange(len(lines) + 1), odd)
    for said, meant in lines:
        message.add(said, meant)
        message.add(b"\r\n")
        name = said.lower().partition(b":")[0]
        if defect == "continued field" and name not in (b"content-length", b"transfer-encoding",
                                                        b"host"):
            message.add(b" more\r\n", b"X:ore\r\n")
            defect = None
        if defect == "continued length" and name in (b"content-length", b"transfer-encoding"):
            message.add(b" 7\r\n", b"X:\r\n")
    message.add(b"\r\n")
    message.head_end = len(message)


def chunks(rng, message, defect, size):
    data = letters(rng, size, b"c\r\n0;: ")
    data += b"x" * (size - len(data))
    at = 0
    while at < size:
        piece = data[at:at + rng.choice([1, 7, 300, size])]
        at += len(piece)
        digits = (b"%x" if rng.random() < 0.7 else b"%X") % len(piece)
        digits = rng.choice([b"", b"", b"0", b"000"]) + digits
        extension = rng.choice([b""] * 5 + [b";a", b";a=b", b';a="q"', b";x=1;y=2"])
        said = {"blank behind a chunk size": (digits + b" ", b"0" + digits),
                "chunk size is no number": (b"zz" + digits, b"00" + digits),
                "chunk size without digits": (b";" + digits, b"0" + digits),
                "bare LF behind a chunk size": (b"0" + digits + b"\n", digits + b"\r\n"),
                "chunk size too large": (b"f" * 40, digits.rjust(40, b"0"))}.get(
                    defect, (digits + extension, None))
        message.add(*said)
        if defect != "bare LF behind a chunk size":
            message.add(b"\r\n")
        message.add(piece)
        if defect == "chunk without its end":
            message.add(b"xx", b"\r\n")
        else:
            message.add(b"\r\n")
        defect = None
    message.add(rng.choice([b"0", b"0", b"00", b"0;last"]) + b"\r\n")
    for _ in range(rng.choice([0, 0, 0, 1, 3])):
        message.add(rng.choice([b"X-T: 1", b"Content-MD5: abc", b"Expires:"]) + b"\r\n")
    message.add(b"\r\n")


def content(rng, message, defect, kind, size):
    if kind == "chunked":
        chunks(rng, message, defect, size)
    elif kind in ("length", "until end"):
        message.add(letters(rng, size, b"body\r\n :HTP/1.").ljust(size, b"b"))


def kind_for(rng, defect, kinds):
    """How content is framed, and how much there is; as the defect needs it."""
    size = rng.choice([0, 1, 5, 60, 60, 700, 3000])
    if defect in CHUNKS or defect in CODINGS:
        return "chunked", size or 5
    if defect in LENGTHS:
        return "length", size or 5
    kind = rng.choice(["length", "chunked"] if defect == "continued length" else kinds)
    return kind, size if kind != "none" else 0


def request_line(rng, message, defect):
    method = message.method.encode()
    said = {"unknown method": b"BREW", "method in lower case": method.lower()}.get(defect, method)
    version = b"HTTP/1.0" if message.old else b"HTTP/1.1"
    target = rng.choice([b"/", b"/index.html", b"/a/b?c=d&e=%20f", b"*", b"http://Abs.example/x",
                         b"http://user@abs.example:81/?q=http://x", b"/" + letters(rng, 600)])
    if defect or (target == b"*" and method != b"OPTIONS"):
        target = b"/origin"  # mended lines get longer targets, which must not become hosts
    if method == b"CONNECT":
        target = b"web.example:443"
    ends = {"minor version": (b"HTTP/1.7", b"HTTP/1.1"), "major version": (b"HTTP/3.1", version),
            "no version": (b"XTTP/1.1", version)}.get(defect, (version, None))
    message.add(said, method)
    message.add(b"  " if defect == "blanks in the request line" else b" ",
                b" /" if defect == "blanks in the request line" else None)
    message.add(target)
    if defect == "blank in the target":
        message.add(b" a", b"/a")
    message.add(b" ")
    message.add(*ends)
    if defect == "blank behind the version":
        message.meant = message.meant[:-9] + b"Z" + message.meant[-9:]
        message.said += b" "
    message.add(b"\r\n")
    message.line_end = len(message)


def request(rng, defect=None, method=None, last=False, upgrade=False):
    """A request; `last`: none follows on its connection."""
    m = Message()
    m.method = method or rng.choice(METHODS)
    if defect == "method in lower case":
        m.method = rng.choice(["GET", "POST", "PUT"])
    elif defect == "unknown method":
        m.method = "LOCK"
    m.old = rng.random() < 0.1 and not upgrade and defect not in ("minor version", *AFTER)
    kind, size = kind_for(rng, defect, ["none", "length", "chunked"] if m.method not in
                          ("GET", "HEAD", "CONNECT", "TRACE") else ["none"])
    if m.old and kind == "chunked" and not defect:
        kind = "length"
    if rng.random() < 0.05:
        m.add(rng.choice([b"\r\n", b"\r\n\r\n"]))
    request_line(rng, m, defect)
    announced = framing(rng, m, defect, kind, size)
    if not m.old or rng.random() < 0.5:
        announced.append((cased(rng, b"Host") + b": " + rng.choice(HOSTS).encode(), None))
    if upgrade:
        announced += [(b"Upgrade: websocket", None), (b"Connection: Upgrade", None)]
    if defect == "request after Connection: close":
        announced.append((b"Connection: close", b"Connection: alive"))
    elif m.old and not last:
        announced.append((b"Connection: keep-alive", None))
    elif last and not upgrade and rng.random() < 0.3:
        announced.append((b"Connection: close", None))
    fields(rng, m, defect, announced)
    content(rng, m, defect, kind, size)
    return m


def interim(rng, m):
    m.add(b"HTTP/1.1 " + rng.choice([b"100 Continue", b"102 ", b"103 Early Hints"]) + b"\r\n")
    for _ in range(rng.randrange(3)):
        m.add(b"Link: </a>; rel=preload\r\n")
    m.add(b"\r\n")


def response(rng, asked, defect=None, last=False, status=None):
    """The answer to `asked`, maybe after interim ones; `last`: it may end with the stream."""
    m = Message()
    m.status = status or rng.choice(STATUSES)
    if defect in CHUNKS + LENGTHS + CODINGS + ["continued length"]:
        m.status = 200
    m.old = rng.random() < 0.1 and m.status != 101 and defect not in AFTER
    tunnel = m.status == 101 or (asked.method == "CONNECT" and 200 <= m.status < 300)
    bare = tunnel or asked.method == "HEAD" or m.status in (204, 304)
    kinds = ["length", "length", "chunked"] + (["until end"] if last and not bare else [])
    kind, size = kind_for(rng, defect, kinds)
    while rng.random() < 0.1:
        interim(rng, m)
    m.interim_end = len(m)
    version = b"HTTP/1.0 " if m.old else b"HTTP/1.1 "
    number = b"%d" % m.status
    reason = rng.choice([b" OK", b" ", b"", b" Not a Number 404", b" \xe9t\xe9"])
    m.add(*{"status of two digits": (version + b"20 ", version + number),
            "status of four digits": (version + number + b"0 ", version + number + b" -"),
            "blanks before the status": (version + b" " + number + b" x",
                                         version + number + b"  x"),
            "status line in lower case": (version.lower() + number, version + number),
            "response of version 2": (b"HTTP/2.0 " + number, version + number)}.get(
                defect, (version + number, None)))
    if defect not in STATUS_LINE:
        m.add(reason)
    m.add(b"\r\n")
    m.line_end = len(m)
    announced = [] if tunnel else framing(rng, m, defect, kind, size)
    if m.status == 101:
        announced = [(b"Upgrade: websocket", None), (b"Connection: Upgrade", None)]
    elif defect == "response after Connection: close":
        announced.append((b"Connection: close", b"Connection: alive"))
    elif m.old and not last and not tunnel:
        announced.append((b"Connection: keep-alive", None))
    fields(rng, m, defect, announced)
    if not bare:
        content(rng, m, defect, kind, size)
    m.until_end = kind == "until end" and not bare
    return m


class Conversation:
    """Requests and responses in the order in which they go.

    `steps` are (way, pieces); a piece is (message, start, end). A way that ends is (way, None).
    """

    def __init__(self, rng, defect=None, cut=0.15):
        self.rng, self.defect = rng, defect
        self.steps = []
        self.faulty = None  # the number of the exchange with the defect, and its way
        self.cut = None  # (way, the message that is cut short, how much of it there is)
        count = rng.choice([1, 1, 2, 3, 5]) + (defect in AFTER)
        where = rng.randrange(count - (defect in AFTER))
        side = TO_SERVER if defect in LINE + AFTER[:1] else TO_CLIENT if defect in STATUS_LINE + \
            AFTER[1:] else rng.randrange(2)
        self.faulty = (where, side) if defect else None
        switches = not defect and rng.random() < 0.1
        done = 0
        while done < count:
            group = min(rng.choice([1, 1, 1, 2, 3]), count - done)
            self._group(done, group, done + group == count and not switches)
            done += group
        if switches:
            self._switch()
        if not defect and rng.random() < cut:
            self._cut()
        self._ends()

    def _defect(self, index, side):
        return self.defect if self.faulty == (index, side) else None

    def _group(self, first, count, last):
        """So many requests, one behind the other, and then their responses."""
        asked, answers = [], []
        for index in range(first, first + count):
            final = last and index == first + count - 1
            defect, other = self._defect(index, TO_SERVER), self._defect(index, TO_CLIENT)
            # An answer with a defect in its content must have content.
            m = request(self.rng, defect, "POST" if other else None, final)
            a = response(self.rng, m, other, final)
            asked.append(m)
            answers.append(a)
        m, room = asked[0], len(asked[0]) - asked[0].head_end
        if count == 1 and room > 2 and not self.defect and self.rng.random() < 0.2:
            # An early answer: the request is still coming.
            middle = m.head_end + self.rng.randrange(room)
            self._say(TO_SERVER, [(m, 0, middle)])
            self._say(TO_CLIENT, [(answers[0], 0, len(answers[0]))])
            self._say(TO_SERVER, [(m, middle, len(m))])
            return
        self._say(TO_SERVER, [(m, 0, len(m)) for m in asked])
        self._say(TO_CLIENT, [(m, 0, len(m)) for m in answers])

    def _say(self, way, pieces):
        self.steps.append((way, pieces))

    def _switch(self):
        """One more exchange, which may turn the connection into something else."""
        if self.rng.random() < 0.5:
            m = request(self.rng, method="CONNECT", last=True)
            a = response(self.rng, m, status=self.rng.choice([200, 200, 200, 403]))
            through = 200 <= a.status < 300
        else:
            m = request(self.rng, method="GET", last=True, upgrade=True)
            a = response(self.rng, m, status=self.rng.choice([101, 101, 200, 404]))
            through = a.status == 101
        self._say(TO_SERVER, [(m, 0, len(m))])
        self._say(TO_CLIENT, [(a, 0, len(a))])
        for way in (TO_SERVER, TO_CLIENT, TO_SERVER) if through else ():
            raw = Message()
            raw.add(letters(self.rng, 200, b"GET /\r\nHTP1.\x00\xff"))
            self._say(way, [(raw, 0, len(raw))])

    def _cut(self):
        index = self.rng.randrange(len(self.steps))
        way, pieces = self.steps[index]
        piece = self.rng.randrange(len(pieces))
        message, start, end = pieces[piece]
        if end - start < 2:
            return
        middle = self.rng.randrange(start + 1, end)
        self.cut = way, message, middle
        self.steps[index:] = [(way, pieces[:piece] + [(message, start, middle)])]

    def _ends(self):
        ends = self.rng.choice([[TO_CLIENT], [TO_SERVER, TO_CLIENT], [TO_CLIENT, TO_SERVER],
                                [TO_SERVER], [], ["early", TO_CLIENT]])
        if "early" in ends:
            at = max(i for i, (way, _) in enumerate(self.steps) if way == TO_SERVER)
            self.steps.insert(at + 1, (TO_SERVER, None))
            ends.remove("early")
        self.steps += [(way, None) for way in ends]

    def segments(self):
        """[(way, time, said, meant)], cut at random; None for both where a way ends."""
        rng, now, out = self.rng, 10, []
        sizes = rng.choice([[1, 2, 3], [70000], [1, 2, 9, 100, 1000, 70000]])
        for way, pieces in self.steps:
            if pieces is None:
                now += 1
                out.append((way, now, None, None))
                continue
            said = b"".join(m.said[start:end] for m, start, end in pieces)
            meant = b"".join(m.meant[start:end] for m, start, end in pieces)
            at = 0
            while at < len(said):
                size = rng.choice(sizes)
                now += rng.randrange(1, 5)
                out.append((way, now, said[at:at + size], meant[at:at + size]))
                at += size
        return out, now + 5
