# SPDX-License-Identifier: GPL-2.0-or-later
"""Writing a version of a series to its folder: whole, or not at all."""

from __future__ import annotations

import contextlib
import json
import re
import shutil
import tempfile
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from harness.errors import ConfigError, UserError
from harness.kernel.cache import disk_full
from harness.kernel.series import FILE_NAME, SeriesFile, hash_patches

COVER = "cover-letter.txt"
_SPDX = "# SPDX-License-Identifier: GPL-2.0-only\n"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_TABLE = "[patchset_hash]"


@dataclass(frozen=True)
class Draft:
    """A version of a series before it is written: names and texts of its patches, its facts."""

    title: str
    patches: Sequence[tuple[str, bytes]]
    message_id: str = ""
    link: str = ""
    cover: str = ""
    base: str = ""
    versions: Sequence[str] = field(default=())

    def patchset_hash(self) -> str:
        """Return KCIDB's patchset_hash of the patches."""
        return hash_patches([text for _, text in self.patches])


def check_names(name: str, version: str, base: str) -> None:
    """Raise UserError unless these can be the names of a series' folders."""
    for what, text in (("series", name), ("version", version)):
        if not _NAME.fullmatch(text):
            raise UserError(
                f"{text!r} can't be the name of a {what}",
                hint="use letters, digits, dots and dashes, beginning with a letter or digit",
            )
    if not re.fullmatch(r"\d+\.\d+", base):
        raise UserError(
            f"{base!r} is no kernel's major.minor", hint="give --base MAJOR.MINOR, such as 6.1"
        )


def check_free(folder: Path, name: str, version: str, base: str, *, force: bool) -> None:
    """Raise UserError where there are such patches already and `force` does not allow for it."""
    there = folder / name / version / base
    if there.exists() and not force:
        raise UserError(
            f"{there} is there already",
            hint="choose another --version, or --force to replace its patches",
        )


def write_series(
    draft: Draft, folder: Path, name: str, version: str, base: str, *, force: bool
) -> Path:
    """Write `draft` as `name`@`version` for kernels `base` below `folder`; return its folder.

    Where the version exists for other kernels (or this one, with `force`), its series.toml
    stays as it is but for the patchset_hash.

    Raises:
        UserError: it is there already, or a name can't be one; nothing is changed.
        ConfigError: the series.toml that is there is no good; nothing is changed.
        InfrastructureError: the disk is full; nothing is changed.
    """
    check_names(name, version, base)
    check_free(folder, name, version, base, force=force)
    target = folder / name / version
    made = [parent for parent in (folder, target.parent) if not parent.exists()]
    with _writable(folder), disk_full(folder):
        target.parent.mkdir(parents=True, exist_ok=True)
        aside = Path(tempfile.mkdtemp(prefix=".import-", dir=target.parent))
        try:
            new = aside / version
            replaces = target.exists()
            if replaces:
                shutil.copytree(target, new)
            _fill(draft, new, base)
            _swap(new, target, aside if replaces else None)
        finally:
            shutil.rmtree(aside, ignore_errors=True)
            for parent in reversed(made):
                if not any(parent.iterdir()):
                    parent.rmdir()
    return target


@contextlib.contextmanager
def _writable(folder: Path) -> Iterator[None]:
    """Turn what keeps us from writing below `folder` into words."""
    try:
        yield
    except OSError as error:
        raise UserError(
            f"{error.filename or folder} can't be written: {error.strerror}",
            hint=f"see to {folder}, or name another by [paths] kernel_patches in patchbed.toml",
        ) from error


def _swap(new: Path, target: Path, aside: Path | None) -> None:
    """Put `new` in the place of `target`, which goes into `aside`; None: there is no such.

    If anything keeps us from it, all stays as it was.
    """
    old = aside / "old" if aside else None
    try:
        if old:
            target.rename(old)
        # Another import that was here first makes this fail: a folder replaces no full one.
        new.rename(target)
    except BaseException:
        if old and old.exists() and not target.exists():
            old.rename(target)
        raise


def _fill(draft: Draft, where: Path, base: str) -> None:
    patches = where / base
    shutil.rmtree(patches, ignore_errors=True)
    patches.mkdir(parents=True)
    where.chmod(0o755)
    for name, patch in draft.patches:
        (patches / name).write_bytes(patch)
    if draft.cover:
        (where / COVER).write_text(draft.cover, encoding="utf-8")
    toml = where / FILE_NAME
    there = toml.read_text(encoding="utf-8") if toml.exists() else series_toml(draft)
    text = with_hash(there, base, draft.patchset_hash())
    try:
        SeriesFile.model_validate(tomllib.loads(text))
    except ValueError as error:
        raise ConfigError(
            toml, "patchset_hash", "can't be put in", hint=f"correct {toml.name} first: {error}"
        ) from error
    toml.write_text(text, encoding="utf-8")


def series_toml(draft: Draft) -> str:
    """Return the text of a new series.toml, but for its patchset_hash."""
    facts: Mapping[str, object] = {
        "title": draft.title,
        "message_id": draft.message_id,
        "link": draft.link,
        "base": draft.base,
        "versions": list(draft.versions),
    }
    lines = [f"{key} = {_value(value)}\n" for key, value in facts.items() if value]
    return _SPDX + "".join(lines)


def with_hash(toml: str, base: str, patchset_hash: str) -> str:
    """Return the text of a series.toml with the patchset_hash for a kernel in it."""
    line = f'"{base}" = "{patchset_hash}"\n'
    old = re.compile(rf'^"{re.escape(base)}"\s*=\s*"[0-9a-f]*"[ \t]*\n?', re.MULTILINE)
    head, table, rest = toml.partition(f"\n{_TABLE}\n")
    if not table:
        return f"{toml.rstrip()}\n\n{_TABLE}\n{line}"
    return f"{head}{table}{line}{old.sub('', rest, count=1)}"


def _value(value: object) -> str:
    # A JSON string is a TOML string, but for one character that TOML wants escaped as well.
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
