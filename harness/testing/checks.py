# SPDX-License-Identifier: GPL-2.0-or-later
"""The checks of one testcase: each is a pytest subtest and an event."""

from __future__ import annotations

import itertools
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from harness.errors import GuestDied
from harness.events import Listener, TestCheck
from harness.outcomes import Outcome
from harness.testing.cut_short import names_of_module, results_until
from harness.testing.known_issues import Judged, KnownIssue, judge_check
from harness.testing.ktap import KtapResult, parse_ktap

if TYPE_CHECKING:
    from harness.guest.guest import Completed, Guest

MODULES = "/patchbed/modules"
PROGRAMS = "/patchbed/bin"
_MARKS = itertools.count(1)


class Checks:
    """Collects what a testcase finds; a check that fails does not stop the testcase.

    Every check is a result of its own in pytest (a subtest) and in the run (a `test-check`
    event), with known issues already taken into account.
    """

    def __init__(
        self,
        *,
        cell: str,
        test: str,
        guest: Guest,
        issues: Sequence[KnownIssue],
        listen: Listener,
        subtests: pytest.Subtests,
        limit: float,
        sources: Path,
    ) -> None:
        """`sources` is the folder of the testcases and of the modules that they load."""
        self._cell = cell
        self._test = test
        self._guest = guest
        self._issues = issues
        self._listen = listen
        self._subtests = subtests
        self._limit = limit
        self._sources = sources
        self.results: list[tuple[str, Judged]] = []
        self.recording = False

    def check(self, name: str, ok: bool, reason: str = "") -> None:
        """Record the check `name`; `reason` says what was seen where it is not `ok`."""
        outcome = Outcome.PASS if ok else Outcome.FAIL
        self._record(name, Judged(outcome, "" if ok else reason))

    def skip(self, name: str, reason: str) -> None:
        """Record that the check `name` could not be made, and why."""
        self._record(name, Judged(Outcome.SKIP, reason))

    def result(self, result: KtapResult) -> None:
        """Record a result that a program of others gave."""
        self._record(result.path, Judged(result.outcome, result.reason))

    def lines(self, text: str) -> list[KtapResult]:
        """Record every result in the KTAP `text` as a check, and return them."""
        results = parse_ktap(text.splitlines())
        for result in results:
            self.result(result)
        return results

    def program(self, command: str, *, timeout: float | None = None) -> Completed:
        """Run one of our programs in the guest; each KTAP line it prints becomes a check.

        `command` is its name in /patchbed/bin and its arguments. A program that ends with a
        status that its results don't explain is a failed check of its own.
        """
        done = self._guest.run(f"{PROGRAMS}/{command}", timeout=timeout or self._limit)
        results = self.lines(done.stdout.decode(errors="replace"))
        name = command.split(maxsplit=1)[0]
        if not results:
            self._record(name, Judged(Outcome.TEST_ERROR, _no_results(done)))
        elif done.status != 0 and all(result.outcome.expected for result in results):
            self._record(name, Judged(Outcome.TEST_ERROR, f"exit status {done.status}"))
        return done

    def module(self, name: str, *arguments: str, timeout: float | None = None) -> str:
        """Load one of our modules; each KTAP line in the kernel's log becomes a check.

        The module is unloaded again. Returns what the kernel logged meanwhile. Where the guest
        dies, what was reported before is recorded first, the death for the test that ran, and
        that the others did not run.

        Raises:
            GuestDied: the kernel did not survive it.
        """
        mark = f"patchbed: mark {next(_MARKS)} {name}"
        loading = shlex.join(["insmod", f"{MODULES}/{name}.ko", *arguments])
        script = (
            f"echo {shlex.quote(mark)} > /dev/kmsg; {loading}; status=$?; "
            f"[ $status -ne 0 ] || rmmod {shlex.quote(name)} || status=$?; "
            f"dmesg | sed -n '/{mark}/,$p'; exit $status"
        )
        guest = self._guest
        try:
            done = guest.run(script, timeout=timeout or self._limit)
        except GuestDied as death:
            console = (guest.folder / "console.log").read_text(errors="replace")
            said = console.partition(mark)[2].splitlines()
            for result in results_until(said, death, names_of_module(self._sources, name)):
                self.result(result)
            raise
        log = done.stdout.decode(errors="replace").partition("\n")[2]
        results = self.lines(log)
        if done.status != 0:
            reason = done.stderr.decode(errors="replace").strip() or f"status {done.status}"
            self._record(f"{name}: load and unload", Judged(Outcome.FAIL, reason))
        elif not results:
            reason = "the kernel's log has no result of it"
            self._record(name, Judged(Outcome.TEST_ERROR, reason))
        return log

    def _record(self, name: str, got: Judged) -> None:
        judged = judge_check(self._issues, self._test, name, got)
        self.results.append((name, judged))
        self._listen(
            TestCheck(
                cell=self._cell,
                test=self._test,
                check=name,
                outcome=judged.outcome,
                reason=judged.reason,
            )
        )
        self.recording = True
        try:
            self._tell_pytest(name, judged)
        finally:
            self.recording = False

    def _tell_pytest(self, name: str, judged: Judged) -> None:
        with self._subtests.test(msg=name):
            if judged.outcome is Outcome.SKIP:
                pytest.skip(judged.reason)
            if judged.outcome is Outcome.XFAIL:
                pytest.xfail(judged.reason)
            if not judged.outcome.expected:
                pytest.fail(f"{judged.outcome}: {judged.reason}", pytrace=False)


def _no_results(done: Completed) -> str:
    said = done.stderr.decode(errors="replace").strip() or "nothing on standard error"
    return f"no result in its output; exit status {done.status}; {said}"
