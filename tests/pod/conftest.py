# SPDX-License-Identifier: GPL-2.0-or-later
"""Fixtures: one node with its images for all tests of a pytest process; each has pods of its own."""
import pytest

from lib.kubeplay import Pods
from lib.node import Node
from lib.pod_images import load_all


@pytest.fixture(scope="session")
def node():
    n = Node()
    try:
        load_all(n)
        yield n
    finally:
        n.close()


@pytest.fixture
def pods(node):
    """Pods of this test: they are gone at its end."""
    p = Pods(node)
    try:
        yield p
    finally:
        p.close()
