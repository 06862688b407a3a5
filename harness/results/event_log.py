# SPDX-License-Identifier: GPL-2.0-or-later
"""Reading an `events.jsonl` back."""

from __future__ import annotations

from pathlib import Path

from pydantic import ValidationError

from harness.errors import ParseError, UserError
from harness.events import Event, load_event


def parse_events(data: bytes, name: str = "events.jsonl") -> list[Event]:
    """Return the events of an `events.jsonl`.

    The last line may be cut, where the run was killed while it wrote it: it is left out. `name`
    is what an error calls the file.

    Raises:
        ParseError: another line is no event.
    """
    # Only a line with its newline is whole.
    lines = data.split(b"\n")[:-1]
    events: list[Event] = []
    for number, line in enumerate(lines, start=1):
        try:
            events.append(load_event(line.decode("utf-8")))
        except (ValidationError, UnicodeDecodeError) as error:
            raise ParseError(
                name,
                number,
                f"no event of this version: {_first_problem(error)}",
                hint="read it with the version of patchbed that wrote it (its first line says)",
            ) from error
    return events


def _first_problem(error: ValidationError | UnicodeDecodeError) -> str:
    if isinstance(error, UnicodeDecodeError):
        return error.reason
    first = error.errors(include_url=False)[0]
    where = ".".join(str(part) for part in first["loc"])
    return f"{where}: {first['msg']}" if where else first["msg"]


def read_events(path: Path) -> list[Event]:
    """Return the events in the file at `path`.

    Raises:
        UserError: it can't be read.
        ParseError: see `parse_events`.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise UserError(f"{path}: can't be read: {error.strerror}") from error
    return parse_events(data, str(path))
