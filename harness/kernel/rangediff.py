# SPDX-License-Identifier: GPL-2.0-or-later
"""What changed between two versions of a series: `git range-diff` of their commits."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.errors import UserError
from harness.events import Listener
from harness.kernel.apply import apply_patches
from harness.kernel.cache import Cache, default_cache
from harness.kernel.gitstore import Git, init_scratch
from harness.kernel.interrupt import terminable
from harness.kernel.request import Where
from harness.kernel.series import kernels_of, load_series, parse_name
from harness.kernel.source import Base, find_source, obtain_base
from harness.kernel.teller import Teller
from harness.kernel.variant import Variant, parse

_KERNEL = re.compile(r"\d+\.\d+")
_PAIR = re.compile(
    r"\s*(\d+|-):\s+(?:[0-9a-f]{40}|-{40}) ([=!<>])\s+(\d+|-):\s+(?:[0-9a-f]{40}|-{40}) (.*)"
)
_CHANGES = {"=": "unchanged", "!": "changed", "<": "removed", ">": "added"}
_INDENT = "    "
# Percent of a patch that its successor may cost, for git range-diff. With git's 60 a patch that was
# written anew for the next version counts as removed and added; above 100 any two are a pair.
_CREATION_FACTOR = 80


@dataclass(frozen=True)
class Part:
    """A patch's number in its version, from 1, and its subject."""

    index: int
    subject: str


@dataclass(frozen=True)
class Pair:
    """A patch in both versions, or in one: `change` is unchanged, changed, added or removed.

    `diff` is the diff between the two patches, "" unless they are changed.
    """

    change: str
    old: Part | None
    new: Part | None
    diff: str


@dataclass(frozen=True)
class Side:
    """A version of a series with the kernel that its commits are made on."""

    text: str
    base: str
    patches: Sequence[Path]
    commit: str


@dataclass(frozen=True)
class Comparison:
    """Two versions: the names of their bases, the patches in pairs, and git's own text."""

    old: Side
    new: Side
    pairs: Sequence[Pair]
    text: str


def compare_versions(
    old: str,
    new: str,
    *,
    listen: Listener,
    base: str = "",
    colour: bool = False,
    where: Where | None = None,
    cache: Cache | None = None,
) -> Comparison:
    """Compare two versions of a series.

    Each is SERIES@VERSION, BASE+SERIES@VERSION or a folder of patches. `base` is the kernel for
    both: a base, or a major.minor, which means Debian's; else it is the newest that both have
    patches for, or each version's own. `colour` puts colours into `text`.

    Raises:
        UserError: there is no such version or base.
        BuildError: build.apply: a patch does not apply.
        InfrastructureError: the disk is full.
    """
    where, cache = where or Where(), cache or default_cache()
    teller = Teller(Variant(f"{old} and {new}"), "", listen)
    with terminable(), cache.scratch() as folder:
        finder = _Finder(where, cache, teller)
        kernels = _choose_bases(finder.kernels(old), finder.kernels(new), base)
        sides = (finder.find(old, kernels[0]), finder.find(new, kernels[1]))
        first = _commit(sides[0], folder / "old", Git(cache.store), teller)
        second = _commit(sides[1], folder / "new", first, teller)
        ranges = [
            f"{side.commit}..{git.find('HEAD')}"
            for side, git in zip(sides, (first, second), strict=True)
        ]
        pairing = f"--creation-factor={_CREATION_FACTOR}"
        plain = second.run("-c", "core.abbrev=40", "range-diff", "--no-color", pairing, *ranges)
        colours = f"--color={'always' if colour else 'never'}"
        shown = second.run("range-diff", colours, pairing, *ranges)
        subjects = [
            second.run("log", "--reverse", "--format=%s", commits).splitlines()
            for commits in ranges
        ]
    return Comparison(*sides, parse_range_diff(plain, *subjects), shown)


