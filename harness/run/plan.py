# SPDX-License-Identifier: GPL-2.0-or-later
"""What a run is going to do: decided before anything is built."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from _pytest.mark.expression import Expression

from harness.config import LimitsTable, Settings
from harness.errors import UserError
from harness.kernel.default_base import settle
from harness.kernel.variant import Variant, parse

# The testcase that stands for each program of a collection of selftests.
KSELFTEST = "K9-kselftest"


@dataclass(frozen=True)
class Plan:
    """The variants to build and test, with which profiles, on which machine, and what to run.

    `selection` is a pytest `-k` expression, "" for every testcase; `kernel_patches` and
    `testcases` are the folders of series and testcases, `bases` the short names of bases. With
    `snapshot` each testcase has a guest of its own, restored from one that was saved. Storms
    multiply their work by `stress`. `kselftest` is a collection of the kernel's own selftests to
    run, "" for none.
    """

    variants: tuple[Variant, ...]
    reference: Variant
    profiles: tuple[str, ...]
    machine: str
    selection: str
    accelerator: str
    limits: LimitsTable
    kernel_patches: Path
    testcases: Path
    bases: Mapping[str, str]
    snapshot: bool = False
    stress: float = 1.0
    kselftest: str = ""

    def cell(self, variant: Variant, profile: str) -> str:
        """Return the name of the cell that tests `variant` with the kernel of `profile`."""
        # A base's path may lead upwards; the folder that is named by this must not.
        parts = ("__" if part == ".." else part for part in str(variant).split("/"))
        return f"{'/'.join(parts)}/{profile}/{self.machine}"


def make_plan(
    settings: Settings,
    folder: Path,
    *,
    variants: Sequence[str] = (),
    reference: str = "",
    profiles: Sequence[str] = (),
    machine: str = "",
    selection: str = "",
    accelerator: str = "auto",
    snapshot: bool = False,
    stress: float = 1.0,
    kselftest: str = "",
) -> Plan:
    """Return the plan that `settings` give; what the command line gives goes before.

    Relative paths in `settings` begin at `folder`.

    Raises:
        UserError: a variant is not of the form BASE[+SERIES@VERSION], or the reference is not
            one of the variants; or no base is installed that `debian` could stand for.
    """
    table = settings.plan
    patches = folder / settings.paths.kernel_patches
    asked = [parse(text) for text in variants or table.variants]
    *asked, chosen = settle(
        [*asked, parse(reference) if reference else asked[0]], settings.bases, patches
    )
    parsed = tuple(dict.fromkeys(asked))
    if chosen not in parsed:
        names = ", ".join(str(variant) for variant in parsed)
        raise UserError(
            f"the reference {chosen} is not one of the variants ({names})",
            hint=f"add --variant {chosen}, or leave --reference out",
        )
    return Plan(
        variants=parsed,
        reference=chosen,
        profiles=named_profiles(profiles) or named_profiles(table.profile),
        machine=machine or table.machine,
        selection=_selection(selection, kselftest, table.testcases),
        accelerator=accelerator,
        limits=settings.limits,
        kernel_patches=patches,
        testcases=folder / settings.paths.testcases,
        bases=settings.bases,
        snapshot=snapshot,
        stress=stress,
        kselftest=kselftest,
    )


def _selection(asked: str, kselftest: str, usual: str) -> str:
    """Return which testcases to run; a collection that is asked for stands for itself alone."""
    if asked:
        return asked
    if kselftest:
        return KSELFTEST
    return "" if usual == "all" else usual


def selects(selection: str, *names: str) -> bool:
    """Return whether pytest's `-k` would take a testcase that goes by `names`."""

    def named(word: str, /, **_options: object) -> bool:
        return any(word.lower() in name.lower() for name in names)

    return not selection or Expression.compile(selection).evaluate(named)


def named_profiles(asked: str | Sequence[str]) -> tuple[str, ...]:
    """Return the profiles that are named, each once; an entry may name several: "fast,debug"."""
    entries = [asked] if isinstance(asked, str) else asked
    names = [name.strip() for entry in entries for name in entry.split(",")]
    return tuple(dict.fromkeys(name for name in names if name))


def check_selection(selection: str) -> None:
    """Refuse a selection that pytest's `-k` would not take.

    Raises:
        UserError: it is no expression.
    """
    if not selection:
        return
    try:
        Expression.compile(selection)
    except SyntaxError as error:
        raise UserError(
            f"-k {selection!r} is no expression: {error}",
            hint="write names joined by and, or, not: 'secretmem and not S7'",
        ) from error
