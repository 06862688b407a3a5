# SPDX-License-Identifier: GPL-2.0-or-later
"""Testcases: KTAP, the pytest plugin, the catalogue."""
