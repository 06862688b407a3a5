# SPDX-License-Identifier: GPL-2.0-or-later
"""From a kernel, an image and a machine to a running guest."""
