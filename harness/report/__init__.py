# SPDX-License-Identifier: GPL-2.0-or-later
"""Tables, pages and exchange formats made from results."""
