# SPDX-License-Identifier: GPL-2.0-or-later
"""Obtaining a kernel: from the cache, or built into it."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import asdict, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from harness import paths
from harness.errors import BuildError, InfrastructureError
from harness.events import Listener
from harness.files import replace_text
from harness.kernel import recipe
from harness.kernel.artifact import Kernel, damage, load_kernel, write_entry, write_meta
from harness.kernel.cache import (
    Cache,
    command_name,
    default_cache,
    digest_json,
    kept_on_failure,
    publish,
)
from harness.kernel.checkout import Checkout, Patched, make_room, patch_source, record_of
from harness.kernel.compiler import Compiler, ccache, check_tools
from harness.kernel.configure import configure
from harness.kernel.filestate import state_of
from harness.kernel.gitstore import GitError
from harness.kernel.interrupt import terminable
from harness.kernel.prebuilt import find_prebuilt, obtain_prebuilt
from harness.kernel.request import Request, Where, resolve
from harness.kernel.reuse import FORKED, CompilerCache, Reuse, read_stats_log
from harness.kernel.shadows import may_be_misled, note_base
from harness.kernel.teller import Teller
from harness.kernel.trees import GIT, SOURCE, keep_tree
from harness.kernel.variant import Variant
from harness.kernel.worktree import Tools, WorkTree
from harness.outcomes import Outcome

NICENESS = 5


def obtain(
    variant: Variant,
    profile: str,
    *,
    listen: Listener,
    jobs: int | None = None,
    niceness: int = NICENESS,
    compiler: str = "gcc",
    aliases: Mapping[str, str] | None = None,
    series_folder: Path = paths.KERNEL_PATCHES,
    config_folder: Path = paths.KERNEL_CONFIG,
    cache: Cache | None = None,
    fork: bool = True,
) -> Kernel:
    """Return the kernel of `variant` with `profile`: from the cache, or built into it.

    While it works, `listen` gets BuildProgress and Message events. `jobs` is make's -j (the
    CPUs we may use if None), `aliases` are the short names of bases in patchbed.toml. Unless
    `fork`, nothing of an earlier build's work tree is used.

    Raises:
        BuildError: the variant does not apply, configure or compile; nothing is left but the
            log that the error names.
        UserError: there is no such base, series, version or profile.
        InfrastructureError: the disk is full, or a tool is missing.
        KeyboardInterrupt: also for SIGTERM; no process, lock or folder of ours is left.
    """
    cache = cache or default_cache()
    teller = Teller(variant, profile, listen)
    prebuilt = find_prebuilt(variant, aliases)
    if prebuilt is not None:
        return obtain_prebuilt(prebuilt, variant, profile, teller, cache)
    where = Where(series_folder, config_folder, aliases)
    with terminable():
        request = resolve(variant, profile, teller, cache, where=where, compiler=compiler)
        return build(request, cache, teller, jobs=jobs, niceness=niceness, fork=fork)


def build(
    request: Request,
    cache: Cache,
    teller: Teller,
    *,
    jobs: int | None = None,
    niceness: int = NICENESS,
    fork: bool = True,
) -> Kernel:
    """Return the kernel that `request` describes; raises what `obtain` raises."""
    kernel = find_built(request, cache)
    if kernel is not None:
        return kernel
    name = request.inputs()[:32]
    with cache.hold(f"build-{name}", f"{command_name()}: {request.variant}", teller.waiting):
        kernel = find_built(request, cache)
        if kernel is not None:
            return kernel
        _tell_damage(request, cache, teller)
        for conflict in request.wanted.conflicts:
            teller.say("warning", str(conflict))
        tools = Tools(
            compiler=request.compiler.command,
            ccache=cache.ccache_of(request.base.series_version) if ccache() else None,
            jobs=jobs or recipe.usable_cpus(),
            niceness=niceness,
        )
        try:
            return _Build(request, cache, teller, tools, fork=fork).run()
        except GitError as error:
            raise InfrastructureError(
                Outcome.INFRA_WORKER,
                f"the store of sources can't be used: {error}",
                hint=f"remove {cache.store} and try again: it is imported anew",
            ) from error


def plan_build(
    variant: Variant,
    profile: str,
    *,
    listen: Listener,
    compiler: str = "gcc",
    where: Where | None = None,
    cache: Cache | None = None,
) -> tuple[Request, Kernel | None]:
    """Return what `obtain` would build, and its kernel if the cache has it; builds nothing."""
    cache = cache or default_cache()
    teller = Teller(variant, profile, listen)
    request = resolve(variant, profile, teller, cache, where=where or Where(), compiler=compiler)
    return request, find_built(request, cache)


def find_built(request: Request, cache: Cache) -> Kernel | None:
    """Return the kernel of a request that is in the cache, or None; reads a few files only."""
    key = _indexed(request, cache)
    return _load(request, cache, key) if key else None


def _indexed(request: Request, cache: Cache) -> str:
    try:
        return (cache.index / request.inputs()).read_text(encoding="utf-8").strip()
    except OSError:
        return ""


def _tell_damage(request: Request, cache: Cache, teller: Teller) -> None:
    key = _indexed(request, cache)
    if key and (cache.kernels / key).exists():
        reason = damage(cache.kernels / key)
        text = f"{request.variant}: the kernel in the cache is damaged ({reason}): made again"
        teller.say("warning", text)


def _load(request: Request, cache: Cache, key: str) -> Kernel | None:
    folder = cache.kernels / key
    kernel = load_kernel(folder, variant=str(request.variant), profile=request.profile.name)
    if kernel is not None:
        (folder / "last-used").touch()
    return kernel


class _Build:
    """One build, from the store to the cache's entry."""

    def __init__(
        self, request: Request, cache: Cache, teller: Teller, tools: Tools, *, fork: bool
    ) -> None:
        self._request = request
        self._cache = cache
        self._teller = teller
        self._tools = tools
        self._fork = fork
        self._started = time.monotonic()
        self._log = log_path(cache, request)

    def run(self) -> Kernel:
        """Build; return the kernel."""
        check_tools()
        make_room(self._cache, recipe.DISK_NEEDED)
        request = self._request
        with self._cache.scratch(recipe.DISK_NEEDED) as folder, kept_on_failure(self._log):
            patched = patch_source(folder, request, self._cache, self._teller)
            checkout = Checkout(self._cache, request, patched, self._teller)
            reuse = checkout.nearest() if self._fork else checkout.clean("it was asked for")
            tree = self._work_tree(folder, patched)
            key = self._configure(tree, patched, reuse)
            purpose = f"{command_name()}: {request.variant}"
            with self._cache.hold(f"key-{key[:32]}", purpose, self._teller.waiting):
                kernel = _load(request, self._cache, key)
                if kernel is None:
                    self._compile(folder, tree, patched, key, reuse)
            replace_text(self._cache.index / request.inputs(), f"{key}\n")
        if kernel is not None:
            return kernel
        built = _load(request, self._cache, key)
        if built is None:
            raise RuntimeError(f"the entry just written to {self._cache.kernels / key} is damaged")
        return replace(built, cached=False)

    def _work_tree(self, folder: Path, patched: Patched) -> WorkTree:
        """Return the tree in `folder` for make."""
        base = self._request.base
        misled = may_be_misled(self._cache, patched.git, patched.commit, base.series_version)
        note_base(self._cache, base)
        stats = folder / "ccache-stats"
        return WorkTree(folder / SOURCE, self._tools, self._log, stats, direct=not misled)

    def _configure(self, tree: WorkTree, patched: Patched, reuse: Reuse) -> str:
        """Configure; return the build's key."""
        self._teller.phase("configure")
        again = f"patchbed kernel build {self._request.variant} -p {self._request.profile.name}"
        replace_text(self._log, f"$ {again}\n")
        config = configure(tree, self._request, kept=reuse.configured)
        return build_key(patched.digest, config, self._request.compiler)

    def _compile(
        self, folder: Path, tree: WorkTree, patched: Patched, key: str, reuse: Reuse
    ) -> None:
        """Compile, and put the result into the cache; keep the tree."""
        reuse = self._make(tree, reuse)
        self._teller.phase("store")
        aside = folder / "entry"
        release = write_entry(tree, aside)
        write_meta(aside, self._meta(patched, key, release, reuse))
        publish(aside, self._cache.kernels / key)
        kept = folder / "kept"
        kept.mkdir()
        state = state_of(tree.source)
        tree.source.rename(kept / SOURCE)
        patched.git.directory.rename(kept / GIT)
        record = record_of(self._request, patched, key, reuse.usual, state)
        keep_tree(self._cache, kept, record, self._teller.waiting)

    def _make(self, tree: WorkTree, reuse: Reuse) -> Reuse:
        """Compile; return what was reused, with what it came to."""
        estimate = self._cache.root / "estimates" / self._request.profile.name
        forked = reuse.how == FORKED
        total = 0 if forked else read_number(estimate, recipe.USUAL_STEPS)
        self._teller.phase("compile", 0, total)
        try:
            steps = tree.make(
                *recipe.TARGETS,
                outcome=Outcome.BUILD_COMPILE,
                what=f"{self._request.variant} does not compile",
                progress=lambda done: self._teller.step(done, total),
            )
        except BuildError as error:
            if forked:
                error.hint += f" (forked from {reuse.parent_variant}; --clean builds without)"
            raise
        if not forked:
            replace_text(estimate, f"{steps}\n")
        used = tree.tools.ccache is not None
        found = read_stats_log(tree.stats, used=used) if tree.stats else CompilerCache()
        return replace(reuse, steps=steps, usual=reuse.usual or steps, ccache=found)

    def _meta(self, patched: Patched, key: str, release: str, reuse: Reuse) -> dict[str, Any]:
        request = self._request
        series = request.series
        return {
            "key": key,
            "variant": str(request.variant),
            "profile": request.profile.name,
            "release": release,
            "base": asdict(request.base),
            "series": {"name": str(series), "patchset_hash": request.patchset} if series else None,
            "commit": patched.commit,
            "tree": patched.digest,
            "compiler": request.compiler.identity,
            "command": request.compiler.command,
            "recipe": recipe.VERSION,
            "requests": [asdict(request) for request in request.wanted.requests],
            "conflicts": [str(conflict) for conflict in request.wanted.conflicts],
            "built": datetime.now(UTC).isoformat(timespec="seconds"),
            "seconds": round(time.monotonic() - self._started, 1),
            "steps": reuse.steps,
            "reuse": reuse.facts(),
        }


def log_path(cache: Cache, request: Request) -> Path:
    """Return where the log of a build that begins now is written."""
    now = datetime.now(UTC).strftime("%Y%m%d-%H%M%S-%f")
    return cache.logs / f"{now}-{request.variant.slug}-{request.profile.name}.log"


def build_key(tree: str, config: str, compiler: Compiler) -> str:
    """Return the key of a build: of the tree's hash, the .config, the tools and the recipe."""
    return digest_json(
        {
            "tree": tree,
            "config": config,
            "compiler": compiler.identity,
            "recipe": recipe.VERSION,
        }
    )


def read_number(path: Path, otherwise: int) -> int:
    """Return the number in a file, or `otherwise`."""
    try:
        return int(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return otherwise
