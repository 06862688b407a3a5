# SPDX-License-Identifier: GPL-2.0-or-later
"""Booting the kernels of a series' patches."""

from __future__ import annotations

import pytest

from harness.errors import GuestDied
from harness.kernel.artifact import Kernel
from harness.kernel.request import Where
from harness.outcomes import Outcome
from harness.run.check_job import CheckRequest, boot_probe


def request(boot_timeout: float = 60.0) -> CheckRequest:
    return CheckRequest(
        "debian-6.1", Where(), boot=True, accelerator="tcg", boot_timeout=boot_timeout
    )


def test_a_kernel_that_boots_is_good(kernel: Kernel) -> None:
    boot_probe(request())(kernel)


def test_a_kernel_that_takes_too_long_is_told(kernel: Kernel) -> None:
    with pytest.raises(GuestDied) as caught:
        boot_probe(request(boot_timeout=0.2))(kernel)
    assert caught.value.outcome is Outcome.KERNEL_BOOT_TIMEOUT
