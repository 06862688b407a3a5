# SPDX-License-Identifier: GPL-2.0-or-later
"""A run's results as JUnit XML, for whatever reads that."""

from __future__ import annotations

import junitparser

from harness.outcomes import Outcome
from harness.report.words import printable
from harness.results.schema import BootResult, BuildResult, CellResult, Results, TestResult


def junit_text(results: Results) -> str:
    """Return the results as a JUnit file's text: a suite for each cell, and one for the builds.

    A testcase's classname is its area and its name its id. A known failure is a skip with its
    reason; what kept a testcase from judging (build.*, kernel.*, infra.*, test.*) is an error.
    """
    xml = junitparser.JUnitXml(name=printable(f"patchbed {results.run.id}"))
    builds = junitparser.TestSuite("builds")
    for build in results.builds:
        builds.add_testcase(_build_case(build))
    xml.add_testsuite(builds)
    for cell in results.cells:
        xml.add_testsuite(_suite(cell))
    # junitparser is only partly typed.
    xml.update_statistics()  # type: ignore[no-untyped-call]
    text: str = xml.tostring().decode("utf-8")  # type: ignore[no-untyped-call]
    return text


def _suite(cell: CellResult) -> junitparser.TestSuite:
    suite = junitparser.TestSuite(printable(cell.cell))
    for test in cell.tests:
        suite.add_testcase(_test_case(test))
    for boot in cell.boots:
        if not boot.outcome.expected and not boot.explained and not boot.during:
            suite.add_testcase(_boot_case(boot))
    if not cell.complete and not cell.tests:
        reason = "the cell was not tested to its end"
        suite.add_testcase(_case("cell", "cell", 0.0, Outcome.INFRA_CANCELLED, reason, ""))
    return suite


def _build_case(build: BuildResult) -> junitparser.TestCase:
    name = f"{build.variant}/{build.profile}"
    text = "\n".join(build.lines)
    return _case("build", name, build.seconds, build.outcome, build.message, text)


def _boot_case(boot: BootResult) -> junitparser.TestCase:
    text = "\n".join(boot.lines)
    return _case("boot", f"boot-{boot.boot}", 0.0, boot.outcome, boot.title, text)


def _test_case(test: TestResult) -> junitparser.TestCase:
    area, _, name = test.test.partition("/")
    checks = [f"{check.outcome.value} {check.check}: {check.reason}" for check in test.checks]
    text = "\n".join([*checks, *([test.detail] if test.detail else [])])
    return _case(area, name or area, test.seconds, test.outcome, test.reason, text)


def _case(
    area: str, name: str, seconds: float, outcome: Outcome, reason: str, text: str
) -> junitparser.TestCase:
    case = junitparser.TestCase(printable(name), printable(area), round(seconds, 3))
    if outcome is Outcome.PASS:
        return case
    words = f"{outcome.value}: {reason}" if reason else outcome.value
    result = _kind(outcome)(printable(words), outcome.value)
    if text:
        result.text = printable(text)
    case.result = [result]
    return case


def _kind(outcome: Outcome) -> type[junitparser.Skipped | junitparser.Failure | junitparser.Error]:
    if outcome.expected:
        return junitparser.Skipped
    if outcome in (Outcome.FAIL, Outcome.XPASS):
        return junitparser.Failure
    return junitparser.Error
