# SPDX-License-Identifier: GPL-2.0-or-later
"""The kinds of outcome that a build, a boot or a testcase can have."""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum


class Outcome(StrEnum):
    """How something ended. Unknown is never `pass`."""

    PASS = "pass"
    FAIL = "fail"
    SKIP = "skip"
    XFAIL = "xfail"
    XPASS = "xpass"
    KERNEL_PANIC = "kernel.panic"
    KERNEL_OOPS = "kernel.oops"
    KERNEL_WARN = "kernel.warn"
    KERNEL_LOCKUP = "kernel.lockup"
    KERNEL_HUNG_TASK = "kernel.hung_task"
    KERNEL_BOOT_TIMEOUT = "kernel.boot_timeout"
    KERNEL_LOST = "kernel.lost"
    BUILD_APPLY = "build.apply"
    BUILD_CONFIG = "build.config"
    BUILD_COMPILE = "build.compile"
    TEST_TIMEOUT = "test.timeout"
    TEST_ERROR = "test.error"
    INFRA_QEMU = "infra.qemu"
    INFRA_ACCEL = "infra.accel"
    INFRA_DISK = "infra.disk"
    INFRA_WORKER = "infra.worker"
    INFRA_CANCELLED = "infra.cancelled"
    HARNESS_BUG = "harness.bug"

    @property
    def expected(self) -> bool:
        """Whether this outcome leaves the exit code at 0."""
        return self in (Outcome.PASS, Outcome.SKIP, Outcome.XFAIL)

    @property
    def infrastructure(self) -> bool:
        """Whether the host, not the kernel under test, is to blame: only these are retried."""
        return self.value.startswith("infra.")

    @property
    def kernel_died(self) -> bool:
        """Whether the guest can't be used any more."""
        return self.value.startswith("kernel.") and self is not Outcome.KERNEL_WARN


# From the most to the least serious; a whole takes the outcome of its most serious part.
SEVERITY: tuple[Outcome, ...] = (
    Outcome.HARNESS_BUG,
    Outcome.KERNEL_PANIC,
    Outcome.KERNEL_OOPS,
    Outcome.KERNEL_LOCKUP,
    Outcome.KERNEL_HUNG_TASK,
    Outcome.KERNEL_LOST,
    Outcome.KERNEL_BOOT_TIMEOUT,
    Outcome.BUILD_APPLY,
    Outcome.BUILD_CONFIG,
    Outcome.BUILD_COMPILE,
    Outcome.FAIL,
    Outcome.KERNEL_WARN,
    Outcome.TEST_TIMEOUT,
    Outcome.TEST_ERROR,
    Outcome.INFRA_DISK,
    Outcome.INFRA_QEMU,
    Outcome.INFRA_ACCEL,
    Outcome.INFRA_WORKER,
    Outcome.INFRA_CANCELLED,
    Outcome.XPASS,
    Outcome.XFAIL,
    Outcome.PASS,
    Outcome.SKIP,
)


def worst(outcomes: Iterable[Outcome]) -> Outcome | None:
    """Return the most serious of `outcomes`, or None where there are none."""
    return min(outcomes, key=SEVERITY.index, default=None)


class ExitCode:
    """Exit codes, the same for every command."""

    OK = 0
    FAILURE = 1
    USAGE = 2
    INFRASTRUCTURE = 3
    NOTHING_RAN = 4


def exit_code(outcomes: Iterable[Outcome]) -> int:
    """Return the exit code of a run whose builds, boots and testcases ended as `outcomes`.

    A confirmed failure outweighs trouble with the infrastructure: it stays true whatever the
    host did. Where everything was skipped, or there is nothing, nothing ran.
    """
    seen = set(outcomes)
    unexpected = {outcome for outcome in seen if not outcome.expected}
    if any(not outcome.infrastructure for outcome in unexpected):
        return ExitCode.FAILURE
    if unexpected:
        return ExitCode.INFRASTRUCTURE
    if not seen - {Outcome.SKIP}:
        return ExitCode.NOTHING_RAN
    return ExitCode.OK
