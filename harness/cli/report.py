# SPDX-License-Identifier: GPL-2.0-or-later
"""`patchbed report`: any report of a past run."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer


class Format(StrEnum):
    """What a report can be."""

    TEXT = "text"
    HTML = "html"
    JSON = "json"
    JUNIT = "junit"
    KTAP = "ktap"


def report(
    run: Annotated[str, typer.Argument(help='An id or its beginning, a folder, or "last".')],
    form: Annotated[
        Format | None,
        typer.Option("--format", "-f", help="Print this one report, and write nothing."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="The same as --format json.")] = False,
    runs: Annotated[
        Path | None, typer.Option(help="Where run folders are; else beside patchbed.toml.")
    ] = None,
) -> None:
    """Make the reports of a past run again from its events, and show its tables.

    The exit code says whether the report could be made, not how the run ended.
    """
    from harness.paths import find_settings
    from harness.report.tables import print_tables
    from harness.report.write import report_text, write_reports
    from harness.results.event_log import read_events
    from harness.results.model import build_results
    from harness.results.run_folder import EVENTS, find_run

    where = runs or find_settings(Path.cwd()).resolve().parent / "runs"
    folder = find_run(where, run)
    results = build_results(read_events(folder / EVENTS))
    wanted = Format.JSON if as_json else form
    if wanted not in (None, Format.TEXT):
        typer.echo(report_text(results, folder, wanted.value), nl=False)
        return
    if wanted is None:
        write_reports(folder, results)
    print_tables(results, folder)
