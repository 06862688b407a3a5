# SPDX-License-Identifier: GPL-2.0-or-later
"""Proving that a kernel of the cache has the bytes of a clean build."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from harness.errors import PatchbedError
from harness.files import replace_text
from harness.kernel import recipe
from harness.kernel.artifact import Kernel, checksums, write_entry
from harness.kernel.builder import NICENESS, log_path
from harness.kernel.cache import (
    Cache,
    command_name,
    digest_file,
    digest_json,
    discard,
    kept_on_failure,
)
from harness.kernel.checkout import Checkout, make_room, patch_source
from harness.kernel.compiler import check_tools
from harness.kernel.configure import configure
from harness.kernel.elf import describe_difference
from harness.kernel.filestate import walk
from harness.kernel.interrupt import terminable
from harness.kernel.request import Request
from harness.kernel.teller import Teller
from harness.kernel.trees import SOURCE, remove_tree
from harness.kernel.worktree import Tools, WorkTree
from harness.outcomes import ExitCode, Outcome

PROOF = "verified.json"
FORMAT = 1


class DifferentBytesError(PatchbedError):
    """A kernel of the cache is not what a clean build gives."""

    outcome = Outcome.HARNESS_BUG
    exit_code = ExitCode.FAILURE

    def __init__(self, variant: str, lines: tuple[str, ...]) -> None:
        super().__init__(
            f"{variant}: the kernel in the cache is not what a clean build gives",
            hint="it was removed, with its work tree; build it again, and report these lines",
        )
        self.lines = lines

    def __str__(self) -> str:
        head, *rest = super().__str__().split("\n")
        return "\n".join([head, *(f"  {line}" for line in self.lines), *rest])


@dataclass(frozen=True)
class Proof:
    """That a clean build gave the same bytes: when (UTC), in how many seconds, for how many files.

    `of` is a digest of the checksums of what was compared.
    """

    of: str
    proven: str
    seconds: float
    files: int
    format: int = FORMAT


def contents(folder: Path) -> dict[str, str]:
    """Return the SHA-256 of all that is compared in the entry `folder`: kernel and modules."""
    found = checksums(folder)
    modules = folder / "modules"
    if modules.is_dir():
        for name, entry in walk(modules):
            if not entry.is_symlink():
                found[f"modules/{name}"] = digest_file(Path(entry.path))
    return found


def differing(ours: Mapping[str, str], clean: Mapping[str, str]) -> list[str]:
    """Return the names of files that are in only one of the two or differ."""
    return sorted(name for name in {*ours, *clean} if ours.get(name) != clean.get(name))


def read_proof(kernel: Kernel) -> Proof | None:
    """Return the proof that is kept beside a kernel; None if there is none for these bytes."""
    try:
        facts: dict[str, Any] = json.loads((kernel.folder / PROOF).read_text(encoding="utf-8"))
        proof = Proof(**facts)
    except (OSError, ValueError, TypeError):
        return None
    of = digest_json(contents(kernel.folder))
    return proof if proof.format == FORMAT and proof.of == of else None


def verify(
    kernel: Kernel,
    request: Request,
    cache: Cache,
    teller: Teller,
    *,
    jobs: int | None = None,
    niceness: int = NICENESS,
    again: bool = False,
) -> Proof:
    """Return the proof that `kernel`, built for `request`, has the bytes of a clean build.

    It is at hand if it was proven before, unless it is to be proven `again`; else the variant is
    built aside, from a fresh checkout and without ccache, and compared.

    Raises:
        DifferentBytesError: it has not; the kernel and its kept tree are removed.
        BuildError, InfrastructureError: as a build does.
    """
    proof = None if again else read_proof(kernel)
    if proof is not None:
        return proof
    purpose = f"{command_name()}: {request.variant}"
    with terminable(), cache.hold(f"verify-{kernel.key[:32]}", purpose, teller.waiting):
        proof = None if again else read_proof(kernel)
        if proof is not None:
            return proof
        tools = Tools(request.compiler.command, None, jobs or recipe.usable_cpus(), niceness)
        return _Verification(kernel, request, cache, teller, tools).run()


class _Verification:
    """One clean build beside the cache, and the comparison."""

    def __init__(
        self, kernel: Kernel, request: Request, cache: Cache, teller: Teller, tools: Tools
    ) -> None:
        self._kernel = kernel
        self._request = request
        self._cache = cache
        self._teller = teller
        self._tools = tools
        self._log = log_path(cache, request)

    def run(self) -> Proof:
        """Build clean, compare; write and return the proof."""
        began = time.monotonic()
        check_tools()
        make_room(self._cache, recipe.DISK_NEEDED)
        with self._cache.scratch(recipe.DISK_NEEDED) as folder, kept_on_failure(self._log):
            clean = self._build(folder)
            self._teller.phase("compare")
            ours, theirs = contents(self._kernel.folder), contents(clean)
            names = differing(ours, theirs)
            if names:
                raise self._different(names, clean)
        proof = Proof(
            of=digest_json(ours),
            proven=datetime.now(UTC).isoformat(timespec="seconds"),
            seconds=round(time.monotonic() - began, 1),
            files=len(ours),
        )
        text = json.dumps(asdict(proof), indent=1) + "\n"
        replace_text(self._kernel.folder / PROOF, text)
        return proof

    def _build(self, folder: Path) -> Path:
        """Build the variant in `folder`, with nothing of any other build; return its entry."""
        request, teller = self._request, self._teller
        patched = patch_source(folder, request, self._cache, teller)
        Checkout(self._cache, request, patched, teller).clean("to compare with")
        tree = WorkTree(folder / SOURCE, self._tools, self._log)
        teller.phase("configure")
        replace_text(self._log, f"$ patchbed kernel build --verify {request.variant}\n")
        configure(tree, request)
        total = int(self._kernel.meta.get("reuse", {}).get("usual", recipe.USUAL_STEPS))
        tree.make(
            *recipe.TARGETS,
            outcome=Outcome.BUILD_COMPILE,
            what=f"{request.variant} does not compile",
            progress=lambda done: teller.step(done, total),
        )
        entry = folder / "entry"
        write_entry(tree, entry)
        return entry

    def _different(self, names: list[str], clean: Path) -> DifferentBytesError:
        ours = self._kernel.folder
        lines = []
        for name in names:
            lines += describe_difference(name, ours / name, clean / name, ours / "System.map")
        discard(ours)
        remove_tree(self._cache, self._cache.trees / self._kernel.key)
        return DifferentBytesError(str(self._request.variant), tuple(lines))
