# SPDX-License-Identifier: GPL-2.0-or-later
"""External modules, built against a kernel of the cache."""

from __future__ import annotations

import hashlib
import json
import shutil
from datetime import UTC, datetime
from pathlib import Path

from harness.errors import UserError
from harness.kernel import recipe
from harness.kernel.artifact import META, Kernel
from harness.kernel.cache import (
    Cache,
    check_space,
    command_name,
    default_cache,
    digest_file,
    digest_json,
    kept_on_failure,
    publish,
)
from harness.kernel.compiler import DEFAULT, find_compiler
from harness.kernel.elf import strip_debug
from harness.kernel.interrupt import terminable
from harness.kernel.make import Make
from harness.outcomes import Outcome

_SUFFIXES = (".c", ".h", ".S")
_NAMES = ("Kbuild", "Makefile")
_DISK_NEEDED = 64 << 20
# Part of every key of modules: count it up when what comes out changes.
VERSION = 1


def build_modules(
    kernel: Kernel,
    source: Path,
    *,
    jobs: int | None = None,
    compiler: str = "",
    cache: Cache | None = None,
) -> Path:
    """Return a folder with the .ko files of the external modules below `source`.

    `source` has a Kbuild file on top; it is copied before, as kbuild writes beside the sources.
    The folder is in the cache, by the kernel's key, the sources and the compiler, which is the
    kernel's own unless another is given.

    Raises:
        BuildError: build.compile: a module does not compile.
        UserError: there is nothing to build in `source`.
        InfrastructureError: the disk is full, or a tool is missing.
    """
    cache = cache or default_cache()
    files = module_sources(source)
    if source / "Kbuild" not in files and source / "Makefile" not in files:
        raise UserError(
            f"{source} has no Kbuild file", hint="add one whose obj-m names the modules"
        )
    with terminable():
        found = find_compiler(compiler or kernel.meta.get("command", DEFAULT))
        key = modules_key(kernel.key, source, files, found.identity)
        entry = cache.modules / key
        if _whole(entry):
            (entry / META).touch()
            return entry
        check_space(cache.root, _DISK_NEEDED)
        purpose = f"{command_name()}: modules for {kernel.variant}"
        with cache.hold(f"modules-{key[:32]}", purpose, lambda _: None):
            if not _whole(entry):
                _build(kernel, source, files, entry, cache, found.command, jobs)
        return entry


def module_sources(source: Path) -> list[Path]:
    """Return the files below `source` that modules are built from, sorted."""
    return sorted(
        path
        for path in source.rglob("*")
        if path.is_file()
        and (path.suffix in _SUFFIXES or path.name in _NAMES)
        and not path.name.endswith(".mod.c")
        # Programs that run in user space are built elsewhere.
        and "programs" not in path.relative_to(source).parts[:-1]
    )


def modules_key(kernel: str, source: Path, files: list[Path], compiler: str) -> str:
    """Return the key of the modules in `files` (below `source`) for the kernel with that key."""
    contents = {
        str(path.relative_to(source)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in files
    }
    return digest_json(
        {"kernel": kernel, "files": contents, "compiler": compiler, "recipe": VERSION}
    )


def _whole(entry: Path) -> bool:
    """Whether the modules in `entry` are those that were built."""
    try:
        known = json.loads((entry / META).read_text(encoding="utf-8"))["checksums"]
        return bool(known == _checksums(entry))
    except (OSError, ValueError, KeyError, TypeError):
        return False


def _checksums(folder: Path) -> dict[str, str]:
    return {module.name: digest_file(module) for module in sorted(folder.glob("*.ko"))}


def _build(
    kernel: Kernel,
    source: Path,
    files: list[Path],
    entry: Path,
    cache: Cache,
    compiler: str,
    jobs: int | None,
) -> None:
    cache.logs.mkdir(parents=True, exist_ok=True)
    now = datetime.now(UTC).strftime("%Y%m%d-%H%M%S-%f")
    log_path = cache.logs / f"{now}-modules-{kernel.key[:12]}.log"
    with cache.scratch() as folder, kept_on_failure(log_path):
        copy = folder / "modules"
        for path in files:
            target = copy / path.relative_to(source)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, target)
        argv = modules_argv(
            kernel.headers, copy, compiler=compiler, jobs=jobs or recipe.usable_cpus()
        )
        environment = recipe.build_environment(None, copy)
        with log_path.open("w", encoding="utf-8") as log:
            Make(copy, environment, log, log_path).run(
                argv,
                outcome=Outcome.BUILD_COMPILE,
                what=f"the test modules do not compile for {kernel.variant}",
                root=copy,
            )
        aside = folder / "entry"
        aside.mkdir()
        for module in sorted(copy.rglob("*.ko")):
            _store(module, aside)
        meta = {"kernel": kernel.key, "variant": kernel.variant, "checksums": _checksums(aside)}
        (aside / META).write_text(json.dumps(meta, indent=1) + "\n", encoding="utf-8")
        publish(aside, entry)


def _store(module: Path, aside: Path) -> None:
    """Put a module into `aside`, as it is loaded, and into its `debug/` as it was built."""
    debug = aside / "debug" / module.name
    debug.parent.mkdir(exist_ok=True)
    shutil.copyfile(module, debug)
    strip_debug(debug, aside / module.name)


def modules_argv(headers: Path, modules: Path, *, compiler: str, jobs: int) -> list[str]:
    """Return the argv that builds the modules in `modules` against the KDIR `headers`.

    Without ccache: it would put other paths in the place of ours, and the result is cached.
    """
    return [
        "make",
        "-C",
        str(headers),
        f"M={modules}",
        f"ARCH={recipe.ARCHITECTURE}",
        f"CC={compiler}",
        # __FILE__ is in what KUnit prints: the folder of the copy must not be, nor in what a
        # stack is decoded with.
        f"KCFLAGS=-fmacro-prefix-map={modules}/= -fdebug-prefix-map={modules}/=",
        f"-j{jobs}",
        "modules",
    ]
