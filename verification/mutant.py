# SPDX-License-Identifier: GPL-2.0-or-later
"""Mutants: a series with one small defect, and which testcases should see it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from email.message import Message
from email.parser import BytesParser
from pathlib import Path

from harness import paths
from harness.errors import UserError
from harness.kernel.mail import header
from harness.kernel.subject import parse_subject

FOLDER = paths.PROJECT / "tests" / "mutants"
_NAME = re.compile(r"[a-z0-9]+(?:-[a-z0-9]+)*")
_LINE = re.compile(r"[A-Z]\d*")
_DEFAULT_PROFILE = "fast"


@dataclass(frozen=True)
class Mutant:
    """A patch on top of a series that breaks it in one way.

    `seen_by` are the catalogue's lines (`U1`, `S6`) whose testcases should fail; `profiles` are
    those to run them in, in this order; `words` say what is broken.
    """

    name: str
    patch: Path
    subject: str
    words: str
    seen_by: tuple[str, ...]
    profiles: tuple[str, ...]

    @property
    def selection(self) -> str:
        """A `-k` expression for the testcases that should see it."""
        return " or ".join(f"/{line}-" for line in self.seen_by)


def parse_mutant(data: bytes, path: Path) -> Mutant:
    """Return the mutant that the mail `data`, the contents of `path`, describes.

    Beside a mail's own headers it has `Seen-By` (lines of the catalogue) and, unless it is
    `fast`, `Profile`; both are lists with commas.

    Raises:
        UserError: the name of the file, or a header, is not as it should be.
    """
    mail = BytesParser().parsebytes(data)
    if not _NAME.fullmatch(path.stem):
        raise UserError(f"{path}: a mutant is called like-this.patch", hint="rename the file")
    seen_by = _listed(mail, "Seen-By")
    wrong = [line for line in seen_by if not _LINE.fullmatch(line)]
    if wrong or not seen_by:
        found = f"has {', '.join(wrong)}" if wrong else "is missing"
        raise UserError(
            f"{path}: its header Seen-By {found}",
            hint="name lines of the catalogue there: `Seen-By: U1, S6`",
        )
    subject = parse_subject(header(mail, "Subject")).title
    if not subject:
        raise UserError(f"{path} has no Subject", hint="write it as git format-patch does")
    body = str(mail.get_payload()).split("\n---\n", 1)[0]
    profiles = _listed(mail, "Profile") or (_DEFAULT_PROFILE,)
    return Mutant(path.stem, path, subject, " ".join(body.split()), seen_by, profiles)


def load_mutants(folder: Path = FOLDER, only: Sequence[str] = ()) -> list[Mutant]:
    """Return the mutants in `folder` by name; where `only` names some, those.

    Raises:
        UserError: one of `only` does not exist, there is none at all, or a file is no mutant.
    """
    found = [parse_mutant(path.read_bytes(), path) for path in sorted(folder.glob("*.patch"))]
    names = [mutant.name for mutant in found]
    for name in only:
        if name not in names:
            raise UserError(
                f"no mutant is called {name!r}", hint=f"there are: {', '.join(names) or 'none'}"
            )
    return [mutant for mutant in found if not only or mutant.name in only]


def _listed(mail: Message, name: str) -> tuple[str, ...]:
    return tuple(word for word in re.split(r"[,\s]+", header(mail, name)) if word)
