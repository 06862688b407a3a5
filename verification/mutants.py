# SPDX-License-Identifier: GPL-2.0-or-later
"""`scripts/mutants`: the testcases tested, by series that are broken on purpose."""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from harness import paths
from harness.config import load_settings
from harness.errors import BuildError
from harness.events import Event, Listener, Message
from harness.kernel.cache import Cache, command_name
from harness.kernel.interrupt import terminable
from harness.kernel.series import Series, load_series
from harness.kernel.variant import parse
from harness.report.progress import Progress, remaining
from harness.report.words import duration
from verification.hunt import Hunter
from verification.laboratory import Laboratory, Places
from verification.mutant import FOLDER, Mutant, load_mutants
from verification.mutant_table import document, lines
from verification.verdict import (
    State,
    exit_code,
    forget,
    load_state,
    recorded,
    save_state,
)

DOCUMENT = paths.PROJECT / "docs" / "mutants.md"
# What was found on any machine: the document's rows.
RECORD = paths.PROJECT / "verification" / "verdicts.json"
_SERIES = "debian-6.1+gfp-unmapped@v2"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what the command line of `scripts/mutants` may say."""
    parser.add_argument(
        "--only", metavar="NAME", action="append", default=[], help="this mutant; may be repeated"
    )
    parser.add_argument("--series", default=_SERIES, help=f"what they break ({_SERIES})")
    parser.add_argument("--all", action="store_true", help="run every testcase, kill or not")
    parser.add_argument("--again", action="store_true", help="forget what was found before")
    parser.add_argument(
        "--build-only", action="store_true", help="build the kernels that are to be run, no more"
    )
    parser.add_argument("--write", action="store_true", help=f"write {DOCUMENT.name}")
    parser.add_argument("--json", action="store_true", help="print what was found as JSON")
    parser.add_argument("--clean", action="store_true", help="remove the mutants' cache first")


def main(arguments: argparse.Namespace) -> int:
    """Hunt the mutants that the command line names; return the exit code.

    Raises:
        UserError: a mutant or the series does not exist.
        PatchbedError: the host is in the way; what was found until then is remembered.
        KeyboardInterrupt: likewise.
    """
    mutants = load_mutants(FOLDER, arguments.only)
    shared = paths.cache()
    laboratory, series = _laboratory(arguments.series, shared)
    with terminable(), Cache(shared).hold("mutants", command_name(), _waiting):
        if arguments.clean:
            laboratory.close()
        laboratory.open()
        state = load_state(laboratory.state)
        if arguments.again:
            state = forget(state, [mutant.name for mutant in mutants])
        tests = laboratory.tests()
        # Profile by profile: of the trees that builds begin from few are kept.
        todo = [
            mutant
            for mutant in sorted(mutants, key=lambda mutant: mutant.profiles)
            if not _known(laboratory, series, state, mutant, tests, everything=arguments.all)
        ]
        with _progress() as listen:
            hunter = Hunter(laboratory, series, state, listen, everything=arguments.all)
            if arguments.build_only:
                return _build(hunter, todo, listen)
            _hunt(hunter, todo, listen, len(mutants))
        if arguments.write:
            _write(laboratory, series, state)
    return _report(mutants, state, arguments)


def _laboratory(variant: str, shared: Path) -> tuple[Laboratory, Series]:
    file = paths.find_settings(Path.cwd())
    settings = load_settings(file)
    folder = file.resolve().parent
    places = Places(
        folder / settings.paths.kernel_patches, folder / settings.paths.testcases, settings.bases
    )
    parsed = parse(variant)
    kernel = parsed.base.rpartition("-")[2]
    series = load_series(parsed.series, parsed.version, kernel, places.series)
    return Laboratory(shared / "mutants", shared, parsed, places), series


def _known(
    laboratory: Laboratory,
    series: Series,
    state: State,
    mutant: Mutant,
    tests: dict[str, str],
    *,
    everything: bool,
) -> bool:
    """Whether a mutant's verdict still stands and says enough."""
    verdict = state.verdicts.get(mutant.name)
    if verdict is None or not verdict.stands(laboratory.inputs(series, mutant), tests):
        return False
    return verdict.settled and not (everything and verdict.named)


@contextmanager
def _progress() -> Iterator[Listener]:
    with Progress() as progress:
        yield progress


def _waiting(holder: str) -> None:
    sys.stderr.write(f"mutants: waiting for {holder}\n")


def _say(listen: Listener, text: str) -> None:
    event: Event = Message(level="info", text=text)
    listen(event)


def _build(hunter: Hunter, todo: Sequence[Mutant], listen: Listener) -> int:
    """Build all kernels that will be needed, profile by profile; return the exit code."""
    profiles = dict.fromkeys(profile for mutant in todo for profile in mutant.profiles)
    wanted = [
        (mutant, profile) for profile in profiles for mutant in todo if profile in mutant.profiles
    ]
    broken, start = 0, time.monotonic()
    for number, (mutant, profile) in enumerate(wanted, start=1):
        began = time.monotonic()
        try:
            hunter.build(mutant, profile)
            told = f"built in {duration(time.monotonic() - began)}"
        except BuildError as error:
            broken += 1
            told = "; ".join([error.message, *error.lines[:3]])
        left = _left(number, len(wanted), time.monotonic() - start)
        _say(listen, f"{number} of {len(wanted)}: {mutant.name} ({profile}): {told}{left}")
    return 1 if broken else 0


def _hunt(hunter: Hunter, todo: Sequence[Mutant], listen: Listener, total: int) -> None:
    known = total - len(todo)
    if known:
        _say(listen, f"{known} of {total} mutants are known from before")
    start = time.monotonic()
    for number, mutant in enumerate(todo, start=1):
        _say(listen, f"mutant {number} of {len(todo)}: {mutant.name}: {mutant.subject}")
        verdict = hunter.hunt(mutant)
        left = _left(number, len(todo), time.monotonic() - start)
        _say(listen, f"mutant {number} of {len(todo)}: {verdict.summary()}{left}")


def _left(done: int, total: int, seconds: float) -> str:
    left = remaining(done, total, seconds)
    return f"; about {duration(left)} left" if left else ""


def _report(mutants: Sequence[Mutant], state: State, arguments: argparse.Namespace) -> int:
    verdicts = [state.verdicts[mutant.name] for mutant in mutants]
    if arguments.json:
        facts = [verdict.model_dump(mode="json") for verdict in verdicts]
        sys.stdout.write(json.dumps(facts, indent=1) + "\n")
    else:
        sys.stdout.writelines(f"{line}\n" for line in lines(verdicts))
    return exit_code(verdicts)


def _write(laboratory: Laboratory, series: Series, state: State) -> None:
    """Write the document, also of mutants that this call did not ask for, and what it is of."""
    everyone = load_mutants(FOLDER)
    found = recorded(load_state(RECORD), state)
    verdicts = {
        one.name: found.verdicts[one.name] for one in everyone if one.name in found.verdicts
    }
    now = {mutant.name: laboratory.inputs(series, mutant) for mutant in everyone}
    save_state(RECORD, State(verdicts=verdicts))
    DOCUMENT.write_text(document(everyone, verdicts, now, laboratory.tests()), encoding="utf-8")
