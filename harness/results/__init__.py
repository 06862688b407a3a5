# SPDX-License-Identifier: GPL-2.0-or-later
"""The run folder: the events that are the truth, and what is made from them."""
