# SPDX-License-Identifier: GPL-2.0-or-later
"""Medians, spreads, and ratios taken round by round."""

import statistics


def summarize(values):
    values = list(values)
    return {"median": statistics.median(values), "min": min(values), "max": max(values)}


def ratios(values, base):
    """Of value to base of the same round, so that what slows a whole round cancels out."""
    pairs = [v / b for v, b in zip(values, base) if b]
    return summarize(pairs) if pairs else None
