# SPDX-License-Identifier: GPL-2.0-or-later
"""Reading TOML files into models, and `patchbed.toml` itself."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic_core import ErrorDetails

from harness.errors import ConfigError
from harness.paths import KERNEL_PATCHES, TESTCASES


class Model(BaseModel):
    """A table of a configuration file: unknown keys are errors, values never change."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


AnyModel = TypeVar("AnyModel", bound=BaseModel)


def load_toml(path: Path, model: type[AnyModel]) -> AnyModel:
    """Return the TOML file at `path` as a `model`.

    Raises:
        ConfigError: it can't be read, is no TOML, has an unknown key or a wrong value; the
            message names the file, the key and what is allowed.
    """
    try:
        data = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(path, "", f"can't be read: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(path, "", f"is no TOML: {error}") from error
    try:
        return model.model_validate(data)
    except ValidationError as error:
        raise _config_error(path, model, error.errors()[0]) from error


def _config_error(path: Path, model: type[BaseModel], detail: ErrorDetails) -> ConfigError:
    key = ".".join(str(part) for part in detail["loc"])
    if detail["type"] == "extra_forbidden":
        allowed = ", ".join(_allowed_keys(model, detail["loc"][:-1]))
        return ConfigError(path, key, "unknown key", hint=f"allowed here: {allowed}")
    got = "" if detail["type"] == "missing" else f" (got {detail['input']!r})"
    return ConfigError(path, key, f"{detail['msg']}{got}", hint=f"correct `{key}` in {path}")


def _allowed_keys(model: type[BaseModel], where: tuple[int | str, ...]) -> list[str]:
    current: Any = model
    for part in where:
        field = current.model_fields.get(part) if hasattr(current, "model_fields") else None
        if field is None:
            continue
        current = field.annotation
        while not hasattr(current, "model_fields") and getattr(current, "__args__", None):
            current = current.__args__[-1]
    return sorted(getattr(current, "model_fields", {}))


class PlanTable(Model):
    """`[plan]`: what `patchbed run` does when the command line does not say otherwise."""

    variants: list[str] = Field(default=["debian"], min_length=1)
    profile: str | list[str] = "fast"
    machine: str = "q35-4g"
    testcases: str = "all"


class LimitsTable(Model):
    """`[limits]`: how long things may take, in seconds on a machine of ordinary speed."""

    boot: float = Field(default=60.0, gt=0)
    silence: float = Field(default=60.0, gt=0)
    test: float = Field(default=120.0, gt=0)


class PathsTable(Model):
    """`[paths]`: where series and testcases are, relative to the file; else the project's own."""

    kernel_patches: str = str(KERNEL_PATCHES)
    testcases: str = str(TESTCASES)


class Settings(Model):
    """The whole of a `patchbed.toml`."""

    plan: PlanTable = PlanTable()
    limits: LimitsTable = LimitsTable()
    paths: PathsTable = PathsTable()
    bases: dict[str, str] = {}


def load_settings(file: Path) -> Settings:
    """Return the patchbed.toml at `file`; its bases' relative paths begin beside it.

    Raises:
        ConfigError: as `load_toml` has it.
    """
    settings = load_toml(file, Settings)
    bases = {name: _beside(base, file.resolve().parent) for name, base in settings.bases.items()}
    return settings.model_copy(update={"bases": bases})


def _beside(base: str, folder: Path) -> str:
    """Return a base with its path, if it is a relative one, taken from `folder`.

    What follows `image:` or `git:` is a path only if it begins as one: `./` or `../`.
    """
    scheme, _, rest = base.partition(":")
    begins = rest.startswith(("./", "../"))
    is_path = scheme in ("tree", "tarball") and not rest.startswith(("/", "~"))
    if scheme in ("image", "git") and begins:
        is_path = True
    return f"{scheme}:{folder / rest}" if rest and is_path else base
