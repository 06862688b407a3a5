# SPDX-License-Identifier: GPL-2.0-or-later
"""What a testcase is: its catalogue id and what it needs."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import pytest

if TYPE_CHECKING:
    from harness.guest.machine import Machine

Function = TypeVar("Function", bound=Callable[..., Any])

_FORM = r"(?P<letter>[A-Z])(?P<number>\d*)-(?P<name>[a-z0-9]+(?:-[a-z0-9]+)*)"
_ID = re.compile(rf"{_FORM}\Z")
_WRITTEN = re.compile(rf"""@testcase\(\s*["'](?P<id>{_FORM})["']""")
# The order of the catalogue; an area that is not named here comes after these.
_AREAS = ("gfp_unmapped", "module_alloc", "secretmem", "counters", "upstream")
MARKER = "testcase"


@dataclass(frozen=True)
class Testcase:
    """A testcase's id (`U1-absence`) and its needs.

    `needs_feature`: the series under test must be there, and must show its probe. `config`:
    symbols, without `CONFIG_`, that the kernel must have built in or as a module; `profile` is one
    that has them. `machine`: its guest is of that machine instead of the plan's. `kernel_args`:
    its boot has these parameters too. `clean`: no other testcase uses its guest, before or after.
    `fresh_boot`: a guest restored from a snapshot would falsify it. `expects`: a regular
    expression for the title of the death that is its pass.
    """

    __test__ = False
    id: str
    needs_feature: bool = False
    config: tuple[str, ...] = ()
    profile: str = ""
    machine: str = ""
    kernel_args: tuple[str, ...] = ()
    clean: bool = False
    fresh_boot: bool = False
    expects: str = ""


def testcase(
    id: str,
    *,
    needs_feature: bool = False,
    config: Sequence[str] = (),
    profile: str = "",
    machine: str = "",
    kernel_args: Sequence[str] = (),
    clean: bool = False,
    fresh_boot: bool = False,
    expects: str = "",
) -> Callable[[Function], Function]:
    """Return the decorator that makes a pytest function the testcase `id` of its folder.

    Raises:
        ValueError: `id` is not of the form `U1-some-name`.
    """
    split_id(id)
    mark = getattr(pytest.mark, MARKER)
    decorator: Callable[[Function], Function] = mark(
        Testcase(
            id,
            needs_feature=needs_feature,
            config=tuple(config),
            profile=profile,
            machine=machine,
            kernel_args=tuple(kernel_args),
            clean=clean,
            fresh_boot=fresh_boot,
            expects=expects,
        )
    )
    return decorator


testcase.__test__ = False  # type: ignore[attr-defined]


def written_ids(module: Path) -> list[str]:
    """Return the ids in the decorators of the testcase file `module`, in their order.

    The file is not run, and need not be whole: one that is being written has ids, too.

    Raises:
        OSError: it can't be read.
    """
    text = module.read_text(encoding="utf-8", errors="replace")
    return [match["id"] for match in _WRITTEN.finditer(text)]


def split_id(testcase_id: str) -> tuple[str, int, str]:
    """Return an id's letter, its number (0 where it has none) and its name.

    Raises:
        ValueError: it is no testcase's id.
    """
    match = _ID.match(testcase_id)
    if match is None:
        raise ValueError(
            f"{testcase_id!r} is no testcase id; write a letter, a number and a name: U1-name"
        )
    return match["letter"], int(match["number"] or 0), match["name"]


def catalogue_order(area: str, testcase_id: str) -> tuple[int, str, str, int, str]:
    """Return the key that sorts testcases as the catalogue does: by area, letter and number."""
    match = _ID.match(testcase_id)
    letter, number = (match["letter"], match["number"]) if match else ("~", "")
    rank = _AREAS.index(area) if area in _AREAS else len(_AREAS)
    return (rank, area, letter, int(number or 0), testcase_id)


def symbols_for(machine: Machine) -> tuple[str, ...]:
    """Return the symbols without which a kernel would not use all of `machine`."""
    return ("SMP",) * (machine.cpus > 1) + ("NUMA",) * (machine.nodes > 1)


@dataclass(frozen=True)
class Need:
    """What a testcase lacks on a guest: a reason to skip it, or, where `broken`, to fail it."""

    reason: str
    broken: bool = False


def unmet_need(
    testcase: Testcase,
    *,
    variant: str,
    patched: bool,
    config: Mapping[str, str],
    own_modules: bool = True,
    machine_needs: Sequence[str] = (),
    probe: str,
    probe_found: Callable[[], bool],
) -> Need | None:
    """Return why `testcase` can't be judged on a guest, or None where it can.

    `own_modules` tells whether the kernel's own modules are in the guest; without, only what is
    built in counts. `machine_needs` are the symbols that its machine needs. A series without a
    `probe` is about something else than the feature; one with it that does not show it is broken,
    never a reason to skip.
    """
    for symbol in (*testcase.config, *machine_needs):
        if config.get(symbol) == "m" and not own_modules:
            return Need(f"needs CONFIG_{symbol}, here a module, of which its guest has none")
        if config.get(symbol, "n") not in ("y", "m"):
            hint = f"; see profile {testcase.profile}" if testcase.profile else ""
            return Need(f"needs CONFIG_{symbol}, which this kernel has not set{hint}")
    if not testcase.needs_feature:
        return None
    return _unmet_feature(variant, patched, probe, probe_found)


def _unmet_feature(
    variant: str, patched: bool, probe: str, probe_found: Callable[[], bool]
) -> Need | None:
    if not patched:
        return Need(f"needs __GFP_UNMAPPED, which {variant} has not: no series is applied")
    if not probe:
        return Need(
            f"needs __GFP_UNMAPPED, which {variant} does not claim: its series.toml has no probe"
        )
    if not probe_found():
        return Need(f"the series is applied but inert: {probe} is not there", broken=True)
    return None
