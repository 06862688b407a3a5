# SPDX-License-Identifier: GPL-2.0-or-later
"""What all tests share."""

import signal

# Where tests run in the background of a script, SIGINT is ignored, and so it would be in the
# commands that tests start and interrupt.
signal.signal(signal.SIGINT, signal.default_int_handler)
