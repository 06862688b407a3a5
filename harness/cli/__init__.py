# SPDX-License-Identifier: GPL-2.0-or-later
"""The command line: one module a command group; each parses, calls and prints."""
