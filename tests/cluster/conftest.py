# SPDX-License-Identifier: GPL-2.0-or-later
"""Fixtures for tests in a real Kubernetes: `make check-cluster`, or, with a cluster up by hand,
scripts/check-cluster --keep FILE."""
import subprocess

import pytest

from lib.cluster import DIRECTORY, Cluster, Namespace
from lib.sluice import ROOT


@pytest.fixture(scope="session")
def cluster():
    """The one in $SLUICE_CLUSTER (build/cluster)."""
    done = subprocess.run([ROOT / "scripts" / "cluster", "--dir", DIRECTORY, "status"],
                          capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{done.stdout}{done.stderr}: run make check-cluster"
    return Cluster()


@pytest.fixture
def make_namespace(cluster):
    """Makes namespaces, with a level of Pod Security if wanted, which go with the test."""
    made = []

    def make(level=None):
        made.append(Namespace(cluster, level))
        return made[-1]

    yield make
    for one in made:
        one.delete()


@pytest.fixture
def namespace(make_namespace):
    return make_namespace()
