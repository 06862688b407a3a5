# SPDX-License-Identifier: GPL-2.0-or-later
"""Configuring a variant without building it: its Kconfig files, make, and what came out.

Of the source only what configuring reads is checked out. It is kept in the cache with the
configurator made in it, so that the next profile costs seconds, and a known one nothing.
"""

from __future__ import annotations

import json
import re
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

from harness.errors import UserError
from harness.events import Listener
from harness.files import replace_text
from harness.kernel import recipe
from harness.kernel.apply import apply_patches
from harness.kernel.cache import (
    Cache,
    check_space,
    command_name,
    default_cache,
    digest_json,
    discard,
    kept_on_failure,
    publish,
)
from harness.kernel.compiler import ccache, check_tools
from harness.kernel.fragment import overlay, parse_config
from harness.kernel.gitstore import Git, init_scratch
from harness.kernel.interrupt import terminable
from harness.kernel.kconfig import Definition, Tree, read_tree
from harness.kernel.prebuilt import find_prebuilt
from harness.kernel.provenance import Configuration, parse_start
from harness.kernel.request import Request, Where, resolve
from harness.kernel.teller import Teller
from harness.kernel.variant import Variant
from harness.kernel.worktree import Tools, WorkTree
from harness.outcomes import Outcome

# Part of every key: count it up when what an entry holds changes.
_FORMAT = 2
_KEPT = 8
_DISK_NEEDED = 64 << 20
# What make reads to configure: about 2,300 of 80,000 files.
_NEEDED = re.compile(
    r"(?:.*/)?Kconfig[^/]*|scripts/.*|Makefile|Kbuild|arch/x86/(?:Makefile[^/]*|configs/.*)"
    r"|kernel/configs/.*"
)
_FOLDER = "kconfig"
_SOURCE, _SYMBOLS, _FINAL = "linux", "symbols.json", "final"


def obtain_configuration(
    variant: Variant,
    profile: str,
    *,
    listen: Listener,
    where: Where | None = None,
    compiler: str = "gcc",
    cache: Cache | None = None,
) -> Configuration:
    """Return the configuration that `variant` has with `profile`; compiles no kernel.

    A line that does not get its value is no error here: provenance.lines_of tells.

    Raises:
        UserError: there is no such base, series, version or profile, or it is an image.
        BuildError: build.apply, or make itself fails.
        InfrastructureError: the disk is full, or a tool is missing.
    """
    where = where or Where()
    if find_prebuilt(variant, where.bases) is not None:
        raise UserError(
            f"{variant} was configured by whoever built it: no profile applies to it",
            hint=f"patchbed boot {variant} -- zcat /proc/config.gz, or look at a source's",
        )
    cache = cache or default_cache()
    teller = Teller(variant, profile, listen)
    with terminable():
        request = resolve(variant, profile, teller, cache, where=where, compiler=compiler)
        return _Entry(request, cache, teller).configuration()


