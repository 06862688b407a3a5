# SPDX-License-Identifier: GPL-2.0-or-later
"""A new testcase: where its files go, and what is in them to begin with."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from harness.errors import InfrastructureError, UserError
from harness.files import replace_text
from harness.outcomes import Outcome
from harness.testing.testcase import split_id, written_ids

KBUILD = "Kbuild"
_SPDX = "# SPDX-License-Identifier: GPL-2.0-only\n"
_NAME = re.compile(r"[a-z0-9]+(?:-[a-z0-9]+)*")
_AREA = re.compile(r"[a-z][a-z0-9_]*")
_LETTER = re.compile(r"[A-Z]")
_LONGEST = 28
# Not areas: what they hold is used by all, or is measured.
_OTHERS = ("include", "shared", "workloads", "bin", "modules")
_BLOCK = re.compile(r"^ifdef CONFIG_KUNIT\n(?:.*\n)*?(?=endif)", re.MULTILINE)


@dataclass(frozen=True)
class Draft:
    """The files of a new testcase `area`/`id`: those to make and those to replace."""

    area: str
    id: str
    made: dict[Path, str] = field(default_factory=dict)
    replaced: dict[Path, str] = field(default_factory=dict)

    def write(self) -> None:
        """Write all of the files, or none.

        Raises:
            UserError: one of them came into being meanwhile.
            InfrastructureError: the disk is full, or a folder can't be written.
        """
        begun: list[Path] = []
        try:
            for path, text in self.made.items():
                path.parent.mkdir(parents=True, exist_ok=True)
                with path.open("x", encoding="utf-8") as file:
                    begun.append(path)
                    file.write(text)
            for path, text in self.replaced.items():
                replace_text(path, text)
        except OSError as error:
            for path in begun:
                with contextlib.suppress(OSError):
                    path.unlink()
            if isinstance(error, FileExistsError):
                raise _clash(str(error.filename)) from error
            raise InfrastructureError(
                Outcome.INFRA_DISK,
                f"{error.filename or 'a file'} can't be written: {error.strerror}",
                hint="is there room, and may you write there?",
            ) from error


def areas(testcases: Path) -> list[str]:
    """Return the areas in the folder `testcases`: its folders with testcases, sorted."""
    found = {path.parent.name for path in testcases.glob("*/test_*.py")}
    return sorted(found - set(_OTHERS))


def make_draft(
    testcases: Path,
    area: str,
    name: str,
    *,
    letter: str = "",
    module: bool = True,
    program: bool = False,
) -> Draft:
    """Return the files of a new testcase: a pytest file, and a KUnit `module` or C `program`.

    Its number is the next one of its area, or of `letter`; a new area takes a letter.

    Raises:
        UserError: a name is of the wrong form, the area is not known, or something has that
            name already.
    """
    _check_names(testcases, area, name, letter)
    ids = list(_ids(testcases))
    letter = letter or _usual_letter(ids, area)
    clash = [found for found in ids if found.area == area and found.name == name]
    if clash:
        raise _clash(f"{area}/{clash[0].letter}{clash[0].number}-{name}")
    number = max((found.number for found in ids if found.letter == letter), default=0) + 1
    base = name.replace("-", "_")
    draft = Draft(area, f"{letter}{number}-{name}")
    facts = {
        "id": draft.id,
        "area": area,
        "name": base,
        "words": name.replace("-", " "),
        "module": f"patchbed_{base}_kunit" if module else "",
        "program": base if program else "",
    }
    draft.made[testcases / area / f"test_{base}.py"] = _render("test.py.j2", facts)
    if module:
        file = testcases / area / "kernel" / f"{facts['module']}.c"
        draft.made[file] = _render("kunit.c.j2", facts)
        _add_to_kbuild(draft, testcases, area, facts["module"])
    if program:
        draft.made[testcases / area / "programs" / f"{base}.c"] = _render("program.c.j2", facts)
    _check_files(testcases, draft)
    return draft


@dataclass(frozen=True)
class _Id:
    area: str
    letter: str
    number: int
    name: str


def _ids(testcases: Path) -> Iterator[_Id]:
    for path in sorted(testcases.glob("*/test_*.py")):
        for id in written_ids(path):
            yield _Id(path.parent.name, *split_id(id))


def _usual_letter(ids: list[_Id], area: str) -> str:
    letters = [found.letter for found in ids if found.area == area]
    return max(set(letters), key=letters.count, default="")


def _check_names(testcases: Path, area: str, name: str, letter: str) -> None:
    if not _NAME.fullmatch(name):
        raise UserError(
            f"{name!r} is no testcase's name", hint="write small letters and hyphens: late-unmap"
        )
    if len(name) > _LONGEST:
        raise UserError(f"{name!r} is too long", hint=f"at most {_LONGEST} characters")
    if letter and not _LETTER.fullmatch(letter):
        raise UserError(f"{letter!r} is no letter of the catalogue", hint="one capital: X")
    known = areas(testcases)
    if area in known:
        return
    if not _AREA.fullmatch(area) or area in _OTHERS:
        raise UserError(f"{area!r} is no area's name", hint=f"choose from: {', '.join(known)}")
    if not letter:
        raise UserError(
            f"there is no area {area!r} in {testcases}",
            hint=f"choose from: {', '.join(known)}; or give a new one its --letter",
        )
    if not testcases.is_dir():
        raise UserError(f"{testcases} is no folder", hint="see [paths] in patchbed.toml")


def _check_files(testcases: Path, draft: Draft) -> None:
    """Refuse what is there already; all modules, and all programs, are in one folder in a guest."""
    for path in draft.made:
        folder = path.parent.name
        same = [path] if path.exists() else []
        if folder in ("kernel", "programs") and path.name != KBUILD:
            same += sorted(testcases.glob(f"*/{folder}/{path.name}"))
        if same:
            raise _clash(str(same[0]))


def _clash(what: str) -> UserError:
    return UserError(f"there is {what} already", hint="choose another name")


def _add_to_kbuild(draft: Draft, testcases: Path, area: str, module: str) -> None:
    """Have the module built; where the area has none yet, have its folder looked into."""
    file = testcases / area / "kernel" / KBUILD
    line = f"obj-m += {module}.o\n"
    text = file.read_text(encoding="utf-8") if file.is_file() else ""
    block = _BLOCK.search(text)
    if block:
        draft.replaced[file] = text[: block.end()] + line + text[block.end() :]
    else:
        remark = "# A kernel without KUnit has nothing to link it to; the testcase skips there.\n"
        added = f"{remark}ifdef CONFIG_KUNIT\n{line}endif\n"
        (draft.replaced if text else draft.made)[file] = (text or _SPDX) + added
    top = testcases / KBUILD
    entry = f"obj-m += {area}/kernel/\n"
    whole = (
        top.read_text(encoding="utf-8")
        if top.is_file()
        else f"{_SPDX}ccflags-y := -I$(src)/include\n"
    )
    if entry not in whole:
        draft.replaced[top] = whole + entry


def _render(template: str, facts: dict[str, str]) -> str:
    from jinja2 import Environment, PackageLoader, StrictUndefined

    loader = PackageLoader("harness.testing")
    environment = Environment(  # noqa: S701
        loader=loader, undefined=StrictUndefined, keep_trailing_newline=True
    )
    return environment.get_template(template).render(facts)
