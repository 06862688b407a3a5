# SPDX-License-Identifier: GPL-2.0-or-later
"""A kernel that was found in the cache, found again without asking all that decides its key.

What decides the key of a Debian base's kernel is in files: the series and the profiles, dpkg's
list, the compiler, our own code. As long as none of them changed, nor the kernel, what was found
once is the answer. Other bases are asked each time.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from harness import paths
from harness.files import replace_text
from harness.kernel.artifact import Kernel, kernel_of, read_meta
from harness.kernel.cache import Cache
from harness.kernel.filestate import file_states
from harness.kernel.variant import Variant

_DPKG = Path("/var/lib/dpkg/status")
_TOOLS = ("gcc", "as", "ld")
_BOOTED = ("vmlinux", "bzImage", "config", "meta.json")
_BASE = "debian-"
_CODE = Path(__file__).resolve().parent


@dataclass(frozen=True)
class Question:
    """What is asked for: a variant, the profile's name, and where series and fragments are."""

    variant: Variant
    profile: str
    series: Path = paths.KERNEL_PATCHES
    config: Path = paths.KERNEL_CONFIG

    def text(self) -> str:
        """Return all of it, and where programs are looked for, as text."""
        asked = [str(self.variant), self.profile, str(self.series), str(self.config)]
        return json.dumps([*asked, os.environ.get("PATH", "")])

    def watched(self) -> list[Path]:
        """Return the files and folders that the answer depends on."""
        found = [_DPKG, self.config, _CODE]
        found += [Path(os.path.realpath(shutil.which(tool) or tool)) for tool in _TOOLS]
        if self.variant.patched:
            found.append(self.series / self.variant.series / self.variant.version)
        return found


def recall(question: Question, aliases: Mapping[str, str], cache: Cache) -> Kernel | None:
    """Return the kernel that was the answer before, None where that has to be found out again.

    `aliases` are the names of bases in patchbed.toml: one that is called as Debian's is asked.
    """
    if not _can_be_remembered(question, aliases):
        return None
    try:
        known = json.loads(_file(question, cache).read_bytes())
        folder = cache.kernels / known["key"]
        if known["states"] != _states(question, folder):
            return None
        (folder / "last-used").touch()
        meta = read_meta(folder)
    except (OSError, ValueError, KeyError, TypeError):
        return None
    if meta is None:
        return None
    return kernel_of(folder, meta, variant=str(question.variant), profile=question.profile)


def remember(question: Question, kernel: Kernel, aliases: Mapping[str, str], cache: Cache) -> None:
    """Write down that `kernel`, just found whole, is the answer; a full disk does not matter."""
    if not _can_be_remembered(question, aliases):
        return
    with contextlib.suppress(OSError):
        known = {"key": kernel.key, "states": _states(question, kernel.folder)}
        replace_text(_file(question, cache), json.dumps(known))


def _can_be_remembered(question: Question, aliases: Mapping[str, str]) -> bool:
    base = question.variant.base
    return base.startswith(_BASE) and base not in aliases


def _file(question: Question, cache: Cache) -> Path:
    digest = hashlib.sha256(question.text().encode()).hexdigest()[:32]
    return cache.index / f"recall-{digest}"


def _states(question: Question, folder: Path) -> list[list[int | str]]:
    """Return a state of each thing the answer depends on; see `file_states`."""
    states = [state for path in question.watched() for state in file_states(path)]
    return states + [state for name in _BOOTED for state in file_states(folder / name)]
