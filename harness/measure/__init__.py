# SPDX-License-Identifier: GPL-2.0-or-later
"""What a guest says, or is seen, to have done to its direct map."""
