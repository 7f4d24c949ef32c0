# SPDX-License-Identifier: GPL-2.0-or-later
"""Blocks of addresses, no two of which touch, and addresses between them."""

FAMILIES = ("IPv4", "IPv6")


def block(family, i):
    return f"10.{i >> 8}.{i & 255}.0/25" if family == "IPv4" else f"fd00:{i:x}::/33"


def inside(family, i):
    return f"10.{i >> 8}.{i & 255}.1" if family == "IPv4" else f"fd00:{i:x}::1"


def behind(family, i):
    """In none: between this block and the next."""
    return f"10.{i >> 8}.{i & 255}.200" if family == "IPv4" else f"fd00:{i:x}:8000::1"


def write(path, count, families=FAMILIES):
    """A file of @count blocks, as many of each family, for --outbound-exclude-cidrs=@FILE."""
    with open(path, "w", encoding="ascii") as f:
        f.writelines(block(families[n % len(families)], n // len(families)) + "\n"
                     for n in range(count))
    return path
