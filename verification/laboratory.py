# SPDX-License-Identifier: GPL-2.0-or-later
"""Where mutants are built and run: a cache of their own beside what is shared with the user's.

Their kernels and work trees would only push out those that somebody wants. The series itself is
taken over from the user's cache, or built there first, and its tree kept, so that every mutant is a
fork of it: a few objects and a link.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from harness import paths
from harness.events import Listener
from harness.files import replace_text
from harness.kernel.artifact import Kernel
from harness.kernel.builder import find_built, obtain, plan_build
from harness.kernel.cache import Cache, digest_json, discard, publish, remove
from harness.kernel.filestate import walk
from harness.kernel.request import Request, Where
from harness.kernel.series import FILE_NAME, Series, load_series_file
from harness.kernel.trees import RECORD, hold_tree
from harness.kernel.variant import Variant
from verification.dependence import digest_testcases
from verification.digest import digest_folders
from verification.mutant import Mutant

# Sources, what compilers made of them, what the host was found to be, and locks.
_SHARED_FOLDERS = (
    "sources",
    "ccache",
    "compiled",
    "kconfig",
    "locks",
    "programs",
    "estimates",
    "guests",
)
_SHARED_FILES = ("accelerator.json", "speed.json")
_TABLE = "[patchset_hash]"


@dataclass(frozen=True)
class Places:
    """Where a patchbed.toml says that series, testcases and bases are."""

    series: Path
    testcases: Path
    bases: Mapping[str, str]


class Laboratory:
    """The folders below `root`, which belong to `scripts/mutants` alone.

    Args:
        root: a folder of the user's cache.
        shared: the user's cache.
        series: what mutants are made of, as a variant.
        places: see Places.
    """

    def __init__(self, root: Path, shared: Path, series: Variant, places: Places) -> None:
        self.root = root
        self.runs = root / "runs"
        self.state = root / "state.json"
        self.patches = root / "kernel-patches"
        self.settings = root / "patchbed.toml"
        self.cache = Cache(root / "patchbed")
        self._shared = shared
        self._variant = series
        self._places = places

    def open(self) -> None:
        """Make the folders, and send whatever this process does with a cache there."""
        self.cache.root.mkdir(parents=True, exist_ok=True)
        for name in _SHARED_FOLDERS:
            (self._shared / name).mkdir(parents=True, exist_ok=True)
        for name in (*_SHARED_FOLDERS, *_SHARED_FILES):
            link = self.cache.root / name
            if (self._shared / name).exists() and not link.exists():
                with contextlib.suppress(FileExistsError):
                    link.symlink_to(self._shared / name)
        self.settings.write_text(settings_toml(self.patches, self._places), encoding="utf-8")
        os.environ["XDG_CACHE_HOME"] = str(self.root)

    def variant(self, mutant: Mutant | None) -> Variant:
        """Return the variant that a mutant is, or the series itself; both are series here."""
        series = self._variant
        return series if mutant is None else Variant(series.base, series.series, mutant.name)

    def write(self, series: Series, mutant: Mutant | None) -> None:
        """Put the series, with the mutant's patch behind its own, where `run` finds it."""
        version = series.version if mutant is None else mutant.name
        target = self.patches / series.name / version
        remove(target)
        folder = target / series.base
        folder.mkdir(parents=True)
        facts = (series.folder / FILE_NAME).read_text(encoding="utf-8")
        (target / FILE_NAME).write_text(without_hashes(facts), encoding="utf-8")
        patches = [*series.patches, *([mutant.patch] if mutant else [])]
        for number, patch in enumerate(patches, start=1):
            shutil.copyfile(patch, folder / f"{number:04}-{patch.stem[:50]}.patch")

    def build(self, mutant: Mutant, profile: str, listen: Listener) -> Kernel:
        """Return a mutant's kernel, forked from the series' own tree if it has to be built.

        Raises what `obtain` raises.
        """
        request, kernel = self._plan(mutant, profile, listen)
        if kernel is None and not borrow(request, Cache(self._shared), self.cache):
            self._build_parent(profile, listen)
        return self._obtain(mutant, profile, listen)

    def build_series(self, profile: str, listen: Listener) -> Kernel:
        """Return the kernel of the series itself; raises what `obtain` raises."""
        request, kernel = self._plan(None, profile, listen)
        if kernel is None:
            borrow(request, Cache(self._shared), self.cache)
        return self._obtain(None, profile, listen)

    def _build_parent(self, profile: str, listen: Listener) -> None:
        """See that there is a work tree of the series itself."""
        kernel = self.build_series(profile, listen)
        if not (self.cache.trees / kernel.key).exists():
            # A kernel alone is of no use here; the compiler cache has all of it.
            discard(kernel.folder)
            self._obtain(None, profile, listen)

    def _obtain(self, mutant: Mutant | None, profile: str, listen: Listener) -> Kernel:
        return obtain(
            self.variant(mutant),
            profile,
            listen=listen,
            aliases=self._places.bases,
            series_folder=self.patches,
            cache=self.cache,
        )

    def _plan(
        self, mutant: Mutant | None, profile: str, listen: Listener
    ) -> tuple[Request, Kernel | None]:
        where = Where(series=self.patches, bases=self._places.bases)
        variant = self.variant(mutant)
        return plan_build(variant, profile, listen=listen, where=where, cache=self.cache)

    def drop(self, mutant: Mutant, profile: str, listen: Listener) -> None:
        """Remove a mutant's kernel, if it is there."""
        _, kernel = self._plan(mutant, profile, listen)
        if kernel is not None:
            discard(kernel.folder, later=True)

    def inputs(self, series: Series, mutant: Mutant | None) -> str:
        """Return a digest of all that a mutant's kernel is made of."""
        facts = load_series_file(series.name, series.version, self._places.series)
        return digest_json(
            {
                "base": self._variant.base,
                "series": series.patchset_hash(),
                "facts": facts.model_dump(mode="json", exclude={"patchset_hash"}),
                "mutant": mutant.patch.read_text(encoding="utf-8") if mutant else "",
                "config": digest_folders([paths.KERNEL_CONFIG]),
            }
        )

    def tests(self) -> dict[str, str]:
        """Return digests of what each testcase depends on, but for the harness, by its id."""
        return digest_testcases(self._places.testcases)

    def close(self) -> None:
        """Remove everything, also what is known of mutants."""
        remove(self.root)


