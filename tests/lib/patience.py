# SPDX-License-Identifier: GPL-2.0-or-later
"""How long a test waits for what has to happen: the time-out of every wait that names no other.

Long enough for a machine of a tenth of the speed, under a sanitizer, with others at work on it: only
what hangs takes so long. Where something must not happen, a test says itself how long it looks.
"""
PATIENCE = 60  # seconds
