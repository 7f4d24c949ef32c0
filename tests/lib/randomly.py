# SPDX-License-Identifier: GPL-2.0-or-later
"""Random tests that can be run again: where their seed comes from, and how long they may go on.

Everything random derives from one number, printed at the end of the run and taken from SLUICE_SEED
when that is set. Tests have a short form, which `make check` has time for, and a long one, which
SLUICE_SOAK asks for (`make soak`): 1 for all of it, 0.1 for a tenth.
"""
import os
import random


def seed():
    """This run's seed; the same in all its processes."""
    return int(os.environ.setdefault("SLUICE_SEED", str(random.SystemRandom().randrange(10**9))))


def generator(*names):
    """A generator of its own for each thing that is named, so that it can be made alone."""
    return random.Random(":".join(map(str, (seed(), *names))))


def times(short, long):
    """How often to do something."""
    soak = os.environ.get("SLUICE_SOAK")
    return max(short, int(long * float(soak))) if soak else short