class _Entry:
    """The cache's entry for a source and a compiler: a tree to configure in, and results."""

    def __init__(self, request: Request, cache: Cache, teller: Teller) -> None:
        self._request = request
        self._cache = cache
        self._teller = teller
        self._folder = cache.root / _FOLDER / _entry_key(request)
        now = datetime.now(UTC).strftime("%Y%m%d-%H%M%S-%f")
        self._log = cache.logs / f"{now}-{request.variant.slug}-{request.profile.name}-config.log"

    def configuration(self) -> Configuration:
        """Return the configuration, made if the entry has it not."""
        request = self._request
        result = self._folder / _FINAL / f"{request.inputs()}.json"
        purpose = f"{command_name()}: {request.variant}"
        with self._cache.hold(_lock(self._folder), purpose, self._teller.waiting):
            made = _read(result) or self._make(result)
            tree = _load_symbols(self._folder / _SYMBOLS)
            self._folder.touch()
        return Configuration(
            variant=str(request.variant),
            profile=request.profile.name,
            start_name=request.profile.start,
            start=parse_start(made["start"]),
            config=parse_config(made["config"]),
            wanted=request.wanted,
            left_out=request.left_out,
            tree=tree,
        )

    def _make(self, result: Path) -> dict[str, str]:
        check_tools()
        check_space(self._cache.root, _DISK_NEEDED)
        self._cache.logs.mkdir(parents=True, exist_ok=True)
        with kept_on_failure(self._log):
            if not (self._folder / _SYMBOLS).is_file():
                self._prepare()
                _forget_oldest(self._cache)
            self._teller.phase("configure")
            tree = self._work_tree(self._folder / _SOURCE)
            start = self._start(tree)
            config = tree.build / ".config"
            wanted = overlay(start, self._request.wanted.requests)
            config.write_text(wanted, encoding="utf-8")
            self._run(tree, "olddefconfig")
            made = {"start": start, "config": config.read_text(encoding="utf-8")}
        replace_text(result, json.dumps(made))
        return made

    def _prepare(self) -> None:
        """Check out what configuring reads, and what the Kconfig files say."""
        with self._cache.scratch() as folder:
            source = folder / "entry" / _SOURCE
            self._check_out(folder, source)
            self._teller.phase("read Kconfig")
            symbols = json.dumps(asdict(read_tree(source)))
            (folder / "entry" / _SYMBOLS).write_text(symbols, encoding="utf-8")
            publish(folder / "entry", self._folder)

    def _check_out(self, folder: Path, source: Path) -> None:
        request, teller = self._request, self._teller
        git = init_scratch(folder / "git", source, Git(self._cache.store), request.base.commit)
        if request.series is not None:
            patches = request.series.patches
            apply_patches(
                git,
                patches,
                f"{request.variant.base} ({request.base.identity})",
                lambda done: teller.phase("apply", done, len(patches)),
            )
        teller.phase("check out")
        files = git.run("ls-files", "-z").split("\0")
        git.run("checkout-index", "--force", "--", *filter(_NEEDED.fullmatch, files))

    def _start(self, tree: WorkTree) -> str:
        """Return what make's own target gives, which is made once an entry."""
        target = self._request.profile.start
        kept = self._folder / f"{target}.config"
        if not kept.is_file():
            tree.build.mkdir(exist_ok=True)
            self._run(tree, target)
            replace_text(kept, (tree.build / ".config").read_text(encoding="utf-8"))
        return kept.read_text(encoding="utf-8")

    def _run(self, tree: WorkTree, target: str) -> None:
        what = f"{self._request.variant}: make {target} failed"
        tree.make(target, outcome=Outcome.BUILD_CONFIG, what=what)

    def _work_tree(self, source: Path) -> WorkTree:
        version = self._request.base.series_version
        tools = Tools(
            compiler=self._request.compiler.command,
            ccache=self._cache.ccache_of(version) if ccache() else None,
            jobs=recipe.usable_cpus(),
            niceness=0,
        )
        return WorkTree(source, tools, self._log)


def _entry_key(request: Request) -> str:
    return digest_json(
        {
            "format": _FORMAT,
            "base": request.base.identity,
            "tree": request.base.tree,
            "patches": request.patchset,
            "compiler": request.compiler.identity,
            "recipe": recipe.VERSION,
        }
    )


def _read(result: Path) -> dict[str, str] | None:
    try:
        made = json.loads(result.read_text(encoding="utf-8"))
        return {"start": str(made["start"]), "config": str(made["config"])}
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _load_symbols(path: Path) -> Tree:
    """Return the symbols that an entry has kept: reading a kernel's Kconfig takes a second."""
    kept = json.loads(path.read_text(encoding="utf-8"))
    definitions = {
        symbol: [Definition(**definition) for definition in found]
        for symbol, found in kept["definitions"].items()
    }
    return Tree(definitions, kept["selects"], kept["implies"], kept["foreign"])


def entries(cache: Cache) -> list[Path]:
    """Return the folders that the cache keeps to configure in, the last used first."""
    folder = cache.root / _FOLDER
    found = [] if not folder.is_dir() else [e for e in folder.iterdir() if e.name[0] != "."]
    return sorted(found, key=lambda entry: entry.stat().st_mtime, reverse=True)


def remove_entry(cache: Cache, entry: Path) -> bool:
    """Remove one of them; return whether it is gone: one that is in use stays."""
    with cache.try_hold(_lock(entry), f"{command_name()}: removes") as held:
        if held and entry.exists():
            discard(entry)
        return held


def _forget_oldest(cache: Cache) -> None:
    for entry in entries(cache)[_KEPT:]:
        remove_entry(cache, entry)


def _lock(entry: Path) -> str:
    return f"kconfig-{entry.name[:32]}"
