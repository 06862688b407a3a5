# SPDX-License-Identifier: GPL-2.0-or-later
"""patchbed: a testbed for Linux kernel patch series that change the x86-64 direct map."""

__version__ = "0.1.0"
