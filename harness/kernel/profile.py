# SPDX-License-Identifier: GPL-2.0-or-later
"""Profiles: named lists of configuration fragments."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from pydantic import Field, RootModel, model_validator

from harness import paths
from harness.config import Model, load_toml
from harness.errors import ConfigError, UserError
from harness.kernel.fragment import Request, parse_fragment

FILE_NAME = "profiles.toml"
_START = "tinyconfig"


class ProfileTable(Model):
    """A table of profiles.toml: the fragments, in order, over one of make's own configs.

    With `extends`, they come after those of another profile, over that profile's start.
    """

    description: str = Field(min_length=1)
    extends: str = ""
    start: str = ""
    fragments: list[str] = Field(default_factory=list)

    @model_validator(mode="after")
    def _says_something(self) -> Self:
        if not (self.extends or self.fragments):
            raise ValueError("a profile needs `fragments`, or another one to extend")
        return self


class _ProfilesFile(RootModel[dict[str, ProfileTable]]):
    """The whole of profiles.toml."""


@dataclass(frozen=True)
class Profile:
    """A profile: its name, the make target that it starts from, and all that it asks for."""

    name: str
    description: str
    start: str
    requests: tuple[Request, ...]


def load_profile(name: str, folder: Path = paths.KERNEL_CONFIG) -> Profile:
    """Return the profile called `name`, its fragments read.

    Raises:
        UserError: there is no such profile; the message lists what there is.
        ConfigError: profiles.toml or a fragment can't be used.
    """
    tables = _tables(folder)
    if name not in tables:
        raise UserError(f"no profile is called {name!r}", hint=f"profiles: {', '.join(tables)}")
    start, fragments = _START, []
    for table in _lineage(name, tables, folder):
        start = table.start or start
        fragments += table.fragments
    requests = [
        request for fragment in fragments for request in _read_fragment(name, fragment, folder)
    ]
    return Profile(name, tables[name].description, start, tuple(requests))


def _lineage(name: str, tables: dict[str, ProfileTable], folder: Path) -> list[ProfileTable]:
    """Return the tables of a profile, that which extends no other first."""
    names = [name]
    while parent := tables[names[-1]].extends:
        key = f"{names[-1]}.extends"
        if parent not in tables:
            raise ConfigError(
                folder / FILE_NAME,
                key,
                f"there is no profile {parent!r}",
                hint=f"profiles: {', '.join(tables)}",
            )
        if parent in names:
            raise ConfigError(
                folder / FILE_NAME,
                key,
                f"profiles extend each other in a circle: {' -> '.join([*names, parent])}",
                hint="take one `extends` out",
            )
        names.append(parent)
    return [tables[each] for each in reversed(names)]


def _read_fragment(profile: str, fragment: str, folder: Path) -> list[Request]:
    file = folder / f"{fragment}.config"
    if not file.is_file():
        raise ConfigError(
            folder / FILE_NAME,
            f"{profile}.fragments",
            f"there is no fragment {fragment!r}",
            hint=f"fragments: {', '.join(sorted(f.stem for f in folder.glob('*.config')))}",
        )
    return parse_fragment(file.read_text(encoding="utf-8"), file.name, file)


def group_profiles(
    names: Sequence[str], folder: Path = paths.KERNEL_CONFIG
) -> list[tuple[str, ...]]:
    """Return `names` in their order, those together that ask for one and the same kernel.

    Raises: as `load_profile` does.
    """
    groups: dict[tuple[str, tuple[Request, ...]], list[str]] = {}
    for name in dict.fromkeys(names):
        profile = load_profile(name, folder)
        groups.setdefault((profile.start, profile.requests), []).append(name)
    return [tuple(group) for group in groups.values()]


def list_profiles(folder: Path = paths.KERNEL_CONFIG) -> dict[str, str]:
    """Return the description of every profile, by name."""
    return {name: table.description for name, table in _tables(folder).items()}


def _tables(folder: Path) -> dict[str, ProfileTable]:
    return load_toml(folder / FILE_NAME, _ProfilesFile).root
