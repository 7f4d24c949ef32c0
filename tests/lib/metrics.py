# SPDX-License-Identifier: GPL-2.0-or-later
"""Reads the text exposition format 0.0.4, strictly."""
import re

SAMPLE = re.compile(r'([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{(.*)\})? (\S+)$')
LABEL = re.compile(r'([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\\n]|\\["\\n])*)"(?:,|$)')


def _labels(text):
    labels, at = {}, 0
    while at < len(text):
        m = LABEL.match(text, at)
        assert m, f"not a label at {text[at:]!r}"
        assert m[1] not in labels, f"label {m[1]} twice in {text!r}"
        labels[m[1]] = m[2]
        at = m.end()
    return labels


class Metrics:
    """One scrape: samples as (name, labels, value), and the types told before them."""

    def __init__(self, text):
        self.samples, self.types, seen = [], {}, set()
        assert text.endswith("\n")
        for line in text.splitlines():
            if line.startswith("# TYPE "):
                _, _, name, kind = line.split(" ")
                assert name not in self.types, f"{name} has two TYPE lines"
                self.types[name] = kind
            elif not line.startswith("#"):
                m = SAMPLE.match(line)
                assert m, f"not a sample: {line!r}"
                labels = _labels(m[2] or "")
                key = (m[1], *sorted(labels.items()))
                assert key not in seen, f"sample twice: {line!r}"
                seen.add(key)
                self.samples.append((m[1], labels, float(m[3])))

    def find(self, name, **labels):
        """The samples of a name that have (at least) these labels."""
        return [(got, value) for n, got, value in self.samples if n == name
                and all(got.get(k) == str(v) for k, v in labels.items())]

    def sum(self, name, **labels):
        """Their sum; 0 where there is none."""
        return sum(value for _, value in self.find(name, **labels))

    def by(self, name, label, **labels):
        """Their sums by the value of one label."""
        sums = {}
        for got, value in self.find(name, **labels):
            sums[got.get(label)] = sums.get(got.get(label), 0) + value
        return sums
