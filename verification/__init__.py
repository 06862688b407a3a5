# SPDX-License-Identifier: GPL-2.0-or-later
"""What takes too long for CI: the testcases tested by mutants, and the catalogue everywhere."""
