# SPDX-License-Identifier: GPL-2.0-or-later
"""A comparison's folder: its plan, stored before the first boot, and what each boot measured."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Self, TextIO

from filelock import FileLock, Timeout
from pydantic import Field, ValidationError

from harness.config import Model
from harness.errors import UserError
from harness.measure.comparison import Measured
from harness.measure.metric import Metric
from harness.outcomes import Outcome
from harness.results.files import write_atomically
from harness.results.run_folder import disk_error, find_named, make_folder

PLAN = "plan.json"
BOOTS = "boots.jsonl"
# Held by the process that boots.
LOCK = ".lock"
FORMAT = 1


class StoredPlan(Model):
    """What a comparison is going to do; nothing of it changes once it is stored.

    `variants` begin with the reference; `control` are the two variants of the placebo, or none.
    `blocks` are worlds on a deterministic machine. `seed` decides the order of boots, and the
    statistics. A `forced` comparison goes on where variants are not comparable, and says so.
    `patches` are the subjects of a series' patches where it is compared patch by patch: the first
    variant is the base then, and each patch has one; else there are none. `metrics` are what each
    workload declared at that time: what matters is not decided after the boots were seen.
    """

    format: int = FORMAT
    command: list[str]
    variants: list[str]
    control: list[str]
    profile: str
    machine: str
    accelerator: str
    workloads: list[str]
    blocks: list[int]
    seed: int
    gates: list[list[str]]
    version: str
    forced: bool = False
    patches: list[str] = Field(default=[])
    metrics: dict[str, list[Metric]] = Field(default={})


@dataclass(frozen=True)
class Boot:
    """One boot of the plan; a repetition is the self-check and counts for nothing else."""

    variant: str
    workload: str
    block: int
    repetition: bool = False


@dataclass(frozen=True)
class BootRecord:
    """What came of one boot. `attempt` counts from 1: the host's trouble is tried again.

    `same` tells of a repetition whether it gave the same bytes as the first, None where there was
    no first to hold it against.
    """

    boot: Boot
    outcome: Outcome
    attempt: int = 1
    title: str = ""
    seconds: float = 0.0
    same: bool | None = None
    values: dict[str, float] = field(default_factory=dict)
    splits: dict[int, int] = field(default_factory=dict)

    @property
    def settled(self) -> bool:
        """Whether it need not be booted again: it tells of the kernel, or checks the instrument."""
        return not self.outcome.infrastructure and not (self.boot.repetition and self.same is None)

    @property
    def measured(self) -> Measured:
        boot = self.boot
        return Measured(
            boot.variant,
            boot.workload,
            boot.block,
            self.outcome,
            self.values,
            self.title,
            self.splits,
        )


class CompareFolder:
    """A comparison's folder; enter it to add boots. Each is on its way to the disk at once.

    Whoever has entered it is alone: another process is refused with a UserError.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = threading.Lock()
        self._alone = FileLock(path / LOCK, timeout=0)
        self._stream: TextIO | None = None

    def __enter__(self) -> Self:
        path = self.path / BOOTS
        try:
            self._alone.acquire()
        except Timeout as error:
            raise UserError(
                f"another patchbed boots for {self.path}",
                hint="wait for it to end, or end it: what it measured is kept",
            ) from error
        except OSError as error:
            raise disk_error(self.path / LOCK, error) from error
        try:
            self._stream = path.open("a+", encoding="utf-8")
            _end_cut_line(path, self._stream)
        except OSError as error:
            self._alone.release()
            raise disk_error(path, error) from error
        return self

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
        self._alone.release()

    def append(self, record: BootRecord) -> None:
        """Keep what came of a boot; from any thread.

        Raises:
            InfrastructureError: the disk does not take it.
        """
        line = dump_record(record) + "\n"
        with self._lock:
            if self._stream is None:
                raise RuntimeError("the folder was not entered")
            try:
                self._stream.write(line)
                self._stream.flush()
                os.fsync(self._stream.fileno())
            except OSError as error:
                raise disk_error(self.path / BOOTS, error) from error

    def boot_folder(self, boot: Boot, attempt: int = 1) -> Path:
        """Return where a boot's raw files go."""
        again = "-again" if boot.repetition else ""
        retry = f"-{attempt}" if attempt > 1 else ""
        parts = [_slug(boot.variant), _slug(boot.workload), f"{boot.block}{again}{retry}"]
        return self.path.joinpath("boots", *parts)


def new_folder(runs: Path, plan: StoredPlan) -> CompareFolder:
    """Return a new folder in `runs` with `plan` stored in it.

    Raises:
        InfrastructureError: it can't be made.
    """
    _, path = make_folder(runs, datetime.now(UTC))
    write_atomically(path / PLAN, plan.model_dump_json(indent=1) + "\n")
    return CompareFolder(path)


def find_folder(runs: Path, name: str) -> CompareFolder:
    """Return the comparison called `name`: "last", an id or its beginning, or a folder.

    Raises:
        UserError: there is none, or more than one.
    """
    return CompareFolder(find_named(runs, name, PLAN, "comparison"))


def read_plan(folder: CompareFolder) -> StoredPlan:
    """Return the plan of a comparison.

    Raises:
        UserError: it can't be read, or is of another version of patchbed.
    """
    path = folder.path / PLAN
    try:
        return StoredPlan.model_validate_json(path.read_text(encoding="utf-8"))
    except (OSError, ValidationError) as error:
        raise UserError(
            f"{path} is no plan of this version: {str(error).splitlines()[0]}",
            hint="start a new comparison",
        ) from error


