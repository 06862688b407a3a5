# SPDX-License-Identifier: GPL-2.0-or-later
"""Make the corpus of crash logs again: `python -m tests.guest.corpus [NAME...]`.

Each recipe in tests/unit/data/crashes/recipes.toml says how to hurt a guest, and what must be
read from its console then. Without names, those whose logs are missing are made.
"""

from __future__ import annotations

import re
import sys
import tempfile
import time
import tomllib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from harness import paths
from harness.errors import PatchbedError
from harness.guest.crash import CrashDetector
from harness.guest.guest import Guest
from harness.guest.image import READY, boot_files, build_image
from harness.guest.machine import load_machine
from harness.guest.programs import build_programs
from harness.kernel.artifact import Kernel
from harness.kernel.builder import obtain
from harness.kernel.cache import Cache
from harness.kernel.modules import build_modules
from harness.kernel.variant import parse
from harness.paths import PROJECT

FOLDER = PROJECT / "tests" / "unit" / "data" / "crashes"
INSMOD = "insmod /patchbed/modules/crasher.ko how="
# What a log keeps: the kernel's first two lines, from which a reader knows the format, and all
# since the guest took commands; of a boot that did not get there, the end.
_HEAD = 2
_TAIL = 90
_MAX_LINES = 260
_AT_A_TIME = 2


def recipes() -> dict[str, dict[str, Any]]:
    """Return every recipe by its name, which is its log's."""
    return tomllib.loads((FOLDER / "recipes.toml").read_text(encoding="utf-8"))


def trim(log: bytes) -> bytes:
    """Return the part of a console's log that matters, whole lines."""
    lines = log.splitlines(keepends=True)
    marks = [number for number, line in enumerate(lines) if READY.encode() in line]
    first = marks[0] if marks else max(0, len(lines) - _TAIL)
    kept = lines[max(first, _HEAD) :]
    if len(kept) > _MAX_LINES:
        kept = kept[:10] + kept[10 - _MAX_LINES :]
    return b"".join(lines[:_HEAD] + kept)


def script(recipe: dict[str, Any]) -> str:
    """Return what the guest's shell is to do."""
    lines = ["sync"]
    if recipe.get("goes_on"):
        lines.append("echo 0 > /proc/sys/kernel/panic_on_oops")
    for name, value in recipe.get("sysctl", {}).items():
        lines.append(f"echo {value} > /proc/sys/kernel/{name}")
    if "how" in recipe:
        helper = ""
        if recipe.get("helper"):
            address = f"$(grep ' {recipe['helper']}$' /proc/kallsyms | cut -c1-16)"
            helper = f" helper=0x{address}"
        lines.append(f"{INSMOD}{recipe['how']}{helper}")
    lines.append(recipe.get("do", "true"))
    return "\n".join(lines)


def make(name: str, recipe: dict[str, Any], kernel: Kernel, image: Path) -> str:
    """Boot a guest, do what the recipe says, keep the log; return what was seen, a line."""
    with tempfile.TemporaryDirectory(prefix="corpus-") as folder:
        guest = Guest(
            kernel,
            image,
            load_machine(recipe.get("machine", "q35-1g")),
            Path(folder),
            accelerator="tcg",
            kernel_args=recipe.get("args", ()),
            boot_limit=recipe.get("boot_limit", 60.0),
            silence_limit=recipe.get("boot_limit", 60.0),
            keep_log=False,
        )
        guest.lockup_limit = recipe.get("lockup_limit", guest.lockup_limit)
        ended = "alive"
        try:
            with guest:
                _hurt(guest, recipe)
        except PatchbedError as error:
            ended = f"{error.outcome}: {error.message}"
        if guest.death is not None:
            ended = f"{guest.death.outcome}: {guest.death.message}"
        log = trim((Path(folder) / "console.log").read_bytes())
        # UBSAN names the source by its whole path, which is another on every host.
        log = re.sub(
            re.escape(str(Cache(paths.cache()).work).encode()) + rb"/\w+", b"/cache/patchbed", log
        )
    (FOLDER / f"{name}.txt").write_bytes(log)
    detector = CrashDetector()
    reports = [*detector.feed(log), *detector.flush()]
    seen = "; ".join(f"{report.kind} {report.function}" for report in reports)
    return f"{name}: {ended} [{seen}]"


def _hurt(guest: Guest, recipe: dict[str, Any]) -> None:
    seconds = float(recipe.get("seconds", 3.0))
    deadline = time.monotonic() + seconds
    guest.run(script(recipe), timeout=seconds)
    while time.monotonic() < deadline:
        guest.check()
        time.sleep(0.1)
        if time.monotonic() - guest.console.last_byte > 1.5 and "seconds" not in recipe:
            return


def _prepare(base: str, profile: str) -> tuple[Kernel, Path]:
    kernel = obtain(parse(base), profile, listen=lambda _event: None)
    modules = build_modules(kernel, PROJECT / "tests" / "guest" / "modules")
    programs = build_programs(PROJECT / "tests" / "guest")
    files = {f"/patchbed/modules/{file.name}": file for file in modules.glob("*.ko")}
    files |= {f"/patchbed/bin/{file.name}": file for file in programs.iterdir() if file.is_file()}
    return kernel, build_image({**boot_files(kernel), **files})


def main(names: list[str]) -> None:
    """Make the logs called `names`, or those that are missing."""
    known = recipes()
    wanted = names or [name for name in known if not (FOLDER / f"{name}.txt").exists()]
    kinds = {(known[n].get("base", "debian-6.1"), known[n].get("profile", "fast")) for n in wanted}
    ready = {kind: _prepare(*kind) for kind in sorted(kinds)}

    def one(name: str) -> str:
        recipe = known[name]
        kernel, image = ready[recipe.get("base", "debian-6.1"), recipe.get("profile", "fast")]
        return make(name, recipe, kernel, image)

    with ThreadPoolExecutor(_AT_A_TIME) as pool:
        for line in pool.map(one, wanted):
            sys.stdout.write(line + "\n")
            sys.stdout.flush()


if __name__ == "__main__":
    main(sys.argv[1:])
