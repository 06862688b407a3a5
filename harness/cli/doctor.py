# SPDX-License-Identifier: GPL-2.0-or-later
"""`patchbed doctor`: is everything there that patchbed needs?"""

from __future__ import annotations

from typing import Annotated

import typer


def doctor(
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON object, and nothing else.")
    ] = False,
) -> None:
    """Look at every prerequisite, and say what to do about each that is missing."""
    from harness.run.checkup import examine, show

    raise typer.Exit(show(examine(), as_json=as_json))
