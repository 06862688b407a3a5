# SPDX-License-Identifier: GPL-2.0-or-later
"""Who splits the direct map, as a comparison's folder keeps it: attribution.json."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from pydantic import Field, ValidationError

from harness.config import Model
from harness.errors import UserError
from harness.measure.attribution import Counted, folded
from harness.outcomes import Outcome
from harness.results.files import write_atomically

FILE = "attribution.json"
FOLDER = "attribution"
FORMAT = 1


class StackCount(Model):
    """A stack that split the direct map, names from the inside out, and how often."""

    frames: list[str]
    count: int


class AttributedBoot(Model):
    """One boot that was booted to be asked, never to be measured.

    `splits` is what /proc/vmstat counted meanwhile, `dropped` are stacks that there was no room
    for. Where `outcome` is no pass, `title` says why, and there are none.
    """

    variant: str
    workload: str
    outcome: Outcome = Field(strict=False)
    title: str = ""
    splits: int = 0
    dropped: int = 0
    stacks: list[StackCount] = Field(default_factory=list)

    def counts(self) -> dict[tuple[str, ...], int]:
        """Return how often each stack split something."""
        return {tuple(stack.frames): stack.count for stack in self.stacks}


class Attribution(Model):
    """All that was asked: of kernels with `profile`, in `world`."""

    format: int = FORMAT
    profile: str
    world: int
    boots: list[AttributedBoot] = Field(default_factory=list)

    def boot(self, variant: str, workload: str) -> AttributedBoot | None:
        """Return what the last boot of `variant` doing `workload` said."""
        found = [one for one in self.boots if (one.variant, one.workload) == (variant, workload)]
        return found[-1] if found else None

    def settled(self, variant: str, workload: str) -> bool:
        """Whether there is nothing left to boot: the host was not what failed."""
        known = self.boot(variant, workload)
        return known is not None and not known.outcome.infrastructure

    def with_boot(self, boot: AttributedBoot) -> Attribution:
        """Return the same with one more boot, in place of an earlier one of its kind."""
        kind = (boot.variant, boot.workload)
        others = [one for one in self.boots if (one.variant, one.workload) != kind]
        return self.model_copy(update={"boots": [*others, boot]})

    def ordered(self, asked: Sequence[tuple[str, str]]) -> Attribution:
        """Return the same in the order of `asked`, (variant, workload), however boots ended."""
        places = {kind: place for place, kind in enumerate(asked)}
        boots = sorted(self.boots, key=lambda one: places.get((one.variant, one.workload), -1))
        return self.model_copy(update={"boots": boots})


def attributed(variant: str, workload: str, found: Counted) -> AttributedBoot:
    """Return a boot that came through, with the most frequent stack first."""
    ordered = sorted(found.stacks.items(), key=lambda item: (-item[1], item[0]))
    return AttributedBoot(
        variant=variant,
        workload=workload,
        outcome=Outcome.PASS,
        splits=found.splits,
        dropped=found.dropped,
        stacks=[StackCount(frames=list(frames), count=count) for frames, count in ordered],
    )


def read_attribution(folder: Path) -> Attribution | None:
    """Return what is kept in a comparison's `folder`, None where nobody asked.

    Raises:
        UserError: it can't be read, or is of another version of patchbed.
    """
    path = folder / FILE
    try:
        return Attribution.model_validate_json(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, ValidationError) as error:
        raise UserError(
            f"{path} can't be used: {str(error).splitlines()[0]}",
            hint="remove it, and say --resume with --attribute",
        ) from error


def write_attribution(folder: Path, found: Attribution) -> None:
    """Write attribution.json into `folder`.

    Raises:
        InfrastructureError: the disk does not take it.
    """
    write_atomically(folder / FILE, found.model_dump_json(indent=1) + "\n")


def write_folded(folder: Path, boot: AttributedBoot) -> None:
    """Write a boot's stacks into `folder` as flame graphs take them: stacks.folded.

    Raises:
        InfrastructureError: the disk does not take it.
    """
    write_atomically(folder / "stacks.folded", folded(boot.counts()))
