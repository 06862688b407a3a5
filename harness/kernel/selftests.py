# SPDX-License-Identifier: GPL-2.0-or-later
"""A collection of the kernel's own user-space tests: its programs, and how to call them."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.kernel.make import error_lines

MANIFEST = "selftests.json"
SCRIPT = "run_vmtests.sh"
# Where that script mounts hugetlbfs, and some programs look for it; relative to where they run.
HUGE = "huge"
_FAILED = re.compile(r"^make(?:\[\d+\])?: \*\*\* \[[^\]]*?([^/\]\s]+)\] Error ")
_RUN = re.compile(r"^\s*(?:CATEGORY=\S+\s+)?run_test\s+(?P<words>[^#|;&]*\S)\s*$")
# What run_vmtests.sh has set before it runs them, or leaves to the machine.
_VARIABLES = {"mnt": f"./{HUGE}", "half_ufd_size_MB": "64", "mod": ""}


@dataclass(frozen=True)
class Selftest:
    """A program of a collection.

    `commands` are the arguments of each call of it, as a shell reads them. `reason` is why it
    can't be run, "" where it can: its file is then in the folder.
    """

    collection: str
    name: str
    commands: tuple[str, ...] = ("",)
    reason: str = ""


@dataclass(frozen=True)
class Selftests:
    """A collection that was built into `folder`; `limit` is what a program may take, in s."""

    folder: Path
    collection: str
    limit: float
    programs: tuple[Selftest, ...]

    def find(self, name: str) -> Selftest:
        """Return the program `name`; one that is not there has its reason."""
        for program in self.programs:
            if program.name == name:
                return program
        return Selftest(self.collection, name, reason=f"{self.collection} has no {name}")


def load_selftests(folder: Path) -> Selftests:
    """Return the collection in `folder`. Raises OSError and ValueError where there is none."""
    facts = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    programs = tuple(
        Selftest(facts["collection"], entry["name"], tuple(entry["commands"]), entry["reason"])
        for entry in facts["programs"]
    )
    return Selftests(folder, facts["collection"], float(facts["limit"]), programs)


def parse_list(lines: Iterable[str]) -> dict[str, str]:
    """Return what make's list of a collection names: a name to "program", "file" or "script"."""
    kinds: dict[str, str] = {}
    for line in lines:
        kind, _, name = line.partition(" ")
        if kind in ("program", "file", "script") and name.strip():
            kinds.setdefault(name.strip(), kind)
    return kinds


def parse_limit(settings: str) -> float | None:
    """Return the seconds in a collection's `settings`, None where it has none; 0 is no limit."""
    found = re.search(r"^timeout=(\d+)", settings, re.MULTILINE)
    return float(found[1]) if found else None


def invocations(script: str) -> dict[str, list[str]]:
    """Return how a run_vmtests.sh calls each program: its name to the arguments of each call.

    What the script works out as it runs is set to what our guests have; a call with a variable
    that is not known is left out.
    """
    variables = dict(_VARIABLES)
    calls: dict[str, list[str]] = {}
    for line in script.replace("\\\n", " ").splitlines():
        if assigned := re.match(r"^(\w+_bin)=(\./\S+)$", line):
            variables[assigned[1]] = assigned[2]
        match = _RUN.match(line)
        words = _words(match["words"], variables) if match else None
        if not words or not words[0].startswith("./"):
            continue
        arguments = calls.setdefault(words[0].removeprefix("./"), [])
        call = shlex.join(words[1:])
        if call not in arguments:
            arguments.append(call)
    return calls


def _words(text: str, variables: Mapping[str, str]) -> list[str] | None:
    """Return the words of a call with its variables filled in; None where one is not known."""

    def value(match: re.Match[str]) -> str:
        return variables.get(match[1] or match[2], "$")

    filled = re.sub(r"\$(?:\{(\w+)\}|(\w+))", value, text)
    if "$" in filled or "`" in filled:
        return None
    try:
        return shlex.split(filled)
    except ValueError:
        return None


def plan_programs(
    collection: str, kinds: Mapping[str, str], calls: Mapping[str, Sequence[str]] | None
) -> list[Selftest]:
    """Return the programs of a collection with how to call each.

    `kinds` is what parse_list gave. `calls` is what invocations gave where the collection has a
    script that runs its files, None where it has none and its files are what others use.
    """
    programs = []
    for name, kind in sorted(kinds.items()):
        if kind == "script":
            reason = "a script for a system with bash; the guest has a small shell"
            programs.append(Selftest(collection, name, reason=reason))
        elif calls is not None and name in calls:
            programs.append(Selftest(collection, name, tuple(calls[name])))
        elif calls is not None and kind == "file":
            reason = f"{SCRIPT} does not call it, or only in a way of its own"
            programs.append(Selftest(collection, name, reason=reason))
        elif kind == "program":
            programs.append(Selftest(collection, name))
    return programs


def compile_reasons(output: Iterable[str], root: Path) -> dict[str, str]:
    """Return why programs did not compile, by their names: the first error before make's word."""
    reasons: dict[str, str] = {}
    block: list[str] = []
    for line in output:
        if match := _FAILED.match(line):
            found = [text for text in error_lines(block, root) if "error" in text or "find" in text]
            reasons.setdefault(match[1], found[0] if found else "its compiler failed")
            block = []
        else:
            block.append(line)
    return reasons