def read_records(folder: CompareFolder, arms: Sequence[str] = ()) -> list[BootRecord]:
    """Return what counts of each boot, in the order in which boots were begun with first.

    Where `arms` are given, the variants of each block, a block counts as a whole: what came
    through in it is of one attempt. A line without its end was cut when we were killed, and does
    not count.
    """
    return counting(list(_records(folder.path / BOOTS)), arms)


def counting(records: Sequence[BootRecord], arms: Sequence[str] = ()) -> list[BootRecord]:
    """Return the record that counts of each boot, of all attempts at it.

    What the kernel under test died of counts, whatever came later: only the host's trouble is
    tried again. A good boot counts before the host's trouble, and the last good one of all. A
    repetition that there was nothing to hold against is no better than the host's trouble. Of a
    block that has to be whole, see `read_records`, what came through in no attempt together does
    not count.
    """
    tried: dict[Boot, list[BootRecord]] = {}
    for record in records:
        tried.setdefault(record.boot, []).append(record)
    whole = _whole_attempts(records, arms) if arms else {}
    found: list[BootRecord] = []
    for boot, mine in tried.items():
        if arms and not boot.repetition:
            attempt = whole.get((boot.workload, boot.block))
            counted = [
                one for one in mine if one.outcome is not Outcome.PASS or one.attempt == attempt
            ]
        else:
            counted = mine
        if counted:
            found.append(max(counted, key=_weight))
    return found


def _weight(record: BootRecord) -> tuple[int, int]:
    """Return what orders the attempts at a boot: of the kernel's deaths the first counts."""
    if not record.settled:
        return 0, record.attempt
    return (1, record.attempt) if record.outcome is Outcome.PASS else (2, -record.attempt)


def _whole_attempts(
    records: Sequence[BootRecord], arms: Sequence[str]
) -> dict[tuple[str, int], int]:
    """Return the last attempt at each (workload, block) in which the host failed in no boot."""
    ended: dict[tuple[str, int, int], set[str]] = {}
    for one in records:
        boot = one.boot
        if not (boot.repetition or one.outcome.infrastructure):
            ended.setdefault((boot.workload, boot.block, one.attempt), set()).add(boot.variant)
    whole: dict[tuple[str, int], int] = {}
    for (workload, block, attempt), variants in ended.items():
        if variants >= set(arms):
            whole[workload, block] = max(attempt, whole.get((workload, block), 0))
    return whole


def attempts_at(folder: CompareFolder) -> dict[Boot, int]:
    """Return how often each boot has been tried; a boot that never was is not named."""
    tried: dict[Boot, int] = {}
    for record in _records(folder.path / BOOTS):
        tried[record.boot] = max(record.attempt, tried.get(record.boot, 0))
    return tried


def _records(path: Path) -> Iterator[BootRecord]:
    try:
        stream = path.open(encoding="utf-8", errors="replace")
    except OSError:
        return
    with stream:
        for line in stream:
            if not line.endswith("\n"):
                return
            try:
                yield load_record(line)
            except (ValueError, KeyError, TypeError):
                continue


def dump_record(record: BootRecord) -> str:
    """Return a boot as a line of JSON."""
    boot = record.boot
    return json.dumps(
        {
            "variant": boot.variant,
            "workload": boot.workload,
            "block": boot.block,
            "repetition": boot.repetition,
            "outcome": record.outcome,
            "attempt": record.attempt,
            "title": record.title,
            "seconds": round(record.seconds, 2),
            "same": record.same,
            "values": record.values,
            **({"splits": record.splits} if record.splits else {}),
        }
    )


def load_record(line: str) -> BootRecord:
    """Return the boot that `line` tells of.

    Raises:
        ValueError, KeyError, TypeError: it is none.
    """
    data = json.loads(line)
    return BootRecord(
        Boot(
            str(data["variant"]),
            str(data["workload"]),
            int(data["block"]),
            bool(data["repetition"]),
        ),
        Outcome(data["outcome"]),
        int(data["attempt"]),
        str(data["title"]),
        float(data["seconds"]),
        data["same"],
        dict(data["values"]),
        {int(percent): int(splits) for percent, splits in data.get("splits", {}).items()},
    )


def still_missing(
    wanted: Sequence[Boot], records: Sequence[BootRecord], *, whole: bool = False
) -> list[Boot]:
    """Return the boots of a plan that nothing is known of, or that the host kept from ending.

    So is a repetition that there was nothing to hold against. With `whole` blocks, all boots of a
    block in which one is missing.
    """
    known = {record.boot for record in records if record.settled}
    missing = [boot for boot in wanted if boot not in known]
    if not whole:
        return missing
    broken = {(boot.workload, boot.block) for boot in missing if not boot.repetition}
    return [
        boot
        for boot in wanted
        if boot not in known or (not boot.repetition and (boot.workload, boot.block) in broken)
    ]


def _end_cut_line(path: Path, stream: TextIO) -> None:
    """End a line that was cut when we were killed, so that the next is one of its own."""
    with path.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        if size:
            file.seek(size - 1)
            if file.read(1) != b"\n":
                stream.write("\n")


def _slug(text: str) -> str:
    kept = "".join(letter if letter.isalnum() or letter in "._@+=-" else "-" for letter in text)
    return kept.strip("-.") or "-"
