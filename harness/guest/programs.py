# SPDX-License-Identifier: GPL-2.0-or-later
"""The C programs that testcases run in the guest."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

from filelock import FileLock

from harness import paths
from harness.errors import BuildError, InfrastructureError, UserError
from harness.outcomes import Outcome

COMPILER = "gcc"
# Static, so that the image needs no libraries of theirs; pthread, since some race on purpose.
FLAGS = ("-static", "-O2", "-g0", "-std=gnu11", "-Wall", "-Wextra", "-Werror", "-pthread")
_LINES = 40


def build_programs(source: Path) -> Path:
    """Return a folder with a static program for each `*/programs/*.c` under `source`.

    Headers are taken from `source`/include and from the program's own folder. The folder is in
    the cache, named by the sources, the compiler and its flags.

    Raises:
        BuildError: build.compile, with the compiler's lines.
        UserError: two programs have the same name.
        InfrastructureError: there is no compiler, or the cache can't be written.
    """
    programs = find_programs(source)
    root = paths.cache() / "programs"
    try:
        root.mkdir(parents=True, exist_ok=True)
        folder = root / _key(source, programs)
        with FileLock(root / f"{folder.name}.lock"):
            if not folder.is_dir():
                _build(source, programs, folder)
    except OSError as error:
        raise InfrastructureError(
            Outcome.INFRA_DISK,
            f"can't build the guest's programs: {error}",
            hint=f"install gcc and libc6-dev; is there room in {root}?",
        ) from error
    return folder


def find_programs(source: Path) -> list[Path]:
    """Return the programs' sources under `source`, sorted by path.

    Raises:
        UserError: two have the same name.
    """
    programs = sorted(source.glob("*/programs/*.c"))
    names: dict[str, Path] = {}
    for program in programs:
        other = names.setdefault(program.stem, program)
        if other is not program:
            raise UserError(
                f"two programs called {program.stem}: {other} and {program}",
                hint="rename one: all programs are in one folder in the guest",
            )
    return programs


def compile_argv(source: Path, program: Path, target: Path) -> list[str]:
    """Return the command that compiles `program` under `source` to `target`."""
    include = ["-I", str(source / "include"), "-I", str(program.parent)]
    return [COMPILER, *FLAGS, *include, "-o", str(target), str(program)]


def _key(source: Path, programs: Sequence[Path]) -> str:
    version = subprocess.run([COMPILER, "--version"], capture_output=True, check=True).stdout
    digest = hashlib.sha256(version + " ".join(FLAGS).encode())
    headers = {*(source / "include").rglob("*.h"), *source.glob("*/programs/*.h")}
    for path in [*programs, *sorted(headers)]:
        digest.update(f"\0{path.relative_to(source)}\0".encode())
        digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()[:32]


def _build(source: Path, programs: Sequence[Path], folder: Path) -> None:
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".new-") as name:
        aside = Path(name) / "bin"
        aside.mkdir()
        for program in programs:
            _compile(source, program, aside / program.stem)
        shutil.move(aside, folder)


def _compile(source: Path, program: Path, target: Path) -> None:
    argv = compile_argv(source, program, target)
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise BuildError(
            Outcome.BUILD_COMPILE,
            f"{program} does not compile",
            lines=tuple(done.stderr.splitlines()[:_LINES]),
            hint="correct it; by hand: " + " ".join(argv),
        )
