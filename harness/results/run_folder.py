# SPDX-License-Identifier: GPL-2.0-or-later
"""A run's folder: made, written to as things happen, and found again."""

from __future__ import annotations

import re
import secrets
import shutil
import threading
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Self, TextIO

from harness.errors import InfrastructureError, UserError
from harness.events import Event, dump_event
from harness.outcomes import Outcome

EVENTS = "events.jsonl"
RESULTS = "results.json"
LAST = "last"

_ID = re.compile(r"^[0-9]{8}-[0-9]{6}-[0-9a-f]{4}$")


def make_id(now: datetime, salt: str) -> str:
    """Return a run's id, such as "20261122-231500-ab12": UTC, so that ids sort by time."""
    return f"{now.astimezone(UTC):%Y%m%d-%H%M%S}-{salt}"


class RunFolder:
    """A new folder `runs/<id>/`; `append` is a listener that writes `events.jsonl`.

    Every event is on its way to the disk when `append` returns, so a run that is killed leaves
    all but the line that it was writing. A run that ends by an error before anything happened
    leaves no folder.
    """

    def __init__(self, runs: Path, now: datetime | None = None) -> None:
        """Take the folder that holds all runs; it is made where needed.

        Raises:
            InfrastructureError: the folder can't be made.
        """
        self.id, self.path = make_folder(runs, now or datetime.now(UTC))
        self._lock = threading.Lock()
        self._stream: TextIO | None = None
        self._lines = 0

    def __enter__(self) -> Self:
        try:
            self._stream = (self.path / EVENTS).open("w", encoding="utf-8")
        except OSError as error:
            raise disk_error(self.path / EVENTS, error) from error
        return self

    def append(self, event: Event) -> None:
        """Write one event, from any thread; what comes after the end is left out.

        Raises:
            InfrastructureError: the disk does not take it.
        """
        line = dump_event(event) + "\n"
        with self._lock:
            if self._stream is None:
                return
            try:
                self._stream.write(line)
                self._stream.flush()
            except OSError as error:
                raise disk_error(self.path / EVENTS, error) from error
            self._lines += 1

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        with self._lock:
            stream, self._stream = self._stream, None
        if stream is not None:
            stream.close()
        if error is not None and self._lines <= 1:
            shutil.rmtree(self.path, ignore_errors=True)


def make_folder(runs: Path, now: datetime) -> tuple[str, Path]:
    """Return the id and the path of a new folder in `runs`, which is made where needed.

    Raises:
        InfrastructureError: it can't be made.
    """
    try:
        runs.mkdir(parents=True, exist_ok=True)
        while True:
            name = make_id(now, secrets.token_hex(2))
            try:
                (runs / name).mkdir()
            except FileExistsError:
                continue
            return name, runs / name
    except OSError as error:
        raise disk_error(runs, error) from error


def disk_error(path: Path, error: OSError) -> InfrastructureError:
    """Return what to raise where a run's file or folder can't be written."""
    return InfrastructureError(
        Outcome.INFRA_DISK,
        f"{path}: can't be written: {error.strerror}",
        hint="free some space, or name another folder with --runs",
    )


def find_run(runs: Path, run: str) -> Path:
    """Return the folder of `run`: "last", an id or its beginning in `runs`, or a folder.

    Raises:
        UserError: there is no such run, or the beginning fits several.
    """
    return find_named(runs, run, EVENTS, "run")


def find_named(runs: Path, name: str, file: str, kind: str) -> Path:
    """Return the folder called `name` that has `file`, which makes it one of that `kind`.

    The name is "last", an id or its beginning in `runs`, or a path.

    Raises:
        UserError: there is none, or the beginning fits several.
    """
    named = Path(name)
    if (named / file).is_file():
        return named
    known = _list_folders(runs, file)
    fitting = known[-1:] if name == LAST else [path for path in known if path.name.startswith(name)]
    exact = [path for path in fitting if path.name == name]
    if len(exact or fitting) == 1:
        return (exact or fitting)[0]
    if fitting:
        names = ", ".join(path.name for path in fitting)
        raise UserError(f"{name!r} may be any of {names}", hint="give more of the id")
    latest = ", ".join(path.name for path in known[-5:]) or "none"
    raise UserError(
        f"no {kind} {name!r} in {runs}, and no folder of that name with {file}",
        hint=f"the latest {kind}s there: {latest}",
    )


def list_runs(runs: Path) -> list[Path]:
    """Return the folders of all runs in `runs`, the oldest first; none where it is missing."""
    return _list_folders(runs, EVENTS)


def _list_folders(runs: Path, file: str) -> list[Path]:
    try:
        return sorted(
            path for path in runs.iterdir() if _ID.match(path.name) and (path / file).is_file()
        )
    except OSError:
        return []