def parse_range_diff(text: str, old: Sequence[str], new: Sequence[str]) -> list[Pair]:
    """Return the pairs that `git range-diff` prints with whole ids.

    `old` and `new` are the subjects of the two versions' commits.
    """
    pairs: list[Pair] = []
    lines: list[str] = []

    def close() -> None:
        if pairs:
            last = pairs.pop()
            pairs.append(Pair(last.change, last.old, last.new, "\n".join(lines)))
        lines.clear()

    for line in text.splitlines():
        found = _PAIR.fullmatch(line)
        if found is None:
            lines.append(line.removeprefix(_INDENT))
            continue
        close()
        parts = [
            None if number == "-" else Part(int(number), subjects[int(number) - 1])
            for number, subjects in ((found.group(1), old), (found.group(3), new))
        ]
        pairs.append(Pair(_CHANGES[found.group(2)], parts[0], parts[1], ""))
    close()
    return pairs


def _choose_bases(old: Sequence[str], new: Sequence[str], base: str) -> tuple[str, str]:
    """Return the bases for two versions that have patches for the kernels `old` and `new`."""
    if base:
        name = f"debian-{base}" if _KERNEL.fullmatch(base) else base
        return name, name
    common = [kernel for kernel in old if kernel in new]
    chosen = (max(common, key=_numbers),) * 2 if common else ()
    if not chosen:
        chosen = (max(old, key=_numbers), max(new, key=_numbers))
    return f"debian-{chosen[0]}", f"debian-{chosen[1]}"


def _numbers(kernel: str) -> tuple[int, ...]:
    return tuple(int(number) for number in kernel.split("."))


@dataclass(frozen=True)
class _Finder:
    """Finds versions and the bases that they are for."""

    where: Where
    cache: Cache
    teller: Teller

    def kernels(self, text: str) -> list[str]:
        """Return the kernels that a version has patches for."""
        folder = Path(text).expanduser()
        if folder.is_dir():
            return [folder.resolve().name] if any(folder.glob("*.patch")) else _subfolders(folder)
        name, version = parse_name(text.rpartition("+")[2])
        return kernels_of(name, version, self.where.series)

    def find(self, text: str, base: str) -> Side:
        """Return a version with its base: the one that it names itself, else `base`."""
        folder = Path(text).expanduser()
        if folder.is_dir():
            there = self._obtain(base)
            own = folder if any(folder.glob("*.patch")) else folder / there.series_version
            patches = sorted(own.glob("*.patch"))
            if not patches:
                raise UserError(f"{own} holds no *.patch", hint="name a folder of patches")
            return Side(text, base, patches, there.commit)
        if "+" in text:
            base = parse(text).base
        there = self._obtain(base)
        name, version = parse_name(text.rpartition("+")[2])
        series = load_series(name, version, there.series_version, self.where.series)
        return Side(text, base, series.patches, there.commit)

    def _obtain(self, base: str) -> Base:
        source = find_source(base, self.where.bases)
        try:
            return obtain_base(source, self.cache, self.teller.phase, self.teller.waiting)
        except UserError as error:
            hint = f"{error.hint}; --base BASE says which kernel to take"
            raise UserError(error.message, hint=hint) from error


def _subfolders(folder: Path) -> list[str]:
    found = [sub.name for sub in folder.iterdir() if _KERNEL.fullmatch(sub.name)]
    if not found:
        raise UserError(
            f"{folder} holds neither *.patch nor a folder of them for a kernel",
            hint="name a folder of patches, or SERIES@VERSION",
        )
    return found


def _commit(side: Side, folder: Path, store: Git, teller: Teller) -> Git:
    """Make commits of a version's patches; return the repository that they are in."""
    teller.say("info", f"applying {len(side.patches)} patches of {side.text} to {side.base}")
    git = init_scratch(folder / "git", folder / "tree", store, side.commit)
    apply_patches(git, side.patches, f"{side.base} ({side.text})", lambda _done: None)
    return git
