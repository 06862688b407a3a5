# SPDX-License-Identifier: GPL-2.0-or-later
"""Patch series: what `kernel-patches/` holds of them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from email.parser import BytesHeaderParser
from pathlib import Path
from typing import Annotated

from pydantic import Field, field_validator

from harness import paths
from harness.config import Model, load_toml
from harness.errors import UserError
from harness.kernel.fragment import parse_line
from harness.kernel.mail import header
from harness.kernel.subject import parse_subject
from harness.outcomes import Outcome

FILE_NAME = "series.toml"


class KnownIssue(Model):
    """A fault of a series that a testcase has shown: it is expected, and told, not hidden.

    `testcase`, `check` and `profile` are fnmatch patterns: on `area/ID-name`, on a check's name,
    and on the names that the kernel's configuration was asked for by. One that shows `sometimes`,
    as where it takes a race or a layout of memory, is no surprise when it does not.
    """

    testcase: str
    check: str = "*"
    profile: str = "*"
    outcome: Annotated[Outcome, Field(strict=False)] = Outcome.FAIL
    reason: str = Field(min_length=1)
    sometimes: bool = False


class SeriesFile(Model):
    """A `series.toml`."""

    title: str = Field(min_length=1)
    message_id: str = ""
    link: str = ""
    base: str = ""
    versions: list[str] = Field(default=[])
    description: str = ""
    config: list[str] = Field(default=[])
    probe: str = ""
    known_issues: list[KnownIssue] = Field(default=[])
    patchset_hash: dict[str, Annotated[str, Field(pattern="^[0-9a-f]{64}$")]] = Field(default={})

    @field_validator("config")
    @classmethod
    def _check_config(cls, lines: list[str]) -> list[str]:
        for line in lines:
            if parse_line(line) is None:
                raise ValueError(
                    f"{line!r} is no config line: write CONFIG_X=VALUE or '# CONFIG_X is not set'"
                )
        return lines


@dataclass(frozen=True)
class Series:
    """A version of a series for one kernel: its facts and its patches, in order.

    `folder` holds series.toml; `base` is the kernel's major.minor.
    """

    name: str
    version: str
    base: str
    folder: Path
    facts: SeriesFile
    patches: list[Path]

    @property
    def title(self) -> str:
        return self.facts.title

    @property
    def message_id(self) -> str:
        return self.facts.message_id

    @property
    def config(self) -> list[str]:
        return self.facts.config

    @property
    def probe(self) -> str:
        return self.facts.probe

    @property
    def known_issues(self) -> list[KnownIssue]:
        return self.facts.known_issues

    def patchset_hash(self) -> str:
        """Return KCIDB's patchset_hash: the SHA-256 over the lines of the patches' SHA-256."""
        return hash_patches([patch.read_bytes() for patch in self.patches])

    def edited(self) -> bool:
        """Whether the patches are no longer those that series.toml has the patchset_hash of.

        Where it has none, nobody said what they should be.
        """
        recorded = self.facts.patchset_hash.get(self.base, "")
        return bool(recorded) and recorded != self.patchset_hash()

    def upto(self, patches: int) -> Series:
        """Return the series with its first `patches` alone, or as it is where that is 0.

        Raises:
            UserError: it has not so many.
        """
        if patches > len(self.patches):
            raise UserError(
                f"{self} has no patch {patches} for kernels {self.base}: it has"
                f" {len(self.patches)}",
                hint=f"write {self}, or {self}:N with N from 1 to {len(self.patches)}",
            )
        return replace(self, patches=self.patches[:patches]) if patches else self

    def __str__(self) -> str:
        return f"{self.name}@{self.version}"


def hash_patches(patches: Sequence[bytes]) -> str:
    """Return KCIDB's patchset_hash: the SHA-256 over the lines of the patches' SHA-256."""
    lines = [f"{hashlib.sha256(patch).hexdigest()}\n" for patch in patches]
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def load_series(
    name: str, version: str, makefile_version: str = "6.1", folder: Path = paths.KERNEL_PATCHES
) -> Series:
    """Return a version of a series for kernels of `makefile_version` (major.minor).

    Raises:
        UserError: there is no such series, version, or none for such a kernel; the message lists
            what there is.
        ConfigError: its series.toml has an unknown key or a wrong value.
    """
    where = series_folder(name, version, folder)
    facts = load_toml(where / FILE_NAME, SeriesFile)
    patches_folder = _choose(
        where,
        makefile_version,
        "kernels",
        f"series {name}@{version} has no patches for kernels {makefile_version}",
    )
    patches = sorted(patches_folder.glob("*.patch"))
    if not patches:
        raise UserError(
            f"{patches_folder} holds no *.patch",
            hint="put the series there, as git format-patch writes it",
        )
    return Series(name, version, makefile_version, where, facts, patches)


def series_folder(name: str, version: str, folder: Path = paths.KERNEL_PATCHES) -> Path:
    """Return the folder of a version of a series, whatever kernels it has patches for.

    Raises:
        UserError: there is no such series or version; the message lists what there is.
    """
    where = _choose(folder, name, "series", f"{folder} has no series {name!r}")
    return _choose(where, version, "versions", f"series {name!r} has no version {version!r}")


def kernels_of(name: str, version: str, folder: Path = paths.KERNEL_PATCHES) -> list[str]:
    """Return the kernels (major.minor) that a version of a series has patches for.

    Raises:
        UserError: there is no such series or version, or it has no patches.
    """
    where = series_folder(name, version, folder)
    found = list(_names(where))
    if not found:
        raise UserError(
            f"{where} has patches for no kernel", hint="put them into a folder such as 6.1 there"
        )
    return found


def load_series_file(name: str, version: str, folder: Path = paths.KERNEL_PATCHES) -> SeriesFile:
    """Return what the series.toml of a version of a series says.

    Raises:
        UserError: there is no such series or version; the message lists what there is.
        ConfigError: the file has an unknown key or a wrong value.
    """
    return load_toml(series_folder(name, version, folder) / FILE_NAME, SeriesFile)


def list_series(folder: Path = paths.KERNEL_PATCHES) -> list[Series]:
    """Return every version of every series, once for each kernel that it has patches for."""
    return [
        load_series(name, version, base, folder)
        for name in _names(folder)
        for version in _names(folder / name)
        for base in _names(folder / name / version)
    ]


def parse_name(text: str) -> tuple[str, str]:
    """Return name and version of `SERIES@VERSION`.

    Raises:
        UserError: it has no such form.
    """
    name, at, version = text.partition("@")
    if not (name and at and version):
        raise UserError(f"{text!r} is no series", hint="write SERIES@VERSION: gfp-unmapped@v1")
    return name, version


def subject(patch: Path) -> str:
    """Return the subject of a patch, without its [PATCH n/m]."""
    with patch.open("rb") as file:
        message = BytesHeaderParser().parse(file)
    return parse_subject(header(message, "Subject")).title


def _choose(folder: Path, name: str, kind: str, problem: str) -> Path:
    names = list(_names(folder))
    if name not in names:
        raise UserError(problem, hint=f"{kind} there are: {', '.join(names) or 'none'}")
    return folder / name


def _names(folder: Path) -> Iterator[str]:
    if folder.is_dir():
        names = (entry.name for entry in folder.iterdir() if entry.is_dir())
        # What begins with a dot is an import that goes on just now.
        yield from sorted(name for name in names if not name.startswith("."))
