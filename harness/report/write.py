# SPDX-License-Identifier: GPL-2.0-or-later
"""Every report of a run that is a file."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from harness.report.html import html_text
from harness.report.junit import junit_text
from harness.report.ktap import ktap_text
from harness.results.files import write_atomically
from harness.results.run_folder import RESULTS
from harness.results.schema import Results, dump_results

# By the name that `patchbed report --format` gives each: its file and what makes its text.
REPORTS: Mapping[str, tuple[str, Callable[[Results, Path], str]]] = {
    "json": (RESULTS, lambda results, _: dump_results(results)),
    "junit": ("junit.xml", lambda results, _: junit_text(results)),
    "ktap": ("results.ktap", lambda results, _: ktap_text(results)),
    "html": ("report.html", html_text),
}


def report_text(results: Results, folder: Path, form: str) -> str:
    """Return the text of one report, `form` being a name of `REPORTS`."""
    return REPORTS[form][1](results, folder)


def write_reports(folder: Path, results: Results) -> None:
    """Write results.json, junit.xml, results.ktap and report.html into the run folder.

    Raises:
        InfrastructureError: a file can't be written.
    """
    for form, (name, _) in REPORTS.items():
        write_atomically(folder / name, report_text(results, folder, form))
