# SPDX-License-Identifier: GPL-2.0-or-later
"""What gets built: a base, perhaps with a version of a series."""

from __future__ import annotations

import re
from dataclasses import dataclass

from harness.errors import UserError

SCHEMES = ("git", "tree", "tarball", "image")
# Those whose rest is a path to its end.
_PATHS = ("tree", "tarball", "image")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_PATCHES = re.compile(r"[1-9][0-9]{0,3}")
_HINT = "write BASE or BASE+SERIES@VERSION, e.g. debian-6.1+gfp-unmapped@v1"


@dataclass(frozen=True)
class Variant:
    """A base (`debian-6.1`, `git:/path@v6.3`, ...) and, where `series` is not empty, a series.

    Of the series the first `upto` patches alone are applied, all of them where it is 0.
    """

    base: str
    series: str = ""
    version: str = ""
    upto: int = 0

    def __str__(self) -> str:
        return f"{self.base}+{self.series}@{self.which}" if self.series else self.base

    @property
    def which(self) -> str:
        """The version and, where that is not all, how many of its patches: "v2", "v2:3"."""
        return f"{self.version}:{self.upto}" if self.upto else self.version

    @property
    def patched(self) -> bool:
        """Whether there is a series on top of the base."""
        return bool(self.series)

    @property
    def slug(self) -> str:
        """The variant as a part of a file name; two variants may share one."""
        return re.sub(r"[^A-Za-z0-9._@+-]+", "-", str(self)).strip("-")


def parse(text: str) -> Variant:
    """Return the variant that `text` names, such as `debian-6.1+gfp-unmapped@v1`.

    A `+` belongs to the base (a path may hold one) unless SERIES@VERSION follows the last one.
    `@v1:3` stops after the third patch.

    Raises:
        UserError: `text` does not have that form.
    """
    base, plus, rest = text.rpartition("+")
    if not plus:
        return Variant(_base(text, text))
    series, at, version = rest.partition("@")
    if at and _NAME.fullmatch(series):
        version, colon, patches = version.partition(":")
        if _NAME.fullmatch(version) and (not colon or _PATCHES.fullmatch(patches)):
            return Variant(_base(base, text), series, version, int(patches or 0))
    is_path = not at and text.partition(":")[0] in _PATHS
    if is_path or (":" in text and ("/" in rest or not _NAME.fullmatch(series))):
        return Variant(_base(text, text))
    if not at and _NAME.fullmatch(series):
        raise UserError(f"variant {text!r}: series {series!r} has no version", hint=_HINT)
    raise UserError(f"variant {text!r}: {rest!r} is no SERIES@VERSION", hint=_HINT)


def _base(base: str, text: str) -> str:
    scheme, colon, rest = base.partition(":")
    if colon and scheme not in SCHEMES:
        raise UserError(
            f"variant {text!r}: no kind of base is called {scheme!r}",
            hint=f"use a name, or one of {', '.join(f'{known}:' for known in SCHEMES)}",
        )
    if colon and rest:
        return base
    if colon or not _NAME.fullmatch(base):
        raise UserError(f"variant {text!r}: {base!r} is no base", hint=_HINT)
    return base