def borrow(request: Request, lender: Cache, cache: Cache) -> bool:
    """Take a kernel over from the cache `lender`, and its work tree; say whether it is there.

    They are hard links, as nothing ever writes to a file of either.
    """
    kernel = find_built(request, lender)
    if kernel is None:
        return False
    with hold_tree(lender, kernel.key, lambda _: None), cache.scratch() as folder:
        for source, target in ((lender.trees, cache.trees), (lender.kernels, cache.kernels)):
            if (source / kernel.key).is_dir():
                link_folder(source / kernel.key, folder / "copy")
                publish(folder / "copy", target / kernel.key)
    replace_text(cache.index / request.inputs(), f"{kernel.key}\n")
    return True


def link_folder(source: Path, target: Path) -> None:
    """Make `target` a folder like `source`, of hard links; but its record is one of its own."""
    target.mkdir()
    for name, entry in walk(source, folders=True):
        copy = target / name
        if entry.is_dir(follow_symlinks=False):
            copy.mkdir()
        elif name == RECORD:
            # Its date says when the tree was used last.
            shutil.copy2(entry.path, copy)
        else:
            os.link(entry.path, copy, follow_symlinks=False)


def settings_toml(patches: Path, places: Places) -> str:
    """Return a patchbed.toml with the places of a laboratory."""
    lines = [
        "[paths]",
        f"kernel_patches = {json.dumps(str(patches))}",
        f"testcases = {json.dumps(str(places.testcases))}",
        "[bases]",
        *(f"{json.dumps(name)} = {json.dumps(base)}" for name, base in places.bases.items()),
    ]
    return "\n".join(lines) + "\n"


def without_hashes(toml: str) -> str:
    """Return a series.toml without its table of hashes, which those of other patches are."""
    head, _, rest = toml.partition(f"\n{_TABLE}\n")
    after = rest.find("\n[")
    return head + (rest[after:] if after >= 0 else "") + ("" if head.endswith("\n") else "\n")
