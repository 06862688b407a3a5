# SPDX-License-Identifier: GPL-2.0-or-later
"""Which selftests a run builds."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from harness.config import Settings
from harness.errors import BuildError
from harness.kernel.artifact import Kernel
from harness.kernel.selftests import Selftests
from harness.kernel.variant import parse
from harness.outcomes import Outcome
from harness.run import selftest_folders
from harness.run.plan import KSELFTEST, Plan, make_plan, selects
from harness.run.selftest_folders import selftests_for

BASE = parse("debian-6.1")


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, tuple[str, ...]]]:
    """What would be built; nothing is: that takes a kernel's source and a minute."""
    calls: list[tuple[str, tuple[str, ...]]] = []

    def obtain(
        kernel: Kernel, variant: object, collection: str, *, only: tuple[str, ...], **_more: object
    ) -> Selftests:
        calls.append((collection, only))
        if collection == "broken":
            raise BuildError(Outcome.BUILD_COMPILE, "no headers", lines=("error: x",))
        return Selftests(Path("/made", collection), collection, 45.0, ())

    monkeypatch.setattr(selftest_folders, "obtain_selftests", obtain)
    return calls


def plan(**options: str) -> Plan:
    return make_plan(Settings(), Path("/"), variants=["debian-6.1"], **options)  # type: ignore[arg-type]


def kernel(**meta: object) -> Kernel:
    return Kernel("k", "debian-6.1", "fast", "6.1", "t", "gcc", Path("/k"), meta=meta)


def test_a_whole_run_has_the_catalogue_s(asked: list[tuple[str, tuple[str, ...]]]) -> None:
    found = selftests_for(kernel(), BASE, plan(), lambda _event: None)
    assert asked == [("mm|vm", ("memfd_secret",))]
    assert (found.usual, found.reason, found.asked) == (Path("/made/mm|vm"), "", None)


@pytest.mark.parametrize("selection", ["U1", "gfp_unmapped and not U2", "K2-lkdtm"])
def test_a_run_that_does_not_select_it_builds_none(
    asked: list[tuple[str, tuple[str, ...]]], selection: str
) -> None:
    found = selftests_for(kernel(), BASE, plan(selection=selection), lambda _event: None)
    assert asked == []
    assert "selection" in found.reason


@pytest.mark.parametrize("selection", ["K1", "upstream", "memfd", "not U1", "upstream and not K2"])
def test_a_run_that_selects_it_builds_it(
    asked: list[tuple[str, tuple[str, ...]]], selection: str
) -> None:
    selftests_for(kernel(), BASE, plan(selection=selection), lambda _event: None)
    assert len(asked) == 1


def test_a_collection_that_is_asked_for_stands_alone(
    asked: list[tuple[str, tuple[str, ...]]],
) -> None:
    wanted = plan(kselftest="vm")
    assert wanted.selection == KSELFTEST
    found = selftests_for(kernel(), BASE, wanted, lambda _event: None)
    assert asked == [("vm|mm", ())]
    assert found.asked == Path("/made/vm|mm")


def test_one_that_can_not_be_built_is_a_result_of_the_variant(
    asked: list[tuple[str, tuple[str, ...]]],
) -> None:
    with pytest.raises(BuildError):
        selftests_for(kernel(), BASE, plan(kselftest="broken"), lambda _event: None)


def test_the_catalogue_s_is_skipped_where_it_can_not_be_built(
    asked: list[tuple[str, tuple[str, ...]]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(selftest_folders._OTHER_NAMES, "mm", "broken")
    found = selftests_for(kernel(), BASE, plan(), lambda _event: None)
    assert found.usual is None
    assert found.reason == "no headers; error: x"


def test_what_was_built_elsewhere_has_none(asked: list[tuple[str, tuple[str, ...]]]) -> None:
    found = selftests_for(kernel(image="x"), BASE, plan(), lambda _event: None)
    assert "built elsewhere" in found.reason
    assert asked == []


def test_selections_are_read_as_pytest_does() -> None:
    assert selects("", "anything")
    assert selects("k1-memfd", "upstream/K1-memfd-secret")
    assert not selects("not upstream", "upstream/K1-memfd-secret")
    assert replace(plan(), kselftest="mm").kselftest == "mm"
