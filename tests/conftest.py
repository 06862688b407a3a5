# SPDX-License-Identifier: GPL-2.0-or-later
"""What all tests share."""

import signal

from hypothesis import settings

# Where tests run in the background of a script, SIGINT is ignored, and so it would be in the
# commands that tests start and interrupt.
signal.signal(signal.SIGINT, signal.default_int_handler)

# How long an example takes is the host's doing: a test that hangs ends by its own limit.
settings.register_profile("patchbed", deadline=None)
settings.load_profile("patchbed")
