# SPDX-License-Identifier: GPL-2.0-or-later
"""The plan of a run, and what carries it out."""
