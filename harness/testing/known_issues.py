# SPDX-License-Identifier: GPL-2.0-or-later
"""What a series is known to do wrong: which failures are expected, and which did not come."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Protocol

from harness.outcomes import Outcome, worst


class KnownIssue(Protocol):
    """A known issue as series.toml has it: patterns for a testcase and a check, and why."""

    @property
    def testcase(self) -> str: ...
    @property
    def check(self) -> str: ...
    @property
    def outcome(self) -> Outcome: ...
    @property
    def reason(self) -> str: ...
    @property
    def sometimes(self) -> bool: ...


@dataclass(frozen=True)
class Judged:
    """An outcome and its reason, after what is known has been taken into account."""

    outcome: Outcome
    reason: str = ""


def find_issue(
    issues: Sequence[KnownIssue], test: str, check: str, outcome: Outcome
) -> KnownIssue | None:
    """Return the known issue that explains `outcome` of `check` in `test`, if there is one.

    `check` is "" for the testcase itself, which only an issue for every check (`*`) explains.
    """
    for issue in issues:
        if (
            issue.outcome is outcome
            and fnmatchcase(test, issue.testcase)
            and fnmatchcase(check, issue.check)
        ):
            return issue
    return None


def judge_check(issues: Sequence[KnownIssue], test: str, check: str, got: Judged) -> Judged:
    """Return what a check's outcome means: a failure that is known is an `xfail`."""
    issue = find_issue(issues, test, check, got.outcome)
    if issue is None:
        return got
    return Judged(Outcome.XFAIL, f"{issue.reason} ({got.reason})" if got.reason else issue.reason)


def judge_test(
    issues: Sequence[KnownIssue], test: str, own: Judged, checks: Sequence[tuple[str, Judged]]
) -> Judged:
    """Return a testcase's outcome from its own and that of its checks (already judged).

    `own` is how the function itself ended. A known issue of this testcase that nothing showed
    makes a testcase that would else pass an `xpass`, unless it shows only `sometimes`, or the
    guest died before it could.
    """
    died = own.outcome.kernel_died
    own = judge_check(issues, test, "", own)
    parts = [own, *(judged for _, judged in checks)]
    serious = worst(part.outcome for part in parts) or Outcome.PASS
    if serious in (Outcome.PASS, Outcome.XFAIL) and not died and own.outcome is not Outcome.SKIP:
        silent = [
            issue
            for issue in issues
            if fnmatchcase(test, issue.testcase)
            and not issue.sometimes
            and not _shown(issue, own, checks)
        ]
        if silent:
            return Judged(Outcome.XPASS, f"known issue did not show: {silent[0].reason}")
    if own.outcome is serious:
        return own
    named = [(name, judged) for name, judged in checks if judged.outcome is serious]
    return Judged(serious, _summary(serious, named, len(checks)))


def _shown(issue: KnownIssue, own: Judged, checks: Sequence[tuple[str, Judged]]) -> bool:
    if own.outcome is Outcome.XFAIL and issue.check == "*":
        return True
    return any(
        judged.outcome is Outcome.XFAIL and fnmatchcase(name, issue.check)
        for name, judged in checks
    )


def _summary(serious: Outcome, named: Sequence[tuple[str, Judged]], total: int) -> str:
    if serious is Outcome.PASS:
        return ""
    first_name, first = named[0]
    reason = f"{first_name}: {first.reason}" if first.reason else first_name
    if len(named) == 1:
        return reason
    return f"{len(named)} of {total} checks; {reason}"
