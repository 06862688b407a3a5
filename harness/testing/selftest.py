# SPDX-License-Identifier: GPL-2.0-or-later
"""Running a program of the kernel's selftests in a guest, and judging what it printed."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from harness.errors import CommandTimeout
from harness.guest.speed import scaled
from harness.kernel.selftests import HUGE, Selftest, Selftests
from harness.outcomes import Outcome
from harness.testing.ktap import KtapResult, parse_ktap
from harness.testing.oracle import must

if TYPE_CHECKING:
    from harness.guest.guest import Completed, Guest

FOLDER = "/tmp/kselftest"  # noqa: S108
HUGE_PAGES = 192
# What tools/testing/selftests/kselftest.h has programs return that were skipped.
SKIPPED = 4
# Where a collection sets no limit of its own.
_LONGEST = 300.0
_LINES = 3


def judge_program(command: str, done: Completed) -> list[KtapResult]:
    """Return the results of a program called as `command`: those that it prints as KTAP.

    Its exit status is one more where it prints none, or where it says something else: 0 passed,
    4 skipped, anything else failed.
    """
    results = parse_ktap(done.stdout.decode(errors="replace").splitlines())
    if done.status == SKIPPED:
        outcome = Outcome.SKIP
        # It found in the middle of its plan that the rest can't be had here, and said so.
        results = [result for result in results if result.outcome is not Outcome.TEST_ERROR]
    else:
        outcome = Outcome.PASS if done.status == 0 else Outcome.FAIL
    if not results:
        reason = "" if outcome is Outcome.PASS else _last_words(done)
        return [KtapResult(command, outcome, reason)]
    explained = any(not result.outcome.expected for result in results)
    if outcome is Outcome.FAIL and not explained:
        results.append(KtapResult(command, Outcome.FAIL, f"exit status {done.status}"))
    return results


def _last_words(done: Completed) -> str:
    said = (done.stdout + b"\n" + done.stderr).decode(errors="replace").splitlines()
    words = "; ".join([line.strip() for line in said if line.strip()][-_LINES:])
    return words if done.status == SKIPPED else f"exit status {done.status}: {words}"


def run_selftest(guest: Guest, selftests: Selftests, program: Selftest) -> Iterator[KtapResult]:
    """Run every call of a program that was built; give each result as it is known.

    Raises:
        GuestDied: the kernel did not survive it.
    """
    limit = scaled(min(selftests.limit or _LONGEST, _LONGEST))
    file = f"{FOLDER}/{program.name}"
    must(guest, f"mkdir -p {FOLDER}")
    guest.put((selftests.folder / program.name).read_bytes(), file, 0o755)
    for arguments in program.commands:
        command = f"./{program.name} {arguments}".rstrip()
        try:
            done = guest.run(f"cd {FOLDER} && {command}", timeout=limit)
        except CommandTimeout:
            yield KtapResult(command, Outcome.TEST_TIMEOUT, f"not done within {limit:.0f} s")
            continue
        several = len(program.commands) > 1
        for result in judge_program(command, done):
            path = f"{arguments}/{result.path}" if several else result.path
            yield KtapResult(path, result.outcome, result.reason)
    guest.run(f"rm -f {shlex.quote(file)}")


@contextmanager
def huge_pages(guest: Guest) -> Iterator[None]:
    """Have huge pages of both kinds meanwhile, where the kernel has them, as the tests expect."""
    path = "/proc/sys/vm/nr_hugepages"
    transparent = "/sys/kernel/mm/transparent_hugepage/enabled"
    mount = f"{FOLDER}/{HUGE}"
    before = guest.run(f"sed 's/.*\\[\\(.*\\)\\].*/\\1/' {transparent}").stdout.decode().strip()
    guest.run(
        f"[ -e {path} ] && echo {HUGE_PAGES} > {path} && mkdir -p {mount}"
        f" && mount -t hugetlbfs none {mount}; [ -e {transparent} ] && echo always > {transparent}"
    )
    yield
    if guest.death is None:
        guest.run(f"umount {mount}; [ -e {path} ] && echo 0 > {path}")
        guest.run(f"[ -z '{before}' ] || echo {before} > {transparent}")
