# SPDX-License-Identifier: GPL-2.0-or-later
"""What the tests share: namespaces, processes, servers, and the two programs under test."""
