# SPDX-License-Identifier: GPL-2.0-or-later
"""Measures patchbed against what it is made of, side by side on the same machine."""
